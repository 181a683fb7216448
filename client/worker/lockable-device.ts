/**
 * The device of this browser behind its lock: the one place that knows whether the notes are open.
 *
 * ```
 *            ┌── passphrase, no key handed over ──▶ locked ◀───────┐
 * opening ───┼── key ──▶ open ── lock: the tabs flush, then the    │
 *            │             ▲    store closes, the key is zeroed ───┘
 *            ├── sealed notes without a key ──▶ keyless            │
 *            └── failed                ◀── unlock ─────────────────┘
 * ```
 *
 * While it is not open, no file is held, no key is in memory and every call of the device is refused. Steps from
 * one state to another run one after the other; a wipe can begin in every state.
 */
import type { FileSet } from "#crdt-store/files/file.ts";
import { closeFiles, fileRoles } from "#crdt-store/files/file.ts";
import { StoreError } from "#crdt-store/store-error.ts";
import {
  lockWithPassphrase,
  openPassphraseLock,
  passphraseFault,
} from "#client/crypto/passphrase-lock.ts";
import type { Argon2id } from "#client/crypto/passphrase-lock.ts";
import type { DeviceApi, DeviceEvent } from "#client/device/api.ts";
import { Refusal, refuse } from "#client/device/refusal.ts";
import { AutoLockWatch } from "./auto-lock.ts";
import type { DatabaseKey } from "./database-key.ts";
import { DEVICE_METHODS } from "./device-methods.ts";
import type { KeyKeeper } from "./key-keeper.ts";
import { autoLockChoices } from "./lock-api.ts";
import type { AutoLock, LockApi, LockState, WorkerApi, WorkerEvent } from "./lock-api.ts";
import type { Timers } from "./rpc.ts";

/** A device whose store is open. */
export interface OpenDevice {
  readonly api: DeviceApi;
  subscribe(listener: (event: DeviceEvent) => void): () => void;
  tabGone(session: string): void;
  /** Resolves when the files are closed. */
  close(): Promise<void>;
}

export interface LockablePorts {
  readonly key: DatabaseKey;
  readonly keeper: KeyKeeper;
  /** The database's files; without a durable place, files in memory, which need no key. */
  openFiles(): Promise<{ readonly files: FileSet; readonly durable: boolean }>;
  /** Owns the files from here on; copies the key. */
  openDevice(opened: {
    readonly files: FileSet;
    readonly key: Uint8Array | null;
    readonly durable: boolean;
  }): Promise<OpenDevice>;
  /** Removes all files of this device, also what is left of an earlier removal. */
  removeFiles(): Promise<void>;
  /** Calls back once if the files are removed under the open device; the returned function ends the watch. */
  watchFiles(onGone: () => void): () => void;
  readonly argon2id: Argon2id;
  readonly random: (count: number) => Uint8Array;
  readonly timers: Timers;
  readonly clock: { now(): number };
  readonly onFault: (error: unknown) => void;
}

type State =
  | { readonly type: "opening" }
  | {
      readonly type: "open";
      readonly device: OpenDevice;
      /** Null where nothing is kept. Zeroed when the device closes. */
      readonly key: Uint8Array | null;
      readonly hasPassphrase: boolean;
      readonly autoLock: AutoLock;
      /** The files have gone: what is written lives in this browser's memory and on the relay. */
      readonly isAdrift: boolean;
      readonly stopWatching: () => void;
    }
  | { readonly type: "locked" }
  | { readonly type: "keyless" }
  | { readonly type: "failed"; readonly error: unknown }
  | { readonly type: "closed" };

type Open = Extract<State, { readonly type: "open" }>;

type OpenKey = Pick<Open, "key" | "hasPassphrase" | "autoLock">;

type Found =
  | ({ readonly type: "key" } & OpenKey)
  | { readonly type: "locked" | "keyless" | "wiping" };

/** So long a lock waits for the tabs to write out what was typed, and then for calls under way. */
const flushLimitMs = 3_000;
const callLimitMs = 1_000;
const defaultAutoLock: AutoLock = 15;

