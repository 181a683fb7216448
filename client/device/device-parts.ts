/** What a device consists of, and how its parts know of each other. */
import type { Store } from "#crdt-store/store.ts";
import type { Clock } from "#client/sync/ports.ts";
import type { Space } from "#client/sync/space.ts";
import { Admission } from "./admission.ts";
import type { SyncStatus } from "./api.ts";
import { Arrival } from "./arrival.ts";
import { Authors } from "./authors.ts";
import { Background } from "./background.ts";
import { Carets } from "./carets.ts";
import { Closing } from "./closing.ts";
import { Compaction, defaultPackingLimits, type PackingLimits } from "./compaction.ts";
import { ConflictReview } from "./conflict-review.ts";
import { Copying } from "./copying.ts";
import { Culprits } from "./culprits.ts";
import { DeviceLinks } from "./device-links.ts";
import type { DevicePorts } from "./device-ports.ts";
import { DeviceRemoval } from "./device-removal.ts";
import { DocumentLoading } from "./document-loading.ts";
import { Endings } from "./endings.ts";
import { DeviceEvents } from "./events.ts";
import { failureWords } from "./failure-words.ts";
import { Homes } from "./homes.ts";
import { Indices } from "./indices.ts";
import { KeptCopies } from "./kept-copies.ts";
import { KeyCare } from "./key-care.ts";
import { LostPasts } from "./lost-pasts.ts";
import { Materialiser } from "./materialiser.ts";
import { Membership } from "./membership.ts";
import { Moving } from "./moving.ts";
import { NoteRows } from "./note-rows.ts";
import { Notebooks } from "./notebooks.ts";
import { Notes } from "./notes.ts";
import { Opener, defaultOpenerLimits } from "./opener.ts";
import { openerInProcess } from "./opener-in-process.ts";
import { OwnDevices } from "./own-devices.ts";
import { hueOfDevice } from "./people-rows.ts";
import { People } from "./people.ts";
import { Progress } from "./progress.ts";
import { Reactions } from "./reactions.ts";
import { RecoveryWords } from "./recovery-words.ts";
import { RelayDesk } from "./relay-desk.ts";
import { RelayEnquiry } from "./relay-enquiry.ts";
import { syncStatus } from "./relay-status.ts";
import { Renewal } from "./renewal.ts";
import { Retention } from "./retention.ts";
import { RollbackWitnesses } from "./rollback-witnesses.ts";
import { Search } from "./search.ts";
import { Shelf } from "./shelf.ts";
import { defaultSnapshotLimits, SnapshotMaker } from "./snapshot-maker.ts";
import { removedStatus } from "./status-word.ts";
import { Trials } from "./trials.ts";
import { Twins } from "./twins.ts";
import { VaultAccess } from "./vault-access.ts";
import { Warnings } from "./warnings.ts";

export interface DeviceParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly reactions: Reactions;
  readonly events: DeviceEvents;
  readonly progress: Progress;
  readonly background: Background;
  readonly documents: DocumentLoading;
  readonly opener: Opener;
  readonly trials: Trials;
  /** What is tried, beside everything else. */
  readonly trying: Background;
  readonly shelf: Shelf;
  readonly desk: RelayDesk;
  readonly enquiry: RelayEnquiry;
  readonly status: () => SyncStatus;
  readonly indices: Indices;
  readonly rows: NoteRows;
  readonly materialiser: Materialiser;
  readonly compaction: Compaction;
  readonly packing: PackingLimits;
  readonly conflicts: ConflictReview;
  readonly snapshots: SnapshotMaker;
  readonly moving: Moving;
  readonly lostPasts: LostPasts;
  readonly culprits: Culprits;
  readonly twins: Twins;
  readonly warnings: Warnings;
  readonly search: Search;
  readonly notes: Notes;
  readonly retention: Retention;
  readonly notebooks: Notebooks;
  readonly keptCopies: KeptCopies;
  readonly membership: Membership;
  readonly people: People;
  readonly closing: Closing;
  readonly keyCare: KeyCare;
  readonly authors: Authors;
  readonly admission: Admission;
  readonly words: RecoveryWords;
  readonly witnesses: RollbackWitnesses;
  readonly ownDevices: OwnDevices;
  readonly deviceLinks: DeviceLinks;
  readonly renewal: Renewal;
  readonly removal: DeviceRemoval;
  readonly endings: Endings;
  readonly vaultAccess: VaultAccess;
  readonly homes: Homes;
  readonly carets: Carets;
}

