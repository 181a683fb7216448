/** What PostgreSQL and its driver say, as failures of the store and sentences for the operator. */
import { StoreError, type StoreFailure } from "#relay/store/store.ts";

/** SQLSTATE or system code of an error, or null (PostgreSQL, appendix A). */
function codeOf(error: unknown): string | null {
  const code = error instanceof Error && "code" in error ? error.code : null;
  return typeof code === "string" ? code : null;
}

/**
 * Whether the connection is gone, or the server is stopping or starting: the same call may succeed on
 * a new connection. What was being written may have been stored.
 */
export function isConnectionLoss(error: unknown): boolean {
  const code = codeOf(error);
  // Without a code it is the driver's own: terminated, timed out, not queryable.
  return code === null || /^(08|57P|E[A-Z])/.test(code);
}

/** The failure of a read or an append that PostgreSQL did not answer as asked. */
export function storeErrorOf(error: unknown): StoreError {
  if (error instanceof StoreError) return error;
  const code = codeOf(error);
  // 53100: no room on the server's disk. 53400: a configured limit, like a tablespace's.
  const failure: StoreFailure = code === "53100" ? "full" : "failed";
  return new StoreError(failure, `the database failed (${code ?? "connection lost"})`, {
    cause: error,
  });
}

/**
 * Why the store could not be opened, in a sentence without the password.
 * @param place `host:port/database`
 */
export function openingError(error: unknown, place: string): StoreError {
  if (error instanceof StoreError) return error;
  return new StoreError("unusable", sentence(codeOf(error), place), { cause: error });
}

function sentence(code: string | null, place: string): string {
  switch (code) {
    case "28P01":
    case "28000":
      return `The database ${place} refuses the user or password of SEALEAF_STORE.`;
    case "3D000":
      return `There is no database ${place}: create it, or correct SEALEAF_STORE.`;
    case "42501":
      return `The user of SEALEAF_STORE may not create tables in ${place}: make it the database's owner.`;
    case "ECONNREFUSED":
    case "ENOTFOUND":
    case "EHOSTUNREACH":
    case "ETIMEDOUT":
    case "57P03":
    case null:
      return `The database ${place} does not answer (${code ?? "no connection"}): start it, or correct SEALEAF_STORE.`;
    default:
      return `The store in ${place} cannot be opened (${code}).`;
  }
}
