/** A relay with somebody's many notes on it, written by a device that is gone. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openHome } from "#client/cli/home.ts";
import { noPassphrase } from "./no-passphrase.ts";

export interface NoteToWrite {
  readonly title: string;
  readonly body: string;
}

const withinMs = 120_000;

/**
 * Writes the notes, a notebook for every `perNotebook` of them, until they and their cards are at the relay; throws
 * where they do not get there.
 *
 * @param relayUrl ws://
 * @returns the words of who wrote them
 */
export async function fillRelay(
  relayUrl: string,
  notes: readonly NoteToWrite[],
  perNotebook: number,
): Promise<readonly string[]> {
  const dir = mkdtempSync(join(tmpdir(), "sealeaf-writer-"));
  const home = await openHome({
    dir,
    relay: relayUrl,
    connect: "always",
    keyReader: noPassphrase,
  });
  const { device } = home;
  try {
    const words = device.create();
    let notebook = "";
    for (const [ix, note] of notes.entries()) {
      if (ix % perNotebook === 0) {
        ({ id: notebook } = await device.createNotebook(`Notebook ${1 + ix / perNotebook}`));
      }
      await device.createNote({ ...note, notebook });
    }
    const isThere = (await device.settled(withinMs)) && (await device.sendCards(withinMs));
    if (!isThere) throw new Error(`not at the relay: ${JSON.stringify(await device.status())}`);
    return words;
  } finally {
    await home.close();
    rmSync(dir, { recursive: true, force: true });
  }
}
