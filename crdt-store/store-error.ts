/** What went wrong with a device's storage, as a person has to deal with it. */
export type StoreErrorType =
  | "disk-full"
  | "corrupt"
  | "wrong-key"
  | "io"
  | "newer-version"
  | "no-storage"
  | "locked"
  | "self-test-failed";

/**
 * An expected failure of storage. `message` is a sentence for a person that says what to do; nothing stored was
 * deleted or overwritten because of it. `cause` keeps the original error for the log.
 */
export class StoreError extends Error {
  override readonly name = "StoreError";
  readonly type: StoreErrorType;

  constructor(type: StoreErrorType, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.type = type;
  }
}

/** Nothing is broken: writing succeeds again once there is room. */
export function isDiskFull(error: unknown): boolean {
  return error instanceof StoreError && error.type === "disk-full";
}
