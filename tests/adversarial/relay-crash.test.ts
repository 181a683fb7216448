/** The short form of `npm run test:relay-crash`: death by SIGKILL under load loses nothing that was acknowledged. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildRelay, type BuiltRelay } from "#tests/support/built-relay.ts";
import { crashStorm, type VictimName } from "#tests/relay-crash/storm.ts";
import { victims } from "#tests/relay-crash/victims.ts";

const rounds = 4;

describe("killed under load", () => {
  let built: BuiltRelay;
  beforeAll(async () => {
    built = await buildRelay();
  }, 60_000);
  afterAll(() => {
    built.remove();
  });

  it.each(Object.keys(victims) as VictimName[])(
    "[PUSH-6] %s: every acknowledged entry is in the log, once",
    async (victim) => {
      const { program } = built;
      const result = await crashStorm({ program, victim, rounds, chance: Math.random });
      expect(result).toMatchObject({ lost: 0, duplicated: 0, troubles: [] });
      expect(result.acknowledged).toBeGreaterThan(rounds * 5);
    },
    120_000,
  );

  it("is noticed, if clients believe what was not acknowledged", async () => {
    const { program } = built;
    const result = await crashStorm({
      program,
      victim: "a relay on SQLite",
      rounds,
      care: "trusting",
      chance: Math.random,
    });
    expect(result.lost).toBeGreaterThan(0);
  }, 120_000);
});
