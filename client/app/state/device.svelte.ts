import type { DeviceApi, DeviceInfo } from "#client/device/api.ts";

export type Reachability =
  | { readonly kind: "connecting" | "connected" }
  | { readonly kind: "unreachable" | "held-elsewhere"; readonly message: string };

/** Who this device is and whether it answers. */
export class DeviceState {
  readonly #device: DeviceApi;
  info = $state.raw<DeviceInfo>({
    displayName: "",
    colour: null,
    words: "saved",
    removed: false,
    durable: true,
  });
  reachability = $state.raw<Reachability>({ kind: "connecting" });

  constructor(device: DeviceApi) {
    this.#device = device;
  }

  async load(): Promise<void> {
    this.info = await this.#device.info();
  }

  redeemInvite(invite: string): Promise<void> {
    return this.#device.redeemInvite(invite);
  }

  async setColour(colour: number): Promise<void> {
    await this.#device.setColour(colour);
    await this.load();
  }

  async rename(name: string): Promise<void> {
    await this.#device.setDisplayName(name);
    await this.load();
  }
}
