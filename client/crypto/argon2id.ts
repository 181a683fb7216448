/** Argon2id in WebAssembly: the one slow hash here, loaded only where a passphrase is in use. */
import type { Argon2id } from "./passphrase-lock.ts";

export const wasmArgon2id: Argon2id = async (password, salt, { memoryKiB, passes }) => {
  const { argon2id } = await import("hash-wasm");
  try {
    return await argon2id({
      password,
      salt,
      memorySize: memoryKiB,
      iterations: passes,
      parallelism: 1,
      hashLength: 32,
      outputType: "binary",
    });
  } catch (error) {
    // What is left of a memory that could not grow is too small for the view on it.
    if (error instanceof RangeError) return null;
    throw error;
  }
};
