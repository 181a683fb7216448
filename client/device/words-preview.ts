/**
 * What the words lead to, before anything is made or replaced: the vault is read into a store of its own, in memory, by
 * the words' own key, and forgotten. Nothing is written to it.
 */
import type { Store } from "#crdt-store/store.ts";
import { capabilityKinds, roles } from "#relay/protocol/control.ts";
import type { SessionListener, SessionPorts } from "#client/sync/session-listener.ts";
import { SyncSession } from "#client/sync/session.ts";
import { Space } from "#client/sync/space.ts";
import type { FoundByWords } from "./api.ts";
import { devicePrefix, unpackDevice } from "./device-entry.ts";
import { DeviceDocuments } from "./documents.ts";
import {
  unpackNotebook,
  vaultIndexGenesis,
  type Automerge,
  type VaultIndex,
} from "./index-document.ts";
import { Progress } from "./progress.ts";
import { refuse } from "./refusal.ts";
import type { RelayDesk } from "./relay-desk.ts";
import { openByWords, wordsRoot, type WordsRoot } from "./vault-access.ts";
import type { ControlLog } from "./relay-questions.ts";

export interface WordsPreviewPorts extends SessionPorts {
  readonly desk: RelayDesk;
  readonly automerge: () => Promise<Automerge>;
  /** An empty store in memory, for a while; closed by whoever asks. */
  readonly openScratchStore: () => Promise<Store>;
}

const readWithinMs = 30_000;

export async function previewWords(ports: WordsPreviewPorts, typed: string): Promise<FoundByWords> {
  const root = wordsRoot(ports.ed, typed);
  const { log, url } = await ports.desk.visitOwn(async (relay) => ({
    ...(await openByWords(relay, root)),
    url: relay.url,
  }));
  const automerge = await ports.automerge();
  const store = await ports.openScratchStore();
  try {
    await readVault({ ...ports, store }, url, root, log);
    const documents = new DeviceDocuments(
      { ...ports, store, damaged: () => undefined, culprits: null },
      automerge,
    );
    const { indexId } = mustSpace({ ...ports, store }, root);
    const vault = documents.load<VaultIndex>(indexId, vaultIndexGenesis(automerge));
    return found(automerge, vault, log);
  } finally {
    store.close();
  }
}

/** Takes in all that the relay has of the vault. */
async function readVault(
  ports: SessionPorts,
  url: string,
  root: WordsRoot,
  log: ControlLog,
): Promise<void> {
  const { store, clock, timers } = ports;
  const { vault: id, genesis } = root;
  store.spaces.put({
    id,
    kind: "vault",
    genesis,
    capSecret: null,
    role: "admin",
    state: "active",
    relayUrl: null,
    createdAt: clock.now(),
  });
  const space = mustSpace(ports, root);
  space.absorb(log.records, log.certificates);
  const progress = new Progress(timers);
  const session = new SyncSession(
    url,
    ports,
    listener(() => progress.moved()),
  );
  session.add(space);
  session.start();
  try {
    const read = (): true | null => (session.isCurrent(space) ? true : null);
    if ((await progress.until(read, readWithinMs)) !== null) return;
  } finally {
    session.stop();
  }
  refuse("offline", "The relay did not answer in time. Nothing was changed; try again.");
}

/** The vault as the words hold it. */
function mustSpace({ store, ed, random }: SessionPorts, root: WordsRoot): Space {
  const identity = { secret: random(32), incarnation: random(16), former: [] };
  const words = { sign: root.admin, box: root.box };
  return new Space({ store, ed, identity }, root.vault, root.genesis, words);
}

function found(automerge: Automerge, vault: VaultIndex, { verified }: ControlLog): FoundByWords {
  const { authority, records } = verified;
  const devices = authority.capabilities.filter(
    ({ kind, role }) =>
      role !== roles.none && kind !== capabilityKinds.link && kind !== capabilityKinds.recovery,
  );
  const notebooks = Object.values(vault.notebooks).filter((packed) => unpackNotebook(packed));
  const moments = [
    ...records.map(({ record }) => record.timeMs),
    ...Object.entries(vault).flatMap(([key, packed]) =>
      key.startsWith(devicePrefix) && packed instanceof Uint8Array
        ? (unpackDevice(packed)?.lastSeenAt ?? [])
        : [],
    ),
    ...automerge
      .getAllChanges(vault as Parameters<Automerge["getAllChanges"]>[0])
      .map((change) => 1_000 * automerge.decodeChange(change).time),
  ];
  return {
    notebooks: notebooks.length,
    devices: devices.length,
    lastChangeAt: moments.length === 0 ? null : Math.max(...moments),
  };
}

/** Nobody listens to what else happens in a vault that is only looked at. */
function listener(progress: () => void): SessionListener {
  const nothing = (): void => undefined;
  return {
    progress,
    journalled: nothing,
    judge: () => new Set<string>(),
    changes: nothing,
    listed: nothing,
    fetching: nothing,
    members: nothing,
    presence: nothing,
    ended: nothing,
    miskeyed: nothing,
    forked: nothing,
    builtUpon: nothing,
    twin: nothing,
    unvouched: nothing,
    displaced: nothing,
    unpack: nothing,
    lostPast: () => false,
    madeGood: nothing,
    log: nothing,
  };
}
