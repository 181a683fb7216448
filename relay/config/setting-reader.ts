/**
 * Finds settings in their layers, the last one that has it wins: default, file, environment, flags.
 * What cannot be read is remembered, so that an operator hears of every mistake at once.
 */
import {
  fileKeyOf,
  fileSetting,
  flagOf,
  settings,
  variableOf,
  type SettingName,
} from "./settings.ts";

export interface ConfigSources {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Values of flags by setting. */
  readonly flags?: Readonly<Record<string, string>>;
  /** The configuration file's content. */
  readonly file?: { readonly path: string; readonly text: string } | null;
}

/** What a setting is and where that stands. */
export interface Found {
  readonly text: string;
  /** `SEALEAF_PORT`, `--port`, `"port" in relay.json`, `default`. */
  readonly origin: string;
}

/**
 * Of the project's tests and benches, and of the command line of devices: nothing to the relay, and
 * no typing errors.
 */
const variablesOfOthers = /^SEALEAF_(TEST_|BENCH_|SIM_|CHROMIUM$|(NEW_)?PASSPHRASE_FILE$)/;

export class SettingReader {
  readonly mistakes: string[] = [];
  readonly #found = new Map<SettingName, Found>();

  constructor({ environment, flags = {}, file = null }: ConfigSources) {
    const inFile = file === null ? new Map<string, string>() : this.#parseFile(file);
    this.#refuseStrangers(environment, inFile, file?.path ?? "");
    for (const { name, preset } of settings) {
      const layers: readonly (readonly [string | undefined, string])[] = [
        [flags[name], flagOf(name)],
        [environment[variableOf(name)], variableOf(name)],
        [inFile.get(fileKeyOf(name)), `"${fileKeyOf(name)}" in ${file?.path ?? ""}`],
        [preset ?? undefined, "default"],
      ];
      const layer = layers.find(([text]) => text !== undefined && text.trim() !== "");
      if (layer !== undefined)
        this.#found.set(name, { text: layer[0]?.trim() ?? "", origin: layer[1] });
    }
  }

  /** Null where nothing is set and there is no default. */
  found(name: SettingName): Found | null {
    return this.#found.get(name) ?? null;
  }

  text(name: SettingName): string | null {
    return this.found(name)?.text ?? null;
  }

  /** @param allowed the end of "… is" */
  refuse(name: SettingName, allowed: string): void {
    const { text, origin } = this.found(name) ?? { text: "", origin: variableOf(name) };
    const label = origin === "default" ? variableOf(name) : origin;
    this.mistakes.push(`${label} is ${allowed}, not "${text}".`);
  }

  number(name: SettingName, least: number, most: number): number {
    const text = this.text(name) ?? "";
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= most) return value;
    this.refuse(name, `a number from ${least} to ${most}`);
    return least;
  }

  /** Bytes: `1073741824`, `1GiB`, `500 MB`. */
  size(name: SettingName, least: number): number {
    const [, digits = "", unit = ""] =
      /^(\d{1,15}(?:\.\d{1,3})?) ?([kmgt]i?b|b?)$/i.exec(this.text(name) ?? "") ?? [];
    const bytes = Math.round(Number(digits) * (bytesByUnit.get(unit.toLowerCase()) ?? 0));
    if (digits !== "" && Number.isSafeInteger(bytes) && bytes >= least) return bytes;
    const lower = least === 0 ? "" : ` of at least ${least} bytes`;
    this.refuse(name, `a size${lower} like 512MiB or 1GiB`);
    return least;
  }

  choice<T extends string>(name: SettingName, choices: readonly T[], fallback: T): T {
    const text = this.text(name);
    const chosen = choices.find((choice) => choice === text);
    if (text !== null && chosen === undefined) this.refuse(name, listed(choices));
    return chosen ?? fallback;
  }

  /** Parts between commas or spaces, none of them empty. */
  list(name: SettingName): readonly string[] {
    return (this.text(name) ?? "").split(/[\s,]+/).filter((part) => part !== "");
  }

  #parseFile({ path, text }: { path: string; text: string }): Map<string, string> {
    const values = new Map<string, string>();
    let parsed: unknown;
    try {
      parsed = JSON.parse(text);
    } catch (error) {
      const why = error instanceof Error ? error.message : "it does not parse";
      this.mistakes.push(`${path} is not JSON: ${why}.`);
      return values;
    }
    if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
      this.mistakes.push(`${path} holds no object with settings, like {"port": 8787}.`);
      return values;
    }
    for (const [key, value] of Object.entries(parsed)) {
      const plain = plainText(value);
      if (plain === null) {
        this.mistakes.push(
          `"${key}" in ${path} is a text, a number, true, false or a list of texts.`,
        );
      } else values.set(key, plain);
    }
    return values;
  }

  #refuseStrangers(
    environment: ConfigSources["environment"],
    inFile: ReadonlyMap<string, string>,
    path: string,
  ): void {
    const names = settings.map(({ name }) => name);
    const variables = new Set([...names, fileSetting.name].map(variableOf));
    for (const name of Object.keys(environment)) {
      if (name.startsWith("SEALEAF_") && !variables.has(name) && !variablesOfOthers.test(name)) {
        this.mistakes.push(`${name} is not a setting of this relay.`);
      }
    }
    const keys = new Set(names.map(fileKeyOf));
    for (const key of inFile.keys()) {
      if (!keys.has(key)) this.mistakes.push(`"${key}" in ${path} is not a setting of this relay.`);
    }
  }
}

const bytesByUnit: ReadonlyMap<string, number> = new Map([
  ["", 1],
  ["b", 1],
  ["kb", 1e3],
  ["mb", 1e6],
  ["gb", 1e9],
  ["tb", 1e12],
  ["kib", 1024],
  ["mib", 1024 ** 2],
  ["gib", 1024 ** 3],
  ["tib", 1024 ** 4],
]);

function listed(choices: readonly string[]): string {
  return `${choices.slice(0, -1).join(", ")} or ${choices.at(-1) ?? ""}`;
}

/** A value of the file as it would stand in the environment; null for one that cannot. */
function plainText(value: unknown): string | null {
  if (typeof value === "string" || typeof value === "number") return String(value);
  if (typeof value === "boolean") return value ? "on" : "off";
  const isList = Array.isArray(value) && value.every((part) => typeof part === "string");
  return isList ? value.join(",") : null;
}
