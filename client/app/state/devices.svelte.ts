import type { AccessRenewal, DeviceApi, DeviceRow, RemovedDevice } from "#client/device/api.ts";

/** This person's devices, as this one knows them. */
export class DevicesState {
  readonly #device: DeviceApi;
  /** Null before the first answer. */
  rows = $state.raw<readonly DeviceRow[] | null>(null);
  /** Access that is renewed since a device was removed. */
  renewal = $state.raw<AccessRenewal>({ underWay: 0, waiting: [], requests: [] });

  constructor(device: DeviceApi) {
    this.#device = device;
  }

  async load(): Promise<void> {
    [this.rows, this.renewal] = await Promise.all([
      this.#device.devices(),
      this.#device.accessRenewal(),
    ]);
  }

  /** Without the list of devices: who asks is marked where nobody looks at it, too. */
  async loadRenewal(): Promise<void> {
    this.renewal = await this.#device.accessRenewal();
  }

  /** Whether somebody waits to be let into a notebook under another key. */
  asksIn(notebook: string): boolean {
    return this.renewal.requests.some((request) => request.notebook === notebook);
  }

  /** After the device's word that something has changed; where nobody looks, nothing is asked. */
  async refresh(): Promise<void> {
    if (this.rows !== null) await this.load();
  }

  async rename(name: string): Promise<void> {
    await this.#device.setDeviceName(name);
    await this.load();
  }

  async remove(id: string): Promise<RemovedDevice> {
    const removed = await this.#device.removeDevice(id);
    await this.load();
    return removed;
  }

  /** Lets somebody in under the key they ask for, and ends what they used before. */
  async grant(notebook: string, renewed: string): Promise<void> {
    await this.#device.grantRenewal(notebook, renewed);
    await this.load();
  }

  /** From the words alone: every other device is shut out. */
  async shutOthersOut(words: string): Promise<RemovedDevice> {
    const removed = await this.#device.shutOthersOut(words);
    await this.load();
    return removed;
  }
}
