import type { StoragePromise } from "../state/storage.svelte.ts";

/** Only a page may ask for it; its worker may not. */
export const browserStoragePromise: StoragePromise = {
  isGiven: () => navigator.storage.persisted(),
  ask: () => navigator.storage.persist(),
};
