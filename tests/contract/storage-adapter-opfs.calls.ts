import type { StorageKey } from "@automerge/automerge-repo/slim";

/** What the test asks of the worker. */
export type Call =
  | { readonly method: "open"; readonly directory: string; readonly key: Uint8Array | null }
  | { readonly method: "close" }
  | { readonly method: "wipe"; readonly directory: string }
  | { readonly method: "load" | "remove" | "loadRange" | "removeRange"; readonly key: StorageKey }
  | { readonly method: "save"; readonly key: StorageKey; readonly data: Uint8Array };

export type Answer =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: string };
