/** Which notebook lies in which: this person's own arrangement, kept in the vault and told by every device of theirs. */
import type { Store } from "#crdt-store/store.ts";
import { parseHex, toHex, utf8 } from "#relay/protocol/bytes.ts";
import { spaceIdBytes } from "#relay/protocol/genesis.ts";
import { parentPrefix, unpackParent, type VaultIndex } from "./index-document.ts";

/** A notebook's id → that of the one it lies in, both in hex. */
export type Parents = ReadonlyMap<string, string>;

const setting = "device/notebook-parents";

export function loadParents(store: Store): Parents {
  const bytes = store.settings.get(setting);
  if (bytes === null) return new Map();
  return new Map(JSON.parse(new TextDecoder().decode(bytes)) as [string, string][]); // written by saveParents alone
}

export function saveParents(store: Store, parents: Parents): void {
  store.settings.put(setting, utf8(JSON.stringify([...parents])));
}

/**
 * As the vault has them. Two devices may have put two notebooks into each other: those of a circle lie on their own, on
 * every device alike.
 */
export function parentsIn(vault: VaultIndex): Parents {
  const told = new Map(
    Object.entries(vault).flatMap(([key, packed]) => {
      const child = key.startsWith(parentPrefix) ? parseHex(key.slice(parentPrefix.length)) : null;
      const parent = packed instanceof Uint8Array ? unpackParent(packed) : null;
      if (child?.length !== spaceIdBytes || parent === null) return [];
      return [[toHex(child), toHex(parent)] as const];
    }),
  );
  return new Map([...told].filter(([child, parent]) => !liesIn(told, parent, child)));
}

/** Whether a notebook is another one, or lies somewhere below it. */
export function liesIn(parents: Parents, notebook: string, other: string): boolean {
  const passed = new Set<string>();
  for (let at: string | undefined = notebook; at !== undefined; at = parents.get(at)) {
    if (at === other) return true;
    if (passed.has(at)) return false;
    passed.add(at);
  }
  return false;
}
