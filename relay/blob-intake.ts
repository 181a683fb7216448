/** What becomes of blobs that somebody announces, sends or drops (docs/protocol.md, BLOB). */
import {
  blobMessage,
  chunkHash,
  chunkLength,
  encodeHave,
  parseBlobStatement,
  type SignedBlobStatement,
} from "#relay/protocol/blob.ts";
import { equal } from "#relay/protocol/bytes.ts";
import { refusals, type RefusalName } from "#relay/protocol/errors.ts";
import type { Limits } from "#relay/protocol/limits.ts";
import type { BlobHave, BlobPut } from "#relay/protocol/messages.ts";
import type { Gate } from "#relay/access.ts";
import type { Verify } from "#relay/intake.ts";
import type { Ledger } from "#relay/ledger.ts";
import type { SpaceState } from "#relay/space.ts";
import { admitBlob, isWanted, judgeBlob } from "#relay/space-blobs.ts";
import { decideOnStored, type StoredDecision } from "#relay/stored-decision.ts";
import { StoreError, type Store, type StoredBlob } from "#relay/store/store.ts";

export interface BlobIntakePorts<By> {
  readonly store: Store;
  readonly ledger: Ledger<By>;
  readonly verify: Verify;
  readonly limits: Limits;
  readonly gate: Gate;
  readonly now: () => number;
}

type Outcome = RefusalName | "done";

export class BlobIntake<By> {
  readonly #ports: BlobIntakePorts<By>;

  constructor(ports: BlobIntakePorts<By>) {
    this.#ports = ports;
  }

  /** A BLOB_INIT: which chunks are kept, or why the blob will not be. */
  async announce(bytes: Uint8Array, by: By): Promise<BlobHave> {
    const parsed = parseBlobStatement(bytes);
    if (!parsed.ok || parsed.value.content === null) return haveNothing("BAD_BLOB");
    const { spaceId, blobId, content } = parsed.value;
    const outcome = await this.#settle(parsed.value, by);
    if (outcome !== "done") return haveNothing(outcome);
    const blob = await this.#ports.store.readBlob(spaceId, blobId);
    const count = content.chunks.length;
    return { type: "blobHave", status: 0, count, bitmap: encodeHave(count, blob?.kept ?? []) };
  }

  /** Status of a BLOB_DROP: 0, or a refusal's code. */
  async drop(bytes: Uint8Array, by: By): Promise<number> {
    const parsed = parseBlobStatement(bytes);
    if (!parsed.ok || parsed.value.content !== null) return refusals.BAD_BLOB.code;
    const outcome = await this.#settle(parsed.value, by);
    return outcome === "done" ? 0 : refusals[outcome].code;
  }

  /** Status of a BLOB_PUT: 0 once the chunk is durable, or a refusal's code. */
  async put({ spaceId, blobId, index, chunk }: BlobPut): Promise<number> {
    const { store, ledger } = this.#ports;
    const state = (await ledger.open(spaceId)).committed;
    if (state === null) return refusals.NO_SPACE.code;
    if (state.authority.deleted) return refusals.SPACE_DELETED.code;
    const blob = await store.readBlob(spaceId, blobId);
    if (blob === null) return refusals.NO_BLOB.code;
    const hash = blob.chunks[index];
    if (hash === undefined || chunk.length !== chunkLength(blob.size, index)) {
      return refusals.BAD_BLOB.code;
    }
    if (!equal(chunkHash(chunk), hash)) return refusals.BAD_BLOB.code;
    // Its bytes were counted when it was announced; the disk may have filled since.
    const closed = await this.#ports.gate.refusesMore(spaceId, 0);
    if (closed !== null) return refusals[closed].code;
    try {
      const isAnnounced = await store.putChunk(spaceId, blobId, index, chunk);
      return isAnnounced ? 0 : refusals.NO_BLOB.code;
    } catch (error) {
      return refusals[refusalOf(error)].code;
    }
  }

  async #settle(statement: SignedBlobStatement, by: By): Promise<Outcome> {
    const { verify, limits, gate, now } = this.#ports;
    // Once without the signature, which is dearer, and once more when it is known to be good.
    const early = await this.#decide(statement, by, (state, kept) => {
      if (state.authority.deleted) return onlySay("SPACE_DELETED");
      if (isWanted(kept, statement)) return onlySay("done");
      return onlySay(judgeBlob(state, statement, kept, limits) ?? "verify");
    });
    if (early !== "verify") return early;
    if (statement.content !== null) {
      const closed = await gate.refusesMore(statement.spaceId, statement.content.size);
      if (closed !== null) return closed;
    }
    if (!(await verify(statement.devPub, blobMessage(statement.unsigned), statement.signature))) {
      return "BAD_SIGNATURE";
    }
    const settled = await this.#decide(statement, by, (state, kept) => {
      if (isWanted(kept, statement)) return onlySay("done");
      const decision = admitBlob(state, statement, kept, now(), limits);
      if (!decision.ok) return onlySay(decision.refusal);
      const { state: to, blob, counters } = decision;
      return { outcome: "done", write: { to, blobs: [blob], counters } };
    });
    return settled === "verify" ? "INTERNAL" : settled;
  }

  async #decide(
    statement: SignedBlobStatement,
    by: By,
    decide: (state: SpaceState, kept: StoredBlob | null) => StoredDecision<Outcome | "verify">,
  ): Promise<Outcome | "verify"> {
    const { store, ledger } = this.#ports;
    const { spaceId, blobId } = statement;
    try {
      if ((await ledger.open(spaceId)).committed === null) return "NO_SPACE";
      const outcome = await decideOnStored({
        ledger,
        spaceId,
        by,
        read: () => store.readBlob(spaceId, blobId),
        docIdsOf: () => [],
        decide,
      });
      return outcome ?? "INTERNAL";
    } catch (error) {
      return refusalOf(error);
    }
  }
}

function onlySay<T>(outcome: T): StoredDecision<T> {
  return { outcome, write: null };
}

function refusalOf(error: unknown): "DISK_FULL" | "INTERNAL" {
  if (!(error instanceof StoreError)) throw error;
  return error.failure === "full" ? "DISK_FULL" : "INTERNAL";
}

function haveNothing(refusal: RefusalName): BlobHave {
  const { code } = refusals[refusal];
  return { type: "blobHave", status: code, count: 0, bitmap: new Uint8Array(0) };
}
