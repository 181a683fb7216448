/**
 * The key of the database at rest, as it is kept: sealed by a WebCrypto key that this origin may use but nobody
 * can export, or by a passphrase. All of it is one value that is replaced as a whole, so whatever moment the
 * power fails, the key opens in the old way or in the new.
 */
import type { AutoLock } from "./lock-api.ts";

/** Where the value lies. Durable when resolved. */
export interface KeyEntry {
  read(): Promise<unknown>;
  /** Rejects if there is one already. */
  add(value: unknown): Promise<void>;
  replace(value: unknown): Promise<void>;
  /** Nothing is left of it, not even its place. */
  destroy(): Promise<void>;
}

/** Sealed by the browser. The field names are those of the first version, which had no other form. */
interface BrowserSealed {
  readonly wrappingKey: CryptoKey;
  readonly iv: Uint8Array<ArrayBuffer>;
  readonly wrapped: ArrayBuffer;
}

interface PassphraseSealed {
  /** See `client/crypto/passphrase-lock.ts`. */
  readonly record: Uint8Array;
  readonly autoLock: AutoLock;
}

/** In the place of the key while everything is being removed: whoever finds it goes on removing. */
interface Wiping {
  readonly wiping: true;
}

export type KeptKey =
  | { readonly type: "none" }
  | { readonly type: "browser"; open(): Promise<Uint8Array> }
  | ({ readonly type: "passphrase" } & PassphraseSealed)
  | { readonly type: "wiping" };

export class DatabaseKey {
  readonly #entry: KeyEntry;
  readonly #crypto: Crypto;

  constructor(entry: KeyEntry, platformCrypto: Crypto) {
    this.#entry = entry;
    this.#crypto = platformCrypto;
  }

  async read(): Promise<KeptKey> {
    const value = await this.#entry.read();
    if (value === undefined) return { type: "none" };
    // Written below and nowhere else.
    const kept = value as BrowserSealed | PassphraseSealed | Wiping;
    if ("wiping" in kept) return { type: "wiping" };
    if ("record" in kept) return { type: "passphrase", ...kept };
    return { type: "browser", open: () => this.#open(kept) };
  }

  /** A new key of 32 bytes, sealed by the browser. Never takes the place of another. */
  async create(): Promise<Uint8Array> {
    const key = this.#crypto.getRandomValues(new Uint8Array(32));
    await this.#entry.add(await this.#seal(key));
    return key;
  }

  /** From now on the browser opens it without asking anybody. */
  async keepWithBrowser(key: Uint8Array): Promise<void> {
    await this.#entry.replace(await this.#seal(new Uint8Array(key)));
  }

  /** From now on only the passphrase of this record opens it. */
  async keepWithPassphrase(record: Uint8Array, autoLock: AutoLock): Promise<void> {
    await this.#entry.replace({ record, autoLock } satisfies PassphraseSealed);
  }

  /** Destroys the key, and says that what it opened is to be removed. */
  async beginWipe(): Promise<void> {
    await this.#entry.replace({ wiping: true } satisfies Wiping);
  }

  async endWipe(): Promise<void> {
    await this.#entry.destroy();
  }

  async #seal(key: Uint8Array<ArrayBuffer>): Promise<BrowserSealed> {
    const { subtle } = this.#crypto;
    const algorithm = { name: "AES-GCM", length: 256 };
    const wrappingKey = await subtle.generateKey(algorithm, false, ["encrypt", "decrypt"]);
    const iv = this.#crypto.getRandomValues(new Uint8Array(12));
    const wrapped = await subtle.encrypt({ name: "AES-GCM", iv }, wrappingKey, key);
    return { wrappingKey, iv, wrapped };
  }

  async #open({ wrappingKey, iv, wrapped }: BrowserSealed): Promise<Uint8Array> {
    const { subtle } = this.#crypto;
    return new Uint8Array(await subtle.decrypt({ name: "AES-GCM", iv }, wrappingKey, wrapped));
  }
}
