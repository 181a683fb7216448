/** `migrate-store FROM TO`: a data directory's store into an empty database, all of it or nothing. */
import { PostgresAddress } from "#relay/config/postgres-address.ts";
import { importStore } from "#relay/store/postgres-import.ts";
import { OperatorError } from "./program.ts";

/** Answers what to say: what was moved, and what to do next. */
export async function migrateStore(from: string, to: string): Promise<readonly string[]> {
  const address = PostgresAddress.parse(to);
  if (address === null) {
    throw new OperatorError(
      "The second argument is an address like postgres://user:password@host/database.",
    );
  }
  const { spaces, positions, chunks } = await importStore(from, address.reveal());
  return [
    `Moved and compared (spaces: ${spaces}, positions: ${positions}, chunks: ${chunks}).`,
    `Now set SEALEAF_STORE to the new address. ${from} is as it was: serve nobody from it any more.`,
  ];
}