const words = {
  locked: "These notes are locked. Enter your passphrase to open them.",
  wrong: "This passphrase does not open these notes. Nothing was changed: try again.",
  keyless:
    "Your notes are on this device, sealed, but the key to them is gone. Nothing was deleted: reload, or remove them and start afresh.",
  notYet: "Your notes are being opened or closed. Nothing was changed: try again in a moment.",
  unsaved:
    "The notes were not locked: what was typed last could not be saved yet. It is kept in its window; lock again once it is saved.",
  nothingToLock: "There is no passphrase yet. Set one, and the notes can be locked.",
  hasOne: "The notes have a passphrase already. Enter it to change it.",
  inMemory: "This window keeps nothing on this device, so there is nothing to lock.",
  noMemory:
    "There is not enough free memory to work with a passphrase. Nothing was changed: close other windows and try again.",
  damaged:
    "The record of your passphrase is damaged, so it cannot open your notes. Nothing was deleted: your 24 words bring them back on another device.",
  newer:
    "These notes were locked by a newer version of Sealeaf. Nothing was changed: reload this page for the update.",
  halfWiped:
    "The key to the notes is destroyed, so nobody can read them any more, but their files could not be removed. Reload this page to try again.",
  adrift:
    "The browser has removed the place where your notes were kept; its site data was cleared, perhaps. They live on in this window only: copy what you need, or let it reach the relay, before you close it.",
  removed:
    "The browser has closed or removed the place where your notes are kept; its site data was cleared, perhaps. What you typed last is still in this window: copy it, then reload.",
} as const;

export class LockableDevice {
  /** Calls of a device that cannot be opened are refused with the reason. */
  readonly api: WorkerApi;
  readonly #ports: LockablePorts;
  readonly #autoLock: AutoLockWatch;
  readonly #listeners = new Set<(event: WorkerEvent) => void>();
  readonly #sessions = new Set<string>();
  readonly #callsUnderWay = new Set<Promise<unknown>>();
  #state: State = { type: "opening" };
  #flush: Flush | null = null;
  /** Settles, never rejects, when the steps asked for so far are over. */
  #last: Promise<unknown>;
  // What the browser said last, for a device that opens later.
  #online: boolean | null = null;
  #visible: boolean | null = null;