/** Makes them all; none does anything before it is asked. */
export function assembleParts(ports: DevicePorts): DeviceParts {
  const { store, timers, clock, readPage = null, servedBy = null } = ports;
  const reactions = new Reactions(() => all);
  const changedHere = (space: Space): void => reactions.changedHere(space);
  const mended = (doc: Uint8Array): void => reactions.mended(doc);
  const events = new DeviceEvents(timers, () => status());
  const progress = new Progress(timers);
  const failed = (error: unknown): void =>
    store.syncLog.add("error", `Something went wrong in the background: ${failureWords(error)}.`);
  const background = new Background(failed, () => progress.moved());
  const trying = new Background(failed, () => progress.moved());
  const trapped = (doc: Uint8Array): void => trying.add(() => trials.care({ doc, isAgain: false }));
  const culprits = new Culprits({ ...ports, mended, trapped });
  const loading = new DocumentLoading({
    ...ports,
    culprits,
    compaction: () => compaction,
    trials: () => trials,
  });
  const documents = (): ReturnType<DocumentLoading["loaded"]> => loading.loaded();
  const opener = new Opener({
    start: ports.startOpener ?? openerInProcess(ports.automerge),
    clock,
    timers,
    limits: ports.opening ?? defaultOpenerLimits,
  });
  const { openDocument } = opener;
  const packing = ports.packing ?? defaultPackingLimits;

  const shelf = new Shelf(ports);
  const desk = new RelayDesk(
    {
      ...ports,
      longHistory: packing.changes,
      openDocument,
      progress,
      spaces: () => shelf.spaces(),
    },
    reactions.sessionListener,
  );
  const status = (): SyncStatus => {
    const { durable } = ports;
    const stands = syncStatus({ store, desk, durable, servedBy });
    return endings.isRemoved ? { ...stands, ...removedStatus } : stands;
  };
  const trials = new Trials({
    store,
    culprits,
    opener,
    queue: trying,
    shelf,
    journalled: (space, doc) => reactions.journalled(space, doc, true),
    released: (space, doc, changes) => reactions.received(space, doc, changes),
  });
  const accessChanged = (space: Space): void => renewal.changed(space);
  const indices = new Indices({ ...ports, shelf, desk, events, accessChanged });
  const nameOf = (space: Space, dev: Uint8Array): string =>
    shelf.nameOfDevice(space, dev) ?? desk.sessionOf(space)?.presentName(space, dev) ?? "somebody";
  const parts = { ...ports, shelf, desk, indices, events, documents, background };

  const rows = new NoteRows({ ...parts, nameOf });
  const materialiser = new Materialiser({ ...parts, moved: () => events.notify("notes") });
  materialiser.add(rows);
  const conflicts = new ConflictReview({ ...parts, nameOf });
  materialiser.add(conflicts);
  const search = new Search({ ...parts, materialiser });
  const compaction = new Compaction({ ...parts, limits: packing, culprits });
  const summingUp = ports.snapshots ?? defaultSnapshotLimits;
  const snapshots = new SnapshotMaker({ ...parts, limits: summingUp });
  const authors = new Authors(parts);
  const copying = new Copying({ ...parts, authors });
  const moving = new Moving({ ...parts, rows, copying, changedHere });
  const arrival = new Arrival({ ...parts, progress });
  const notes = new Notes({ ...parts, rows, materialiser, arrival, moving, changedHere });

  const notebooks = new Notebooks({ ...parts, changedHere });

  const membership = new Membership(parts);
  const managing = { ...parts, progress, membership };
  const people = new People({ ...managing, servedBy });
  const closing = new Closing(managing);
  const renewal = new Renewal(managing);
  const removal = new DeviceRemoval({ ...managing, renewal });
  const admission = new Admission({ ...parts, progress, servedBy, people });
  const endings = new Endings({ ...managing, closing });

  const all: DeviceParts = {
    store,
    clock,
    reactions,
    events,
    progress,
    background,
    documents: loading,
    opener,
    trials,
    trying,
    shelf,
    desk,
    enquiry: new RelayEnquiry({ ...parts, progress, readPage, servedBy }),
    status,
    indices,
    rows,
    materialiser,
    compaction,
    packing,
    conflicts,
    snapshots,
    moving,
    lostPasts: new LostPasts(parts),
    culprits,
    twins: new Twins({ ...parts, mended }),
    warnings: new Warnings(parts),
    search,
    notes,
    retention: new Retention({ ...parts, notes }),
    notebooks,
    keptCopies: new KeptCopies({ ...parts, notebooks, copying, changedHere }),
    membership,
    people,
    closing,
    keyCare: new KeyCare(managing),
    authors,
    admission,
    words: new RecoveryWords(ports),
    witnesses: new RollbackWitnesses(parts),
    ownDevices: new OwnDevices(parts),
    deviceLinks: new DeviceLinks(managing),
    renewal,
    removal,
    endings,
    vaultAccess: new VaultAccess({ ...managing, admission, removal }),
    homes: new Homes({ ...managing, rows, copying, changedHere }),
    carets: new Carets({
      desk,
      events,
      nameOf,
      hueOf: (space, dev) => hueOfDevice(space, shelf, dev),
    }),
  };
  return all;
}
