/**
 * One of several nodes on a store: hears what the others write and say (docs/decisions/relay-nodes.md).
 * A hint makes a space be read anew, which tells its readers. Hints may be lost, so every few seconds
 * the store is asked for the spaces that somebody is subscribed to: that is the truth.
 */
import { toHex } from "#relay/protocol/bytes.ts";
import type { Neighbours } from "#relay/store/store.ts";

export interface NodesPorts {
  readonly neighbours: Neighbours;
  /** Reads a space anew unless it is known at this revision or a later one. */
  readonly heard: (spaceId: Uint8Array, revision: number) => void;
  /** Spaces somebody is subscribed to here, and the revision each is known at. */
  readonly topics: () => readonly { readonly spaceId: Uint8Array; readonly revision: number }[];
  /** Presence of somebody on another node. */
  readonly presence: (spaceKey: string, epoch: number, sealed: Uint8Array) => void;
  readonly after: (ms: number, run: () => void) => () => void;
  /** From 0 up to, not including, 1. */
  readonly chance: () => number;
  /** Told of what went wrong while the store was asked. */
  readonly fail: (error: unknown) => void;
}

const shortestPollMs = 2_000;
const longestPollMs = 4_000;
/** Spaces asked for in one statement. */
const pollSlice = 2_000;

export class Nodes {
  readonly #ports: NodesPorts;
  #cancelPoll: () => void;
  #isPolling = false;
  #isStopped = false;

  constructor(ports: NodesPorts) {
    this.#ports = ports;
    this.#cancelPoll = this.#pollLater();
    ports.neighbours.listen({
      onHint: (spaceId, revision) => {
        if (!this.#isStopped) ports.heard(spaceId, revision);
      },
      onPresence: ({ spaceId, epoch, sealed }) => {
        if (!this.#isStopped) ports.presence(toHex(spaceId), epoch, sealed);
      },
      onGap: () => {
        void this.#poll();
      },
    });
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancelPoll();
  }

  /** Nodes that were started together must not ask together. */
  #pollLater(): () => void {
    const ms = shortestPollMs + this.#ports.chance() * (longestPollMs - shortestPollMs);
    return this.#ports.after(Math.floor(ms), () => {
      this.#cancelPoll = this.#pollLater();
      void this.#poll();
    });
  }

  async #poll(): Promise<void> {
    if (this.#isPolling || this.#isStopped) return;
    this.#isPolling = true;
    const topics = this.#ports.topics();
    try {
      for (let at = 0; at < topics.length; at += pollSlice) {
        await this.#ask(topics.slice(at, at + pollSlice));
      }
    } catch (error) {
      this.#ports.fail(error);
    }
    this.#isPolling = false;
  }

  async #ask(topics: ReturnType<NodesPorts["topics"]>): Promise<void> {
    const { neighbours, heard } = this.#ports;
    const revisions = await neighbours.revisionsOf(topics.map(({ spaceId }) => spaceId));
    if (this.#isStopped) return;
    for (const [ix, { spaceId, revision }] of topics.entries()) {
      const now = revisions[ix] ?? 0;
      if (now > revision) heard(spaceId, now);
    }
  }
}