  constructor(ports: LockablePorts) {
    this.#ports = ports;
    this.#autoLock = new AutoLockWatch(ports.timers, ports.clock, () => this.#lockForQuiet());
    this.api = { ...this.#guardedApi(), ...this.#lockApi() };
    this.#last = this.#become(() => this.#opened()).catch(() => {});
  }

  subscribe(listener: (event: WorkerEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  tabGone(session: string): void {
    this.#sessions.delete(session);
    this.#flush?.answer(session, true);
    if (this.#state.type === "open") this.#state.device.tabGone(session);
  }

  /** Another worker goes on. If the notes were open, the keeper has the key for it. */
  async close(): Promise<void> {
    await this.#inTurn(() => this.#closeDevice({ type: "closed" }));
  }

  // ── the device, while it is open ──────────────────────────────────────────────────────────────

  #guardedApi(): DeviceApi {
    const names = Object.keys(DEVICE_METHODS) as (keyof DeviceApi)[];
    const guarded = Object.fromEntries(
      names.map((name) => [name, (...args: unknown[]) => this.#call(name, args)]),
      // One for every method of the interface, by the complete list of their names.
    ) as unknown as DeviceApi;
    return {
      ...guarded,
      info: async () => this.#asItIsIn(await guarded.info()),
      status: async () => this.#asItIsIn(await guarded.status()),
      setOnline: async (online) => {
        this.#online = online;
        if (this.#state.type === "open") await this.#call("setOnline", [online]);
      },
      setVisible: async (visible) => {
        this.#visible = visible;
        if (this.#state.type === "open") await this.#call("setVisible", [visible]);
      },
    };
  }

  async #call(name: keyof DeviceApi, args: unknown[]): Promise<unknown> {
    if (this.#state.type === "opening") await this.#last;
    const { device } = this.#mustBeOpen();
    // The arguments are checked by the caller's types.
    const method = device.api[name] as (...args: unknown[]) => Promise<unknown>;
    const work = method.apply(device.api, args);
    this.#callsUnderWay.add(work);
    try {
      return await work;
    } catch (error) {
      throw refusalOf(error);
    } finally {
      this.#callsUnderWay.delete(work);
    }
  }

  #mustBeOpen(): Open {
    const state = this.#state;
    switch (state.type) {
      case "open":
        return state;
      case "locked":
        return refuse("locked", words.locked);
      case "keyless":
        return refuse("storage", words.keyless);
      case "opening":
      case "closed":
        return refuse("unavailable", words.notYet);
      case "failed":
        throw state.error;
    }
  }

  // ── opening ───────────────────────────────────────────────────────────────────────────────────

  /** Takes the state that `open` arrives at, or the failure's. */
  async #become(open: () => Promise<State>): Promise<void> {
    try {
      this.#state = await open();
    } catch (error) {
      this.#ports.onFault(error);
      this.#state = { type: "failed", error: refusalOf(error) };
      throw this.#state.error;
    } finally {
      this.#watchForQuiet();
    }
  }

  async #opened(): Promise<State> {
    const { files, durable } = await this.#ports.openFiles();
    if (!durable) return this.#openWith(files, { key: null, hasPassphrase: false, autoLock: null });
    let found: Found;
    try {
      found = await this.#findKey(files);
    } catch (error) {
      closeFiles(files);
      throw error;
    }
    if (found.type === "key") {
      return found.hasPassphrase
        ? this.#openHandedOver(files, found)
        : this.#openWith(files, found);
    }
    closeFiles(files);
    if (found.type !== "wiping") return { type: found.type };
    await this.#finishWipe();
    return this.#opened();
  }

  async #findKey(files: FileSet): Promise<Found> {
    const { key: databaseKey, keeper } = this.#ports;
    const kept = await databaseKey.read();
    switch (kept.type) {
      case "browser":
        return { type: "key", key: await kept.open(), hasPassphrase: false, autoLock: null };
      case "passphrase": {
        const key = await keeper.ask();
        if (key === null) return { type: "locked" };
        return { type: "key", key, hasPassphrase: true, autoLock: kept.autoLock };
      }
      case "none": {
        // The key is there before the first page is written, so this is no beginning cut short.
        if (fileRoles.some((role) => files[role].size() > 0)) return { type: "keyless" };
        const key = await databaseKey.create();
        return { type: "key", key, hasPassphrase: false, autoLock: null };
      }
      case "wiping":
        return kept;
    }
  }

  /** A key from another leader may be of what was here before: whoever knows the passphrase has a better one. */
  async #openHandedOver(files: FileSet, found: OpenKey): Promise<State> {
    try {
      return await this.#openWith(files, found);
    } catch (error) {
      if (!(error instanceof StoreError) || error.type !== "wrong-key") throw error;
      this.#ports.keeper.keep(null);
      return { type: "locked" };
    }
  }

  async #openWith(files: FileSet, { key, hasPassphrase, autoLock }: OpenKey): Promise<Open> {
    const device = await this.#ports.openDevice({ files, key, durable: key !== null });
    device.subscribe((event) => this.#emit(this.#asItIs(event)));
    if (this.#online !== null) await device.api.setOnline(this.#online);
    if (this.#visible !== null) await device.api.setVisible(this.#visible);
    this.#ports.keeper.keep(hasPassphrase ? key : null);
    const stopWatching =
      key === null ? () => {} : this.#ports.watchFiles(() => void this.#goAdrift(device));
    return { type: "open", device, key, hasPassphrase, autoLock, isAdrift: false, stopWatching };
  }

  /** Nothing is stopped: what is still in memory can be read, copied, and sent to the relay. */
  async #goAdrift(device: OpenDevice): Promise<void> {
    const state = this.#state;
    if (state.type !== "open" || state.device !== device) return;
    this.#state = { ...state, isAdrift: true };
    this.#emit({ type: "notice", text: words.adrift });
    const status = await device.api.status();
    this.#emit(this.#asItIs({ type: "status", status }));
  }

  /** The device does not know that its files have gone. */
  #asItIs(event: DeviceEvent): DeviceEvent {
    return event.type === "status" ? { ...event, status: this.#asItIsIn(event.status) } : event;
  }

  #asItIsIn<Told extends { readonly durable: boolean }>(told: Told): Told {
    const isAdrift = this.#state.type === "open" && this.#state.isAdrift;
    return isAdrift ? { ...told, durable: false } : told;
  }

  /** Calls under way are answered first, unless they take too long. */
  async #closeDevice(next: State): Promise<void> {
    const state = this.#state;
    this.#state = next;
    this.#autoLock.stop();
    if (state.type !== "open") return;
    state.stopWatching();
    await within(this.#ports.timers, callLimitMs, Promise.allSettled(this.#callsUnderWay));
    try {
      await state.device.close();
    } finally {
      state.key?.fill(0);
    }
  }

  // ── the lock ──────────────────────────────────────────────────────────────────────────────────

  #lockApi(): LockApi {
    return {
      lockState: async (session) => {
        this.#sessions.add(session);
        await this.#last;
        return this.#lockState();
      },
      unlock: (passphrase) => this.#inTurn(() => this.#unlock(passphrase)),
      lockNow: () => this.#inTurn(() => this.#lockNow()),
      readyToLock: async (session, isSaved) => this.#flush?.answer(session, isSaved),
      setPassphrase: (current, next) => this.#inTurn(() => this.#setPassphrase(current, next)),
      setAutoLock: (minutes) => this.#inTurn(() => this.#setAutoLock(minutes)),
      noteInput: async () => this.#autoLock.input(),
      wipe: () => this.#inTurn(() => this.#wipe()),
    };
  }

  #lockState(): LockState {
    const state = this.#state;
    switch (state.type) {
      case "locked":
      case "keyless":
        return state;
      default: {
        const { hasPassphrase, autoLock } = this.#mustBeOpen();
        return { type: "open", hasPassphrase, autoLock };
      }
    }
  }

