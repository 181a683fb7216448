/** What the relay costs, beside bare WebSockets that do the same without storing, judging or proving. */
import { buildRelay } from "#tests/support/built-relay.ts";
import { startOwnPostgres } from "#tests/support/postgres.ts";
import type { Measurement } from "./measurement.ts";
import { benchAppends } from "./relay-appends.ts";
import { benchCatchUp } from "./relay-catch-up.ts";
import { benchFanOut } from "./relay-fan-out.ts";
import { benchIdle } from "./relay-idle.ts";
import { benchRefusals } from "./relay-refusals.ts";
import { benchSpaces } from "./relay-spaces.ts";

/** About two minutes. Unless a row says otherwise both ends share this process and its cores: ratios are what counts. */
export async function benchRelay(): Promise<Measurement[]> {
  const built = await buildRelay();
  const postgres = await startOwnPostgres({ fsync: true });
  try {
    return [
      ...(await benchAppends(built, postgres)),
      ...(await benchFanOut(built, 100)),
      ...(await benchFanOut(built, 1_000)),
      ...(await benchSpaces(built)),
      ...(await benchCatchUp(built)),
      ...(await benchIdle(built)),
      ...(await benchRefusals(built)),
    ];
  } finally {
    await postgres.stop();
    built.remove();
  }
}
