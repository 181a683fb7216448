/**
 * The key of the database at rest: random, wrapped by a WebCrypto key that this origin may use but
 * nobody can export. The wrapped key lies in IndexedDB beside it; both go when the site's data goes.
 */

const databaseName = "sealeaf-keys";
const storeName = "keys";
const entryName = "notes";

interface WrappedKey {
  readonly wrappingKey: CryptoKey;
  readonly iv: Uint8Array<ArrayBuffer>;
  readonly wrapped: ArrayBuffer;
}

/** The 32-byte key, made on the first call of this origin. */
export async function databaseKey(): Promise<Uint8Array> {
  const database = await openDatabase();
  try {
    const held = await entry(database.transaction(storeName).objectStore(storeName).get(entryName));
    if (held !== undefined) return await unwrap(held as WrappedKey); // written below and nowhere else
    const key = crypto.getRandomValues(new Uint8Array(32));
    const fresh = await wrap(key);
    // "add" refuses to overwrite: a key that exists is never replaced.
    await entry(
      database
        .transaction(storeName, "readwrite", { durability: "strict" })
        .objectStore(storeName)
        .add(fresh, entryName),
    );
    return key;
  } finally {
    database.close();
  }
}

async function wrap(key: Uint8Array<ArrayBuffer>): Promise<WrappedKey> {
  const wrappingKey = await crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, [
    "encrypt",
    "decrypt",
  ]);
  const iv = crypto.getRandomValues(new Uint8Array(12));
  const wrapped = await crypto.subtle.encrypt({ name: "AES-GCM", iv }, wrappingKey, key);
  return { wrappingKey, iv, wrapped };
}

async function unwrap({ wrappingKey, iv, wrapped }: WrappedKey): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.decrypt({ name: "AES-GCM", iv }, wrappingKey, wrapped));
}

function openDatabase(): Promise<IDBDatabase> {
  const request = indexedDB.open(databaseName, 1);
  request.addEventListener("upgradeneeded", () => request.result.createObjectStore(storeName));
  return entry(request);
}

function entry<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.addEventListener("success", () => resolve(request.result));
    request.addEventListener("error", () => reject(request.error ?? new Error("IndexedDB failed")));
  });
}
