/** Sending what waits in a space: sealed entries in batches, one batch at a time, and the blobs of snapshots before them. */
import type { SealedEntry } from "#crdt-store/outbox.ts";
import { refusalClass, refusals } from "#relay/protocol/errors.ts";
import { maxMessageBytes, maxPushEntries } from "#relay/protocol/limits.ts";
import type { Acknowledged } from "./acknowledged.ts";
import { uploadBlob, type BlobPorts } from "./blobs.ts";
import type { SessionMeasures } from "./measures.ts";
import { nextBatch, sealWaiting } from "./outgoing.ts";
import { refusalWords } from "./refusal-words.ts";
import type { RelayLink } from "./relay-link.ts";
import type { SessionListener, SessionPorts } from "./session-listener.ts";
import { errorCode, type SpaceRun } from "./space-run.ts";
import type { Space } from "./space.ts";
import type { SpaceEvent } from "./state.ts";

export interface PushCore {
  readonly ports: SessionPorts;
  readonly listener: SessionListener;
  readonly link: RelayLink;
  readonly measures: SessionMeasures;
  readonly acks: Acknowledged;
  event(run: SpaceRun, event: SpaceEvent): void;
  poke(space: Space): void;
  /** In the transaction that takes an acknowledgement in. */
  acknowledged(): void;
  /** An answer was taken in. */
  settled(): void;
  blobPorts(): BlobPorts;
}

/** What one PUSH may weigh, below the message limit with room for its frame. */
const mostPushBytes = maxMessageBytes - (64 << 10);
/** After a refusal that will pass, the next try. */
const pushAgainMs = 5_000;

export class Pusher {
  readonly #core: PushCore;
  #refusedCode: number | null = null;

  constructor(core: PushCore) {
    this.#core = core;
  }

  /** Wire code of the last refusal, null once a push has gone through. */
  get refusedCode(): number | null {
    return this.#refusedCode;
  }

  /** This person has access to the relay now. */
  admitted(): void {
    this.#refusedCode = null;
  }

  /** A new space is refused to whom the relay has not invited: a person has to know. */
  accessAnswered(status: number): void {
    const { code } = refusals.AUTH_REQUIRED;
    if (status === code) this.#refusedCode = code;
    else if (status === 0 && this.#refusedCode === code) this.#refusedCode = null;
  }

  push(run: SpaceRun): void {
    const { store, random } = this.#core.ports;
    const { space } = run;
    const seal = (): void =>
      sealWaiting(store, space, random, this.#core.link.limits.entryBytes, maxPushEntries);
    const next = () => nextBatch(store, space, maxPushEntries, mostPushBytes);
    seal();
    let { batch, tookBack } = next();
    if (batch.length === 0 && tookBack) {
      seal();
      ({ batch, tookBack } = next());
    }
    if (batch.length === 0) {
      this.#core.event(run, { type: "push-acked", staleEpoch: false, refused: true });
      return;
    }
    const answered = this.#core.measures.pushBegan();
    this.#core.link.ask({ type: "push", entries: batch.map((row) => row.bytes) }, (reply) => {
      if (reply === null) return;
      answered();
      if (reply.type === "error") this.#pushRefused(run, reply.code, reply.retryAfterMs);
      else if (reply.type !== "pushAck") this.#pushRefused(run, errorCode(reply), 0);
      else this.#pushAnswered(run, batch, reply.results);
    });
  }

  #pushAnswered(
    run: SpaceRun,
    batch: readonly SealedEntry[],
    results: readonly { readonly status: number; readonly pos: number; readonly lastCtr: number }[],
  ): void {
    const { store } = this.#core.ports;
    const { space } = run;
    let staleEpoch = false;
    let isTwin = false;
    let refused: number | null = null;
    store.transaction(() => {
      for (const [ix, row] of batch.entries()) {
        const result = results[ix];
        if (result === undefined) continue;
        if (result.status === 0) {
          this.#core.measures.acknowledged(row);
          store.outbox.acknowledge(space.id, row.entryId, result.pos);
          this.#core.acks.add(space.id, result.pos, row.entryId);
          this.#core.acknowledged();
        } else if (
          result.status === refusals.STALE_EPOCH.code ||
          result.status === refusals.NOT_A_WRITER.code
        ) {
          this.#core.measures.refused(result.status);
          // A relay that was put back may lack the certificate: nothing in its log tells.
          if (result.status === refusals.NOT_A_WRITER.code) {
            store.spaces.unpushCertificatesOf(space.id, space.device.publicKey);
          }
          store.outbox.unseal(space.id, row.entryId);
          staleEpoch = true;
        } else if (result.status === refusals.CTR_REPLAY.code) {
          this.#core.measures.refused(result.status);
          if (result.lastCtr > store.outbox.lastCounter(space.id)) isTwin = true;
          store.outbox.raiseCounter(space.id, result.lastCtr);
          store.outbox.unseal(space.id, row.entryId);
        } else if (row.hashes.length === 0 && refusalClass(result.status) !== "retry") {
          // A snapshot that the relay does not want is no loss.
          store.outbox.unseal(space.id, row.entryId);
          store.outgoingSnapshots.remove(row.doc);
        } else refused = result.status;
      }
      store.metrics.saveAlong();
    });
    this.#core.settled();
    if (isTwin) this.#core.listener.twin(space, { type: "twin", collision: null });
    if (refused === null) {
      this.#refusedCode = null;
      this.#core.event(run, { type: "push-acked", staleEpoch, refused: false });
    } else this.#pushRefused(run, refused, 0);
  }

  #pushRefused(run: SpaceRun, code: number, retryAfterMs: number): void {
    this.#core.measures.refused(code);
    // Being asked to slow down is no state a person needs to know: it is still sending.
    if (code !== refusals.RATE.code) {
      this.#refusedCode = code;
      this.#core.listener.log(
        "warning",
        `The relay did not take an entry: ${refusalWords(code)}. It is kept here.`,
      );
    }
    this.#core.event(run, { type: "push-acked", staleEpoch: false, refused: true });
    if (refusalClass(code) === "retry") {
      this.#core.ports.timers.after(retryAfterMs > 0 ? retryAfterMs : pushAgainMs, () =>
        this.#core.poke(run.space),
      );
    }
  }

  /** The blobs of snapshots go before their entries, one after another. */
  uploadSnapshots(run: SpaceRun): void {
    const { space } = run;
    const { store, timers } = this.#core.ports;
    const [next] = store.outgoingSnapshots.toUpload(space.id);
    if (next?.blob == null || run.uploading || run.handle === null || !space.mayWrite) return;
    run.uploading = true;
    const { doc, content } = next;
    const name = { blobId: next.blob.id, key: next.blob.key, size: content.length };
    void uploadBlob(this.#core.blobPorts(), space, doc, name, content).then((status) =>
      this.#core.link.attempt(() => {
        run.uploading = false;
        if (status === null) return;
        if (status === 0) {
          store.outgoingSnapshots.uploaded(doc);
          this.#core.poke(space);
        } else if (refusalClass(status) === "final" && next.changes.length === 0) {
          store.outgoingSnapshots.remove(doc);
        } else timers.after(pushAgainMs, () => this.uploadSnapshots(run));
      }),
    );
  }
}
