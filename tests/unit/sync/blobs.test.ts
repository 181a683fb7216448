import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { nodeRandom } from "#client/cli/node-ports.ts";
import { blobContentOf, chunkCount, openChunks, sealChunk } from "#client/crypto/blob.ts";
import { downloadBlob, uploadBlob, type BlobPorts } from "#client/sync/blobs.ts";
import type { Space } from "#client/sync/space.ts";
import { encodeHave, chunkHash, parseBlobStatement } from "#relay/protocol/blob.ts";
import { refusals } from "#relay/protocol/errors.ts";
import type { Message } from "#relay/protocol/messages.ts";
import type { Store } from "#crdt-store/store.ts";
import { toHex } from "#relay/protocol/bytes.ts";
import { setupStore } from "#tests/unit/crdt-store/store-fixtures.ts";
import { WrittenSpace } from "./written-space.ts";

const content = nodeRandom(600_000);
const name = { blobId: nodeRandom(16), key: nodeRandom(32), size: content.length };
const written = new WrittenSpace();
// What uploading asks of a space.
const space = {
  id: written.founded.spaceId,
  ed: written.ed,
  device: written.device,
  currentKey: { epoch: 1, key: written.founded.epochKey },
} as unknown as Space;

let store: Store;
beforeEach(async () => {
  store = (await setupStore()).store;
});
afterEach(() => store.close());

/** Keeps chunks, and breaks the connection after so many messages of a kind. */
class Keeper {
  readonly chunks = new Map<number, Uint8Array>();
  count = 0;
  puts = 0;
  served = 0;
  breaksAfter = Infinity;

  ports(): BlobPorts {
    return {
      store,
      ask: async (message) => this.#answer(message),
      stream: async (message, _parts, part) => {
        if (message.type !== "blobGet") throw new Error(message.type);
        for (let ix = message.from; ix < message.from + message.count; ix += 1) {
          const chunk = this.chunks.get(ix);
          if (this.served >= this.breaksAfter || chunk === undefined) return noBlob;
          this.served += 1;
          part({ type: "blobData", handle: message.handle, index: ix, chunk });
        }
        return null;
      },
    };
  }

  #answer(message: Message): Message | null {
    if (message.type === "blobInit") {
      const parsed = parseBlobStatement(message.statement);
      if (!parsed.ok || parsed.value.content === null) throw new Error("a statement");
      this.count = parsed.value.content.chunks.length;
      const bitmap = encodeHave(this.count, [...this.chunks.keys()]);
      return { type: "blobHave", status: 0, count: this.count, bitmap };
    }
    if (message.type !== "blobPut") throw new Error(message.type);
    if (this.puts >= this.breaksAfter) return null;
    this.puts += 1;
    this.chunks.set(message.index, message.chunk);
    return { type: "blobAck", status: 0 };
  }
}

const { code } = refusals.NO_BLOB;
const noBlob: Message = { type: "error", code, retryAfterMs: 0, detail: "" };

describe("a blob", () => {
  it("goes on where its upload was interrupted", async () => {
    const keeper = new Keeper();
    keeper.breaksAfter = 1;
    const upload = () => uploadBlob(keeper.ports(), space, written.docId, name, content);
    expect(await upload()).toBeNull();
    keeper.breaksAfter = Infinity;
    expect(await upload()).toBe(0);
    expect([keeper.count, keeper.puts]).toEqual([3, 3]);
    expect(await upload()).toBe(0);
    expect(keeper.puts).toBe(3);
  });

  it("goes on where its download was interrupted, and leaves nothing behind", async () => {
    const keeper = new Keeper();
    await uploadBlob(keeper.ports(), space, written.docId, name, content);
    const hashes = blobContentOf(name, content).chunks;
    const download = () => downloadBlob(keeper.ports(), 1, name, hashes);
    keeper.breaksAfter = 2;
    expect(await download()).toBe("broken");
    expect(store.blobChunks.held(name.blobId)).toEqual([0, 1]);
    keeper.breaksAfter = Infinity;
    const come = await download();
    expect(come instanceof Uint8Array && toHex(come) === toHex(content)).toBe(true);
    expect([keeper.served, store.blobChunks.held(name.blobId)]).toEqual([3, []]);
  });

  it("takes no chunk that has not the name it was announced by", async () => {
    const keeper = new Keeper();
    await uploadBlob(keeper.ports(), space, written.docId, name, content);
    const hashes = blobContentOf(name, content).chunks;
    keeper.chunks.set(1, nodeRandom(262_144));
    expect(await downloadBlob(keeper.ports(), 1, name, hashes)).toBe("broken");
    expect(store.blobChunks.held(name.blobId)).toEqual([0, 2]);
  });

  it("opens only with its own key, its chunks in their order and all of them", () => {
    const chunks = Array.from({ length: chunkCount(name.size) }, (_, ix) =>
      sealChunk(name, content, ix),
    );
    const [first, second, third] = chunks;
    if (first === undefined || second === undefined || third === undefined)
      throw new Error("three");
    expect(blobContentOf(name, content).chunks.map(toHex)).toEqual(
      chunks.map((chunk) => toHex(chunkHash(chunk))),
    );
    expect(openChunks(name, [second, first, third])).toBeNull();
    expect(openChunks(name, [first, second])).toBeNull();
    expect(openChunks({ ...name, key: nodeRandom(32) }, chunks)).toBeNull();
    expect(openChunks({ ...name, blobId: nodeRandom(16) }, chunks)).toBeNull();
    expect(toHex(openChunks(name, chunks) ?? new Uint8Array())).toBe(toHex(content));
  });
});
