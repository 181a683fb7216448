/** The short form of `npm run test:killstorm`. */
import { expect, it } from "vitest";
import { killStorm, summary } from "#tests/killstorm/storm.ts";

it("a browser killed again and again while two tabs type loses nothing it had acknowledged", async () => {
  const result = await killStorm({ cycles: 3 });
  console.log(summary(result));
  expect(result).toMatchObject({ lost: 0, gaps: 0, problems: [], converged: true });
  expect(result.deaths).toEqual({ renderer: 3, browser: 3 });
  expect(result.acknowledged).toBeGreaterThan(6 * 4);
  // The control: there was something to lose.
  expect(result.lostUnacknowledged).toBeGreaterThan(0);
}, 400_000);