  async #unlock(passphrase: string): Promise<void> {
    if (this.#state.type === "open") return;
    const kept = await this.#ports.key.read();
    if (kept.type !== "passphrase") return this.#become(() => this.#opened());
    const key = await this.#keyIn(kept.record, passphrase);
    await this.#become(async () => {
      const { files, durable } = await this.#ports.openFiles();
      if (!durable) refuse("storage", words.removed);
      return this.#openWith(files, { key, hasPassphrase: true, autoLock: kept.autoLock });
    });
    this.#tellState();
  }

  /** The key that the passphrase opens; refuses if it does not. */
  async #keyIn(record: Uint8Array, passphrase: string): Promise<Uint8Array> {
    const opening = await openPassphraseLock(record, passphrase, this.#ports.argon2id);
    switch (opening.type) {
      case "open":
        return opening.key;
      case "wrong-passphrase":
        return refuse("wrong-passphrase", words.wrong);
      case "damaged":
        return refuse("storage", words.damaged);
      case "newer-version":
        return refuse("storage", words.newer);
      case "no-memory":
        return refuse("unavailable", words.noMemory);
    }
  }

  async #lockNow(): Promise<void> {
    if (this.#state.type === "locked") return;
    const { hasPassphrase, isAdrift } = this.#mustBeOpen();
    if (isAdrift) refuse("storage", words.adrift);
    if (!hasPassphrase) refuse("bad-input", words.nothingToLock);
    const isSaved = await this.#flushTabs();
    if (!isSaved) {
      this.#tellState();
      refuse("storage", words.unsaved);
    }
    this.#ports.keeper.keep(null);
    try {
      await this.#closeDevice({ type: "locked" });
    } finally {
      this.#tellState();
    }
  }

  /** Has every tab write out what was typed and show nothing more. False if one could not. */
  async #flushTabs(): Promise<boolean> {
    const flush = new Flush(this.#sessions);
    this.#flush = flush;
    this.#emit({ type: "lock", lock: { type: "locking" } });
    await within(this.#ports.timers, flushLimitMs, flush.complete);
    this.#flush = null;
    return flush.isSaved;
  }

  #lockForQuiet(): void {
    this.#inTurn(() => this.#lockNow()).catch((error: unknown) => {
      // Whoever is away cannot read a sentence: it is tried again after as long a pause.
      if (!(error instanceof Refusal)) this.#ports.onFault(error);
      this.#watchForQuiet();
    });
  }

  #watchForQuiet(): void {
    const state = this.#state;
    this.#autoLock.start(state.type === "open" && state.hasPassphrase ? state.autoLock : null);
  }

  // ── the passphrase ────────────────────────────────────────────────────────────────────────────

  async #setPassphrase(current: string | null, next: string | null): Promise<void> {
    const { key, isAdrift } = this.#mustBeOpen();
    if (isAdrift) refuse("storage", words.adrift);
    if (key === null) return refuse("bad-input", words.inMemory);
    const fault = next === null ? null : passphraseFault(next);
    if (fault !== null) refuse("bad-input", fault);
    const kept = await this.#ports.key.read();
    if (kept.type === "passphrase" && !(await this.#isOpenedBy(kept.record, current))) {
      // Carried out already, and sent again because the answer was lost on the way.
      if (await this.#isOpenedBy(kept.record, next)) return;
      if (current === null) return refuse("bad-input", words.hasOne);
      return refuse("wrong-passphrase", words.wrong);
    }
    const autoLock = kept.type === "passphrase" ? kept.autoLock : defaultAutoLock;
    if (next === null) await this.#ports.key.keepWithBrowser(key);
    else await this.#ports.key.keepWithPassphrase(await this.#recordFor(key, next), autoLock);
    this.#passphraseIs(next !== null, autoLock);
  }

  async #isOpenedBy(record: Uint8Array, passphrase: string | null): Promise<boolean> {
    if (passphrase === null) return false;
    try {
      (await this.#keyIn(record, passphrase)).fill(0);
      return true;
    } catch (error) {
      if (error instanceof Refusal && error.code === "wrong-passphrase") return false;
      throw error;
    }
  }

  async #recordFor(key: Uint8Array, passphrase: string): Promise<Uint8Array> {
    const record = await lockWithPassphrase(key, passphrase, this.#ports);
    return record ?? refuse("unavailable", words.noMemory);
  }

  #passphraseIs(hasPassphrase: boolean, autoLock: AutoLock): void {
    const state = this.#mustBeOpen();
    this.#state = { ...state, hasPassphrase, autoLock: hasPassphrase ? autoLock : null };
    this.#ports.keeper.keep(hasPassphrase ? state.key : null);
    this.#watchForQuiet();
    this.#tellState();
  }

  async #setAutoLock(minutes: AutoLock): Promise<void> {
    this.#mustBeOpen();
    if (!autoLockChoices.includes(minutes)) refuse("bad-input", words.nothingToLock);
    const kept = await this.#ports.key.read();
    if (kept.type !== "passphrase") return refuse("bad-input", words.nothingToLock);
    await this.#ports.key.keepWithPassphrase(kept.record, minutes);
    this.#passphraseIs(true, minutes);
  }

  // ── the end ───────────────────────────────────────────────────────────────────────────────────

  async #wipe(): Promise<void> {
    const keepsNothing = this.#state.type === "open" && this.#state.key === null;
    // First the key: from this moment on nobody can read what is still there.
    if (!keepsNothing) await this.#ports.key.beginWipe();
    this.#ports.keeper.keep(null);
    try {
      await this.#closeDevice({ type: "opening" });
    } catch (error) {
      this.#ports.onFault(error);
    }
    try {
      await this.#become(async () => {
        if (!keepsNothing) await this.#finishWipe();
        return this.#opened();
      });
    } finally {
      this.#emit({ type: "wiped" });
    }
  }

  async #finishWipe(): Promise<void> {
    try {
      await this.#ports.removeFiles();
    } catch (error) {
      this.#ports.onFault(error);
      refuse("storage", words.halfWiped);
    }
    await this.#ports.key.endWipe();
  }

  // ── telling and waiting ───────────────────────────────────────────────────────────────────────

  #emit(event: WorkerEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  #tellState(): void {
    this.#emit({ type: "lock", lock: this.#lockState() });
  }

  #inTurn<Result>(act: () => Promise<Result>): Promise<Result> {
    const done = this.#last.then(act);
    this.#last = done.catch(() => {});
    return done;
  }
}

