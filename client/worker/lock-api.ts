/**
 * The lock on this browser's notes, beside the device behind it: what a tab may ask, and what it is told.
 * Travels over the same ports as the device's own calls, but works while no device is open.
 */
import type { DeviceApi, DeviceEvent } from "#client/device/api.ts";

/** Minutes without input in any tab; null: never. */
export type AutoLock = (typeof autoLockChoices)[number];

export const autoLockChoices = [1, 5, 15, 60, null] as const;

export type LockState =
  | {
      readonly type: "open";
      /** False: whoever can use this browser profile can open the notes. */
      readonly hasPassphrase: boolean;
      readonly autoLock: AutoLock;
    }
  /** The tabs are to write out what was typed, show nothing any more, and answer {@link LockApi.readyToLock}. */
  | { readonly type: "locking" }
  | { readonly type: "locked" }
  /** Sealed notes are here and the key to them is gone, though nobody asked for that here. */
  | { readonly type: "keyless" };

/** Every method may reject with a {@link import("#client/device/api.ts").DeviceRefusal}. */
export interface LockApi {
  /**
   * Waits while the notes are being opened; refused with the reason if they cannot be. From then on the tab
   * named `session` (32 hex digits) is asked before a lock.
   */
  lockState(session: string): Promise<LockState>;
  /** Refused with `wrong-passphrase`, and then nothing has changed. */
  unlock(passphrase: string): Promise<void>;
  /** Refused if a tab holds typing that cannot be saved. */
  lockNow(): Promise<void>;
  /** A tab's answer to `locking`: whether everything typed in it is saved. */
  readyToLock(session: string, isSaved: boolean): Promise<void>;
  /**
   * Sets (`current` null), changes or removes (`next` null) the passphrase. Only the wrapping of the key changes;
   * durable when resolved.
   */
  setPassphrase(current: string | null, next: string | null): Promise<void>;
  setAutoLock(minutes: AutoLock): Promise<void>;
  /** Somebody is here: the time until the automatic lock begins anew. */
  noteInput(): Promise<void>;
  /** Destroys the key, then removes everything of this device; a fresh device takes its place. */
  wipe(): Promise<void>;
}

export type LockEvent =
  | { readonly type: "lock"; readonly lock: LockState }
  /** What a tab still holds belongs to nothing any more. */
  | { readonly type: "wiped" };

export type WorkerApi = DeviceApi & LockApi;
export type WorkerEvent = DeviceEvent | LockEvent;
