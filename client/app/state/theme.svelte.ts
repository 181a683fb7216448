import type { Preferences } from "./app-parts.ts";

export type ThemeChoice = "system" | "light" | "dark";
export type ReadingFace = "serif" | "sans" | "mono";

const themes: readonly ThemeChoice[] = ["system", "light", "dark"];
const faces: readonly ReadingFace[] = ["serif", "sans", "mono"];

/** How the window looks, remembered in this browser. */
export class Theme {
  readonly #preferences: Preferences;
  #choice = $state<ThemeChoice>("system");
  #face = $state<ReadingFace>("serif");

  constructor(preferences: Preferences) {
    this.#preferences = preferences;
    this.#choice = oneOf(themes, preferences.get("theme")) ?? "system";
    this.#face = oneOf(faces, preferences.get("reading-face")) ?? "serif";
  }

  get choice(): ThemeChoice {
    return this.#choice;
  }

  set choice(choice: ThemeChoice) {
    this.#choice = choice;
    this.#preferences.set("theme", choice);
  }

  get face(): ReadingFace {
    return this.#face;
  }

  set face(face: ReadingFace) {
    this.#face = face;
    this.#preferences.set("reading-face", face);
  }
}

function oneOf<Value extends string>(values: readonly Value[], text: string | null): Value | null {
  return values.find((value) => value === text) ?? null;
}
