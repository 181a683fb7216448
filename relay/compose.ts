/** A running relay from its parts: store, identity, clock, server. What main.ts and tests start. */
import { randomBytes } from "node:crypto";
import { statfs } from "node:fs/promises";
import { ed25519 } from "@noble/curves/ed25519.js";
import { inviteHash } from "#relay/protocol/access.ts";
import { AccessRules, newInvite } from "#relay/access.ts";
import { describeRelay } from "#relay/about.ts";
import { ClientFiles } from "#relay/client-files.ts";
import type { Config } from "#relay/config/config.ts";
import { DiskWatch } from "#relay/disk-watch.ts";
import { MetricsRegistry } from "#relay/metrics.ts";
import { startMetricsServer, type MetricsServer } from "#relay/metrics-server.ts";
import { openStore, type RelayStore } from "#relay/open-store.ts";
import { observeProcess } from "#relay/process-metrics.ts";
import { Readiness } from "#relay/readiness.ts";
import { Relay, type Log } from "#relay/relay.ts";
import { RelayMetrics } from "#relay/relay-metrics.ts";
import { startServer } from "#relay/server.ts";
import { createSigner, createVerifier } from "#relay/signatures.ts";
import type { StoreIdentity } from "#relay/store/store.ts";
import { systemTimers } from "#relay/system-timers.ts";

export interface RunningRelay {
  readonly port: number;
  /** Null where metrics are off. */
  readonly metricsPort: number | null;
  /** The token of the first invitation, made just now; null if there was one, or none is needed. */
  readonly firstInvite: Uint8Array | null;
  /** Drains, then closes the store. */
  stop(): Promise<void>;
}

export interface RunOptions {
  readonly config: Config;
  readonly workerUrl: URL | null;
  /** Where the built client is. */
  readonly clientDir: string;
  readonly version: string;
  readonly log: Log;
}

/** Rejects with a StoreError or the system's error of listening; nothing is left open then. */
export async function runRelay(options: RunOptions): Promise<RunningRelay> {
  const { config, workerUrl } = options;
  const closers: (() => unknown)[] = [];
  const close = async (): Promise<void> => {
    for (const closeOne of closers.toReversed()) await closeOne();
  };
  try {
    const store = await openStore(config.store, { dir: config.dataDir, workerUrl });
    closers.push(() => store.close());
    return await start(options, store, closers, close);
  } catch (error) {
    await close();
    throw error;
  }
}

async function start(
  { config, clientDir, version, log }: RunOptions,
  store: RelayStore,
  closers: (() => unknown)[],
  close: () => Promise<void>,
): Promise<RunningRelay> {
  const { limits } = config;
  const kept = await store.identity(freshIdentity());
  const relayPub = ed25519.getPublicKey(kept.relaySecret);

  const disk = new DiskWatch({
    freeBytes: () => freeBytesFor(config),
    keepFreeBytes: config.keepFreeBytes,
    timers: systemTimers,
    log,
  });
  await disk.start();
  closers.push(() => disk.stop());
  const registry = new MetricsRegistry();
  const metrics = new RelayMetrics(registry);
  const verify = measured(createVerifier(), metrics);
  const access = { mode: config.access, guests: config.guests };
  const relay = new Relay({
    store,
    clock: Date,
    timers: systemTimers,
    random: (length) => new Uint8Array(randomBytes(length)),
    verify,
    identity: {
      relayPub,
      storeId: kept.storeId,
      sign: createSigner(kept.relaySecret, relayPub),
    },
    access: new AccessRules({
      access,
      allowedKeys: config.allowedKeys,
      keyQuotaBytes: config.keyQuotaBytes,
      store: store.access,
      verify,
      now: () => Date.now(),
      isDiskFull: () => disk.isFull,
    }),
    limits,
    log,
    acceptsOrigin: (dialled, told) =>
      isOrigin(dialled, told) || isOrigin(dialled, config.publicUrl?.origin ?? null),
  });
  const readiness = new Readiness({
    probe: () => store.chainAt(new Uint8Array(32), 0),
    isDiskFull: () => disk.isFull,
    timers: systemTimers,
  });
  const server = await startServer({
    relay,
    files: new ClientFiles(clientDir),
    about: JSON.stringify(describeRelay({ version, relayPub, access, config })),
    basePath: config.publicUrl?.pathname.replace(/\/+$/, "") ?? "",
    trustedProxies: config.trustedProxies,
    connectionsPerAddress: limits.connectionsPerAddress,
    readiness,
    metrics,
    host: config.host,
    port: config.port,
    log,
  });
  closers.push(() => server.stop());
  const metricsServer = await startMetrics(config, version, registry, { relay, store, disk });
  closers.push(() => metricsServer?.stop());
  return {
    port: server.port,
    metricsPort: metricsServer?.port ?? null,
    firstInvite: config.access === "invite" ? await inviteFirst(store) : null,
    stop: async () => {
      readiness.isDraining = true;
      await close();
    },
  };
}

