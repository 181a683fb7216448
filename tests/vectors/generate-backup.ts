/**
 * A backup as the first version of the format has it: `npx tsx tests/vectors/generate-backup.ts` writes
 * `backups/v1.backup`, of the store in `stores/v1`, and refuses one that is there. Later programs must open it.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { nobleCipher } from "#crdt-store/files/page-cipher.ts";
import { Sqlite } from "#crdt-store/sqlite.ts";
import { Store } from "#crdt-store/store.ts";
import { concat } from "#relay/protocol/bytes.ts";
import { nodeEd25519 } from "#client/cli/node-ports.ts";
import { backupWords, writeBackup } from "#client/device/backup.ts";
import { loadNodeEngine } from "#crdt-store/files/node.ts";
import { releasedStores } from "#tests/support/released-stores.ts";

const [released] = releasedStores();
if (released === undefined) throw new Error("no released store is committed");
const files = released.files("plain");
// As it stands: opening it as a store would bring it to the newest version.
const sqlite = Sqlite.open({ engine: await loadNodeEngine(), files, codec: null });
const store = new Store(sqlite, files, () => 0);
const { key } = backupWords(nodeEd25519(), released.words.join(" "));
const parts: Uint8Array[] = [];
const random = (length: number): Uint8Array => Uint8Array.from({ length }, (_, ix) => 0xc0 ^ ix);
await writeBackup({ store, random, cipher: nobleCipher }, key, async (bytes) => {
  parts.push(bytes.slice());
});
sqlite.abandon();
writeFileSync(join(import.meta.dirname, "backups/v1.backup"), concat(...parts), { flag: "wx" });