/** The answers of the tabs that were there when a lock began. */
class Flush {
  readonly complete: Promise<void>;
  readonly #missing: Set<string>;
  #resolve: () => void = () => {};
  isSaved = true;

  constructor(sessions: ReadonlySet<string>) {
    this.#missing = new Set(sessions);
    this.complete = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    this.#look();
  }

  answer(session: string, isSaved: boolean): void {
    this.isSaved &&= isSaved;
    this.#missing.delete(session);
    this.#look();
  }

  #look(): void {
    if (this.#missing.size === 0) this.#resolve();
  }
}

/** Resolves when `work` has, or after `ms`. */
async function within(timers: Timers, ms: number, work: Promise<unknown>): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const cancel = timers.after(ms, resolve);
    work.then(() => {
      cancel();
      resolve();
    }, reject);
  });
}

/** What a failure of the store means to a person; anything else as it is. */
function refusalOf(error: unknown): unknown {
  if (!(error instanceof StoreError)) return error;
  const message = isVanished(error.cause) ? words.removed : error.message;
  return new Refusal({ code: "storage", message });
}

/** An access handle that the browser has closed, or whose file it has removed. */
function isVanished(cause: unknown): boolean {
  return (
    cause instanceof DOMException &&
    ["InvalidStateError", "NotFoundError", "InvalidModificationError"].includes(cause.name)
  );
}
