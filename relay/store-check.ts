/**
 * Reads a store whole and checks that it holds together: every control log admits its records, every
 * position is there, every id is that of its bytes, every chain comes out, every chunk has its hash.
 * Signatures of entries are not verified again: they were before anything was stored, and the ids
 * that they are over are.
 */
import { chunkHash } from "#relay/protocol/blob.ts";
import { equal, toHex } from "#relay/protocol/bytes.ts";
import { parseControl } from "#relay/protocol/control.ts";
import { chainNext, chainStart } from "#relay/protocol/domain.ts";
import { parseEntry } from "#relay/protocol/entry.ts";
import { spaceIdOf } from "#relay/protocol/genesis.ts";
import { restoreSpace } from "#relay/space.ts";
import type { LogItem, Store, StoredSpace } from "#relay/store/store.ts";

export interface StoreReport {
  readonly spaces: number;
  readonly positions: number;
  readonly chunks: number;
  /** Sentences; spaces are named by the first digits of their ids. */
  readonly troubles: readonly string[];
}

type Readable = Pick<
  Store,
  "listSpaces" | "loadSpace" | "readLog" | "chainAt" | "readBlobsOf" | "readBlob" | "readChunk"
>;

const spacesPerPage = 500;
const bytesPerPage = 4 << 20;

export async function checkStore(store: Readable): Promise<StoreReport> {
  const check = new StoreCheck(store);
  await check.run();
  return check;
}

class StoreCheck implements StoreReport {
  readonly troubles: string[] = [];
  spaces = 0;
  positions = 0;
  chunks = 0;
  readonly #store: Readable;

  constructor(store: Readable) {
    this.#store = store;
  }

  async run(): Promise<void> {
    let after: Uint8Array = new Uint8Array(32);
    for (;;) {
      const page = await this.#store.listSpaces(after, spacesPerPage);
      const last = page.at(-1);
      if (last === undefined) return;
      for (const { spaceId } of page) await this.#checkSpace(spaceId);
      after = last.spaceId;
    }
  }

  async #checkSpace(spaceId: Uint8Array): Promise<void> {
    this.spaces += 1;
    const name = `Space ${toHex(spaceId.slice(0, 4))}…`;
    try {
      const stored = await this.#store.loadSpace(spaceId);
      if (stored === null) throw new Error("it is listed and cannot be read");
      if (!equal(spaceIdOf(stored.genesis), spaceId)) throw new Error("its genesis is another's");
      restoreSpace(stored);
      await this.#checkLog(spaceId, stored);
      await this.#checkBlobs(spaceId);
    } catch (error) {
      this.troubles.push(`${name} ${error instanceof Error ? error.message : "cannot be read"}.`);
    }
  }

  async #checkLog(spaceId: Uint8Array, stored: StoredSpace): Promise<void> {
    let pos = stored.base - 1;
    let chain = pos === 0 ? chainStart(spaceId) : null;
    while (pos < stored.head) {
      const items = await this.#store.readLog(spaceId, pos, stored.head, bytesPerPage, "bodies");
      if (items.length === 0) throw new Error(`has no position ${pos + 1}`);
      for (const item of items) {
        pos += 1;
        if (item.pos !== pos) throw new Error(`has no position ${pos}`);
        refuseOtherBytes(item);
        // Of what stood below the base nothing is left: the chain is taken up where it is.
        chain =
          chain === null
            ? await this.#store.chainAt(spaceId, pos)
            : chainNext(pos, chain, item.docId, item.itemId);
        this.positions += 1;
      }
    }
    if (chain === null || !equal(chain, stored.chain)) {
      throw new Error("has another chain at its head than its log makes");
    }
  }

  async #checkBlobs(spaceId: Uint8Array): Promise<void> {
    const blobs = await this.#store.readBlobsOf(spaceId, null);
    for (const { blobId } of blobs) await this.#checkBlob(spaceId, blobId);
  }

  async #checkBlob(spaceId: Uint8Array, blobId: Uint8Array): Promise<void> {
    const blob = await this.#store.readBlob(spaceId, blobId);
    for (const index of blob?.kept ?? []) {
      const bytes = await this.#store.readChunk(spaceId, blobId, index);
      const hash = blob?.chunks[index];
      if (bytes === null || hash === undefined || !equal(chunkHash(bytes), hash)) {
        throw new Error(`has a chunk of a blob that is not what its hash says`);
      }
      this.chunks += 1;
    }
  }
}

function refuseOtherBytes({ pos, kind, itemId, body }: LogItem): void {
  if (body === null) return;
  const id = kind === "control" ? idOfControl(body) : idOfEntry(body);
  if (id === null || !equal(id, itemId)) throw new Error(`has other bytes at position ${pos}`);
}

function idOfControl(bytes: Uint8Array): Uint8Array | null {
  const parsed = parseControl(bytes);
  return parsed.ok ? parsed.value.hash : null;
}

function idOfEntry(bytes: Uint8Array): Uint8Array | null {
  const parsed = parseEntry(bytes, bytes.length);
  return parsed.ok ? parsed.value.entryId : null;
}
