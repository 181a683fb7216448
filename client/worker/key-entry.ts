/** The place of the database's key in IndexedDB. */
import type { KeyEntry } from "./database-key.ts";

const databaseName = "sealeaf-keys";
const storeName = "keys";
const entryName = "notes";

export const indexedDbKeyEntry: KeyEntry = {
  read: () => inDatabase((database) => answer(storeOf(database, "readonly").get(entryName))),
  add: (value) => written((store) => store.add(value, entryName)),
  replace: (value) => written((store) => store.put(value, entryName)),
  destroy: async () => {
    await answer(indexedDB.deleteDatabase(databaseName));
  },
};

/**
 * Keeps a connection to the place of the key: browsers cut it when they clear the site's data, which is the
 * only sign they give. The returned function lets go of it.
 */
export function onKeysRemoved(listener: () => void, onFault: (error: unknown) => void): () => void {
  let isOver = false;
  let held: IDBDatabase | null = null;
  const stop = (): void => {
    isOver = true;
    held?.close();
  };
  openDatabase().then((database) => {
    if (isOver) return database.close();
    held = database;
    database.addEventListener("close", listener);
    // Somebody deletes it in the orderly way; a connection would keep them waiting.
    database.addEventListener("versionchange", () => {
      stop();
      listener();
    });
  }, onFault);
  return stop;
}

function storeOf(database: IDBDatabase, mode: IDBTransactionMode): IDBObjectStore {
  // Strict: on the disk, not in a cache of the system, before it is called done.
  return database.transaction(storeName, mode, { durability: "strict" }).objectStore(storeName);
}

function written(write: (store: IDBObjectStore) => IDBRequest): Promise<void> {
  return inDatabase((database) => {
    const store = storeOf(database, "readwrite");
    return new Promise((resolve, reject) => {
      const { transaction } = store;
      // A request succeeds before its transaction is durable.
      transaction.addEventListener("complete", () => resolve());
      transaction.addEventListener("abort", () => reject(failureOf(transaction.error)));
      write(store);
    });
  });
}

async function inDatabase<T>(act: (database: IDBDatabase) => Promise<T>): Promise<T> {
  const database = await openDatabase();
  try {
    return await act(database);
  } finally {
    database.close();
  }
}

function openDatabase(): Promise<IDBDatabase> {
  const request = indexedDB.open(databaseName, 1);
  request.addEventListener("upgradeneeded", () => request.result.createObjectStore(storeName));
  return answer(request);
}

function answer<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.addEventListener("success", () => resolve(request.result));
    request.addEventListener("error", () => reject(failureOf(request.error)));
  });
}

function failureOf(error: DOMException | null): Error {
  return error ?? new Error("IndexedDB failed");
}