/** The store's size is asked for at each scrape, what is in memory is read. */
async function startMetrics(
  { metrics }: Config,
  version: string,
  registry: MetricsRegistry,
  { relay, store, disk }: { relay: Relay; store: RelayStore; disk: DiskWatch },
): Promise<MetricsServer | null> {
  if (metrics === null) return null;
  const stopObserving = observeProcess(registry, version);
  let storeBytes: number | null = null;
  registry.gauge("relay_connections", "Open connections.", () => relay.connectionCount);
  registry.gauge("relay_subscriptions", "Subscriptions.", () => relay.subscriptionCount);
  registry.gauge("relay_spaces", "Spaces somebody is subscribed to.", () => relay.spaceCount);
  registry.gauge("relay_store_bytes", "Counted bytes of all spaces.", () => storeBytes);
  registry.gauge(
    "relay_store_disk_free_bytes",
    "Room on the data directory's disk.",
    () => disk.freeBytes,
  );
  registry.gauge("relay_store_read_only", "1 while the disk has no room.", () =>
    disk.isFull ? 1 : 0,
  );
  const server = await startMetricsServer({
    ...metrics,
    render: async () => {
      storeBytes = await store.totalBytes().catch(() => null);
      return registry.render();
    },
  });
  return {
    port: server.port,
    stop: async () => {
      stopObserving();
      await server.stop();
    },
  };
}

/** An invitation for the operator, where nobody has been invited yet. */
async function inviteFirst({ access }: RelayStore): Promise<Uint8Array | null> {
  const isFirst =
    (await access.listAccessKeys()).length === 0 && (await access.listInvites()).length === 0;
  if (!isFirst) return null;
  const token = newInvite((length) => new Uint8Array(randomBytes(length)));
  const madeAt = Date.now();
  await access.addInvite({ tokenHash: inviteHash(token), label: "first", madeAt, expiresAt: null });
  return token;
}

/** Null where the store is not on this machine's disk. */
async function freeBytesFor({ store, dataDir }: Config): Promise<number | null> {
  if (store.type !== "sqlite") return null;
  try {
    const { bavail, bsize } = await statfs(dataDir);
    return bavail * bsize;
  } catch {
    return null;
  }
}

type Verify = ReturnType<typeof createVerifier>;

function measured(verify: Verify, metrics: RelayMetrics): Verify {
  return async (publicKey, message, signature) => {
    const begun = performance.now();
    const isGood = await verify(publicKey, message, signature);
    metrics.verifySeconds.observe((performance.now() - begun) / 1000);
    if (!isGood) metrics.signatureFailures.add();
    return isGood;
  };
}

function freshIdentity(): StoreIdentity {
  return {
    relaySecret: new Uint8Array(randomBytes(32)),
    storeId: new Uint8Array(randomBytes(16)),
  };
}

/**
 * Whether a dialled WebSocket address leads to this host; with `https://` or `http://` before it, also
 * whether the scheme fits.
 */
function isOrigin(dialled: string, host: string | null): boolean {
  if (host === null || !URL.canParse(dialled)) return false;
  const { protocol, host: dialledHost } = new URL(dialled);
  if (protocol !== "ws:" && protocol !== "wss:") return false;
  // The same normal form on both sides: case, default ports.
  const scheme = protocol === "wss:" ? "https" : "http";
  const normal = host.includes("://") ? host : `${scheme}://${host}`;
  if (!URL.canParse(normal)) return false;
  const told = new URL(normal);
  return told.host === dialledHost && told.protocol === `${scheme}:`;
}
