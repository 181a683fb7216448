/** Addresses and networks (CIDR) an operator names, and whether an address is in them. */
import { BlockList, isIP } from "node:net";

export class Networks {
  readonly #blocks = new BlockList();
  readonly texts: readonly string[];

  /** @param texts each accepted by {@link isNetwork} */
  constructor(texts: readonly string[]) {
    this.texts = texts;
    for (const text of texts) {
      const [address = "", bits] = text.split("/");
      const family = isIP(address) === 6 ? "ipv6" : "ipv4";
      if (bits === undefined) this.#blocks.addAddress(address, family);
      else this.#blocks.addSubnet(address, Number(bits), family);
    }
  }

  includes(address: string): boolean {
    const plain = plainAddress(address);
    const version = isIP(plain);
    return version !== 0 && this.#blocks.check(plain, version === 6 ? "ipv6" : "ipv4");
  }
}

/** `10.0.0.1`, `10.0.0.0/8`, `fd00::/8`. */
export function isNetwork(text: string): boolean {
  const [address = "", bits, ...rest] = text.split("/");
  const version = isIP(address);
  if (version === 0 || rest.length > 0) return false;
  return (
    bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (version === 6 ? 128 : 32))
  );
}

/** IPv4 as it is, also where a socket for both families wraps it in IPv6. */
export function plainAddress(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, "");
}

export function isLoopback(host: string): boolean {
  return host === "localhost" || loopback.includes(host);
}

const loopback = new Networks(["127.0.0.0/8", "::1"]);
