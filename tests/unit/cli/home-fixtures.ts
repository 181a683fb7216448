/** Homes on disk, made and examined in this process: what a command does, without starting one. */
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openHome } from "#client/cli/home.ts";
import type { Device } from "#client/device/device.ts";
import type { Store } from "#crdt-store/store.ts";
import { noPassphrase } from "#tests/support/no-passphrase.ts";

/** A directory of its own, deleted in the end. */
export class Place implements Disposable {
  readonly dir = mkdtempSync(join(tmpdir(), "sealeaf-place-"));

  at(...names: readonly string[]): string {
    return join(this.dir, ...names);
  }

  [Symbol.dispose](): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** What `work` makes of the device of a home; the home is closed again. */
export async function inHome<T>(
  dir: string,
  work: (device: Device, store: Store) => Promise<T>,
): Promise<T> {
  const home = await openHome({
    dir,
    relay: null,
    connect: "on-demand",
    keyReader: noPassphrase,
  });
  try {
    return await work(home.device, home.store);
  } finally {
    await home.close();
  }
}

/** A home with notes of these titles; returns its words. */
export function makeHome(dir: string, titles: readonly string[]): Promise<string> {
  return inHome(dir, async (device) => {
    const words = device.create().join(" ");
    for (const title of titles) await device.createNote({ title, body: `Text of ${title}.` });
    return words;
  });
}

/** Names, modes and contents of everything below. */
export function fingerprint(dir: string): string {
  const hash = createHash("sha256");
  for (const name of readdirSync(dir, { recursive: true, encoding: "utf8" }).toSorted()) {
    const found = statSync(join(dir, name));
    hash.update(`${name} ${found.mode}\n`);
    if (found.isFile()) hash.update(readFileSync(join(dir, name)));
  }
  return hash.digest("hex");
}
