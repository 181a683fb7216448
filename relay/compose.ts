/** A running relay from its parts: store, identity, clock, server. What main.ts and tests start. */
import { randomBytes } from "node:crypto";
import { ed25519 } from "@noble/curves/ed25519.js";
import type { Limits } from "#relay/protocol/limits.ts";
import { Relay, type Log } from "#relay/relay.ts";
import { startServer, type RelayServer } from "#relay/server.ts";
import { createSigner, createVerifier } from "#relay/signatures.ts";
import { openSqliteStore } from "#relay/store/sqlite.ts";
import type { StoreIdentity } from "#relay/store/store.ts";

export interface RunningRelay {
  readonly port: number;
  /** Drains, then closes the store. */
  stop(): Promise<void>;
}

export interface RunOptions {
  readonly dataDir: string;
  readonly workerUrl: URL | null;
  readonly host: string;
  readonly port: number;
  readonly clientDir: string;
  readonly publicUrl: string | null;
  readonly limits: Limits;
  readonly version: string;
  readonly log: Log;
}

/** Rejects with a StoreError or the system's error of listening; nothing is left open then. */
export async function runRelay(options: RunOptions): Promise<RunningRelay> {
  const { limits, log, host, port, clientDir, version } = options;
  const store = await openSqliteStore({ dir: options.dataDir, workerUrl: options.workerUrl });
  let server: RelayServer;
  try {
    const kept = await store.identity(freshIdentity());
    const relayPub = ed25519.getPublicKey(kept.relaySecret);
    const relay = new Relay({
      store,
      clock: Date,
      timers: { after: runAfter },
      random: (length) => new Uint8Array(randomBytes(length)),
      verify: createVerifier(),
      identity: {
        relayPub,
        storeId: kept.storeId,
        sign: createSigner(kept.relaySecret, relayPub),
      },
      limits,
      log,
      acceptsOrigin: (dialled, dialledHost) =>
        isOrigin(dialled, dialledHost) || isOrigin(dialled, hostOf(options.publicUrl)),
    });
    server = await startServer({ relay, relayPub, version, limits, clientDir, host, port, log });
  } catch (error) {
    await store.close();
    throw error;
  }
  return {
    port: server.port,
    async stop() {
      await server.stop();
      await store.close();
    },
  };
}

function freshIdentity(): StoreIdentity {
  return {
    relaySecret: new Uint8Array(randomBytes(32)),
    storeId: new Uint8Array(randomBytes(16)),
  };
}

function runAfter(ms: number, run: () => void): () => void {
  if (ms === 0) {
    const immediate = setImmediate(run);
    return () => {
      clearImmediate(immediate);
    };
  }
  const timer = setTimeout(run, ms);
  return () => {
    clearTimeout(timer);
  };
}

function hostOf(url: string | null): string | null {
  return url === null ? null : new URL(url).host;
}

/** Whether a dialled WebSocket address leads to this host. */
function isOrigin(dialled: string, host: string | null): boolean {
  if (host === null || !URL.canParse(dialled)) return false;
  const { protocol, host: dialledHost } = new URL(dialled);
  const scheme = protocol === "wss:" ? "https" : "http";
  if (protocol !== "ws:" && protocol !== "wss:") return false;
  // The same normal form on both sides: case, default ports.
  const normal = `${scheme}://${host}`;
  return URL.canParse(normal) && new URL(normal).host === dialledHost;
}
