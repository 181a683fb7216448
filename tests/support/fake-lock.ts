/** A lock without anything behind it: the test says where it stands, and sees what it was asked. */
import type { DeviceRefusal } from "#client/device/api.ts";
import type { AutoLock, LockApi, LockEvent, LockState } from "#client/worker/lock-api.ts";

export class FakeLock implements LockApi {
  state: LockState = { type: "open", hasPassphrase: false, autoLock: null };
  readonly answers: boolean[] = [];
  readonly passphrases: (readonly [string | null, string | null])[] = [];
  inputs = 0;
  wipes = 0;
  /** What the next `unlock` or `setPassphrase` is refused with. */
  refusal: DeviceRefusal | null = null;
  #listener: (event: LockEvent) => void = () => {};

  onEvent(listener: (event: LockEvent) => void): void {
    this.#listener = listener;
  }

  become(state: LockState): void {
    this.state = state;
    this.#listener({ type: "lock", lock: state });
  }

  async lockState(): Promise<LockState> {
    return this.state;
  }

  async unlock(): Promise<void> {
    this.#mayRefuse();
    this.become({ type: "open", hasPassphrase: true, autoLock: 15 });
  }

  async lockNow(): Promise<void> {
    this.become({ type: "locking" });
  }

  async readyToLock(_session: string, isSaved: boolean): Promise<void> {
    this.answers.push(isSaved);
  }

  async setPassphrase(current: string | null, next: string | null): Promise<void> {
    this.#mayRefuse();
    this.passphrases.push([current, next]);
    this.become({
      type: "open",
      hasPassphrase: next !== null,
      autoLock: next === null ? null : 15,
    });
  }

  async setAutoLock(minutes: AutoLock): Promise<void> {
    this.become({ type: "open", hasPassphrase: true, autoLock: minutes });
  }

  async noteInput(): Promise<void> {
    this.inputs += 1;
  }

  async wipe(): Promise<void> {
    this.wipes += 1;
    this.#listener({ type: "wiped" });
  }

  #mayRefuse(): void {
    const { refusal } = this;
    this.refusal = null;
    if (refusal !== null) throw refusal;
  }
}
