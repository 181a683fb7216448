/** What one exchange with the relay comes to, with a device that says what a test has it say. */
import { describe, expect, it } from "vitest";
import { exchange } from "#client/cli/exchange.ts";
import type { SyncStatus } from "#client/device/api.ts";
import { removedStatus } from "#client/device/status-word.ts";
import { FakeDevice } from "#tests/support/fake-device.ts";

const clock = { now: () => 0 };
const { statusNow, infoNow } = new FakeDevice(clock.now);

/** A device that is settled when it has been asked so often. */
function deviceSaying(status: Partial<SyncStatus>, removed: boolean, settledAfter: number) {
  let asked = 0;
  return {
    subscribe: () => () => undefined,
    connect: () => undefined,
    setOnline: () => Promise.resolve(),
    status: () => Promise.resolve({ ...statusNow, ...status }),
    settled: () => {
      asked += 1;
      return Promise.resolve(asked > settledAfter);
    },
    describeStale: () => Promise.resolve(),
    sendCards: () => Promise.resolve(true),
    info: () => Promise.resolve({ ...infoNow, removed }),
  };
}

describe("an exchange", () => {
  it("goes on to its end on a device that was removed, which says so before every notebook has told it", async () => {
    const removed = deviceSaying(removedStatus, true, 3);
    expect(await exchange(removed, clock, null)).toMatchObject({
      outcome: "done",
      status: { detail: removedStatus.detail },
    });
  });

  it("ends at once where only the person can go on", async () => {
    const refused = deviceSaying({ word: "needs-you", detail: "No." }, false, 3);
    expect(await exchange(refused, clock, null)).toMatchObject({
      outcome: "refused",
      status: { detail: "No." },
    });
  });
});
