import type { DeviceRefusal } from "./api.ts";

/** A refusal as an exception: what a person is told, and the code a caller can act on. */
export class Refusal extends Error implements DeviceRefusal {
  override readonly name = "Refusal";
  readonly code: DeviceRefusal["code"];

  constructor({ code, message }: DeviceRefusal) {
    super(message);
    this.code = code;
  }
}

export function refuse(code: DeviceRefusal["code"], message: string): never {
  throw new Refusal({ code, message });
}
