/** The check of a whole store finds what was altered behind its back, each kind of it. */
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "@photostructure/sqlite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { toHex } from "#relay/protocol/bytes.ts";
import { backUp } from "#relay/cli/backup.ts";
import { verifyFile } from "#relay/cli/verify.ts";
import { RawClient, startTestRelay } from "#tests/support/relay.ts";
import { TestDevice, TestSpace } from "#tests/support/space-identities.ts";

const alterations: readonly (readonly [string, string, string])[] = [
  ["a flipped byte in an entry", "body = zeroblob(length(body))", "has other bytes at position 4"],
  ["an entry of another document", "doc_id = randomblob(16)", "has another chain at its head"],
  ["another id", "item_id = randomblob(32)", "has other bytes at position 4"],
];

describe("the check of a store", () => {
  let dir = "";
  let sound = "";
  const space = new TestSpace("checked");
  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), "sealeaf-check-"));
    const relay = await startTestRelay({ dir: join(dir, "data") });
    const client = await RawClient.connect(relay.url);
    const device = new TestDevice(space, "laptop");
    await client.createSpace(space);
    await client.certify(device);
    await client.push(device.entry(), device.entry(), device.entry());
    await client.close();
    sound = join(dir, "sound.db");
    // Beside the relay that serves it.
    await backUp(join(dir, "data/relay.db"), sound);
    await relay.stop();
  });
  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  async function troublesAfter(sql: string): Promise<readonly string[]> {
    const path = join(dir, "altered.db");
    copyFileSync(sound, path);
    const db = new DatabaseSync(path);
    db.exec(sql);
    db.close();
    return (await verifyFile(path)).troubles;
  }

  it("finds a store sound that is", async () => {
    expect(await verifyFile(sound)).toEqual({ spaces: 1, positions: 5, chunks: 0, troubles: [] });
    expect(await troublesAfter("SELECT 1")).toEqual([]);
  });

  it.each(alterations)("finds %s", async (_, change, said) => {
    const troubles = await troublesAfter(`UPDATE log SET ${change} WHERE pos = 4`);
    expect(troubles).toHaveLength(1);
    expect(troubles[0]).toContain(said);
    expect(troubles[0]).toContain(toHex(space.spaceId.slice(0, 4)));
    expect(troubles[0]).not.toContain(toHex(space.spaceId.slice(0, 5)));
  });

  it("finds a hole, a chain that is not the log's, and a log that ends early", async () => {
    expect((await troublesAfter("DELETE FROM log WHERE pos = 4"))[0]).toContain("no position 4");
    expect((await troublesAfter("UPDATE space SET chain = randomblob(32)"))[0]).toContain("chain");
    expect((await troublesAfter("UPDATE space SET head = 6"))[0]).toContain("no position 6");
  });

  it("finds a control record that may not be there, and a relay without its key", async () => {
    const swapped = "UPDATE log SET body = (SELECT body FROM log WHERE pos = 1) WHERE pos = 2";
    expect((await troublesAfter(swapped))[0]).toContain("control record is refused");
    expect(await troublesAfter("DELETE FROM identity")).toEqual([
      "The relay's own key is missing.",
    ]);
  });

  it("never writes a backup over a file, and leaves nothing behind where it fails", async () => {
    await expect(backUp(sound, sound)).rejects.toThrow("is there already");
    const nowhere = join(dir, "no-such-folder", "copy.db");
    await expect(backUp(sound, nowhere)).rejects.toThrow("The store is as it was.");
    await expect(backUp(join(dir, "none.db"), nowhere)).rejects.toThrow("There is no store at");
  });
});
