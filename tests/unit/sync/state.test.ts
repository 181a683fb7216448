import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { refusals } from "#relay/protocol/errors.ts";
import {
  offlineSpace,
  stepSpace,
  type SpaceEvent,
  type SpaceState,
  type SpaceWork,
} from "#client/sync/state.ts";

const nothing: SpaceWork = {
  controlQueued: false,
  certificateQueued: false,
  certificatesFirst: false,
  changesWaiting: false,
  mayWrite: true,
  logHeld: true,
  givingBack: false,
  firstContact: false,
  placesTold: true,
};

class Machine {
  state: SpaceState = offlineSpace;
  work: SpaceWork;

  constructor(work: Partial<SpaceWork> = {}) {
    this.work = { ...nothing, ...work };
  }

  tell(event: SpaceEvent, work: Partial<SpaceWork> = {}): readonly string[] {
    this.work = { ...this.work, ...work };
    const step = stepSpace(this.state, event, this.work);
    this.state = step.state;
    return step.effects.map(({ type }) => type);
  }

  live(): this {
    this.tell({ type: "connected" });
    this.tell({ type: "subscribed", status: 0 });
    this.tell({ type: "caught-up" });
    return this;
  }
}

describe("the path of a connection", () => {
  it("publishes a record that was queued while the subscription was on its way", () => {
    const machine = new Machine();
    expect(machine.tell({ type: "connected" })).toEqual(["subscribe"]);
    expect(machine.tell({ type: "control-queued" }, { controlQueued: true })).toEqual([]);
    expect(machine.tell({ type: "subscribed", status: 0 })).toEqual(["push-control"]);
    machine.tell({ type: "control-acked", status: 0, told: true }, { controlQueued: false });
    expect(machine.state.phase).toBe("live");
  });

  it("publishes control records, certifies the device, subscribes, and pushes", () => {
    const machine = new Machine({
      controlQueued: true,
      certificateQueued: true,
      changesWaiting: true,
    });
    expect(machine.tell({ type: "connected" })).toEqual(["push-control"]);
    expect(
      machine.tell({ type: "control-acked", status: 0, told: true }, { controlQueued: false }),
    ).toEqual(["put-certificate"]);
    expect(
      machine.tell({ type: "certificate-acked", status: 0 }, { certificateQueued: false }),
    ).toEqual(["subscribe"]);
    expect(machine.tell({ type: "subscribed", status: 0 })).toEqual(["push"]);
    expect(machine.state.phase).toBe("live");
    machine.tell({ type: "caught-up" });
    expect(machine.state.caughtUp).toBe(true);
    expect(
      machine.tell(
        { type: "push-acked", staleEpoch: false, refused: false },
        { changesWaiting: false },
      ),
    ).toEqual([]);
    expect(machine.state.pushing).toBe(false);
  });

  it("passes by what is already done", () => {
    expect(new Machine().tell({ type: "connected" })).toEqual(["subscribe"]);
    expect(new Machine({ certificateQueued: true }).tell({ type: "connected" })).toEqual([
      "put-certificate",
    ]);
  });

  it("begins anew with each connection, except where access has ended", () => {
    const machine = new Machine().live();
    machine.tell({ type: "disconnected" });
    expect(machine.state).toEqual(offlineSpace);
    expect(machine.tell({ type: "connected" })).toEqual(["subscribe"]);
    machine.tell({ type: "subscribed", status: refusals.NO_SPACE.code });
    machine.tell({ type: "control-received", found: true, keyed: false });
    expect(machine.state.phase).toBe("ended");
    machine.tell({ type: "disconnected" });
    expect(machine.tell({ type: "connected" })).toEqual([]);
    expect(machine.state.phase).toBe("ended");
  });
});

describe("pushing", () => {
  it("is one at a time and goes on while something waits", () => {
    const machine = new Machine().live();
    expect(machine.tell({ type: "changes-waiting" }, { changesWaiting: true })).toEqual(["push"]);
    expect(machine.tell({ type: "changes-waiting" })).toEqual([]);
    expect(machine.tell({ type: "push-acked", staleEpoch: false, refused: false })).toEqual([
      "push",
    ]);
  });

  it("does not repeat what was refused until something new happens", () => {
    const machine = new Machine({ changesWaiting: true }).live();
    expect(machine.tell({ type: "push-acked", staleEpoch: false, refused: true })).toEqual([]);
    expect(machine.tell({ type: "changes-waiting" })).toEqual(["push"]);
  });

  it("does not happen without the right to write", () => {
    const machine = new Machine({ changesWaiting: true, mayWrite: false }).live();
    expect(machine.tell({ type: "changes-waiting" })).toEqual([]);
  });

  it("fetches the new key when the epoch has passed, and pushes again with it", () => {
    const machine = new Machine({ changesWaiting: true }).live();
    expect(machine.tell({ type: "push-acked", staleEpoch: true, refused: false })).toEqual([
      "get-control",
    ]);
    expect(machine.state.phase).toBe("fetching");
    expect(machine.tell({ type: "control-received", found: true, keyed: true })).toEqual(["push"]);
    expect(machine.state.phase).toBe("live");
  });

  it("lets a new control record go first", () => {
    const machine = new Machine().live();
    expect(machine.tell({ type: "control-queued" }, { controlQueued: true })).toEqual([
      "push-control",
    ]);
    expect(
      machine.tell({ type: "control-acked", status: 0, told: true }, { controlQueued: false }),
    ).toEqual([]);
    expect(machine.state.phase).toBe("live");
  });
});

describe("control records", () => {
  const { code: status } = refusals.CTRL_CONFLICT;
  const conflict = { type: "control-acked", status, told: true } as const;

  it("are written anew when others were first", () => {
    const machine = new Machine({ controlQueued: true });
    machine.tell({ type: "connected" });
    expect(machine.tell(conflict)).toEqual(["push-control"]);
    expect(machine.state.phase).toBe("publishing");
  });

  it("that follow on some which the relay has lost are not insisted on: its log is read", () => {
    const machine = new Machine({ controlQueued: true });
    machine.tell({ type: "connected" });
    expect(machine.tell({ ...conflict, told: false })).toEqual(["get-control"]);
  });

  it("that others made pointless are followed by a look at who has access", () => {
    const machine = new Machine({ controlQueued: true });
    machine.tell({ type: "connected" });
    expect(machine.tell(conflict, { controlQueued: false })).toEqual(["get-control"]);
    machine.tell({ type: "control-received", found: true, keyed: false });
    expect(machine.state.phase).toBe("ended");
  });

  it("are taken back when refused for good, and the log is read", () => {
    const machine = new Machine({ controlQueued: true });
    machine.tell({ type: "connected" });
    expect(
      machine.tell({ type: "control-acked", status: refusals.NOT_ADMIN.code, told: false }),
    ).toEqual(["drop-control", "get-control"]);
  });

  it("wait for the next connection when the relay cannot take them now", () => {
    const machine = new Machine({ controlQueued: true });
    machine.tell({ type: "connected" });
    expect(
      machine.tell({ type: "control-acked", status: refusals.DISK_FULL.code, told: false }),
    ).toEqual([]);
    expect(machine.state.phase).toBe("stuck");
    machine.tell({ type: "disconnected" });
    expect(machine.tell({ type: "connected" })).toEqual(["push-control"]);
  });

  it("are fetched when a certificate is refused, unless that will pass", () => {
    const machine = new Machine({ certificateQueued: true });
    machine.tell({ type: "connected" });
    expect(machine.tell({ type: "certificate-acked", status: refusals.NOT_A_WRITER.code })).toEqual(
      ["get-control"],
    );
    const later = new Machine({ certificateQueued: true });
    later.tell({ type: "connected" });
    expect(later.tell({ type: "certificate-acked", status: refusals.RATE.code })).toEqual([]);
    expect(later.state.phase).toBe("stuck");
  });

  it("are fetched when an author is unknown; what was received waits meanwhile", () => {
    const machine = new Machine().live();
    expect(machine.tell({ type: "author-unknown" })).toEqual(["get-control"]);
    expect(machine.state.holding).toBe(true);
    expect(machine.tell({ type: "author-unknown" })).toEqual([]);
    expect(machine.tell({ type: "control-received", found: true, keyed: true })).toEqual([
      "resume-intake",
    ]);
    expect(machine.state.holding).toBe(false);
    expect(machine.state.phase).toBe("live");
  });

  it("are fetched for each of many new devices, however long the connection lasts", () => {
    const machine = new Machine().live();
    for (let joined = 0; joined < 20; joined += 1) {
      expect(machine.tell({ type: "author-unknown" })).toEqual(["get-control"]);
      expect(machine.tell({ type: "control-received", found: true, keyed: true })).toEqual([
        "resume-intake",
      ]);
      expect(machine.state.phase).toBe("live");
    }
  });

  it("let what waited be taken in, although one of ours is on its way meanwhile", () => {
    const machine = new Machine().live();
    machine.tell({ type: "author-unknown" });
    expect(machine.tell({ type: "control-queued" }, { controlQueued: true })).toEqual([
      "push-control",
    ]);
    expect(machine.tell({ type: "control-received", found: true, keyed: true })).toEqual([
      "resume-intake",
    ]);
    expect(machine.state.phase).toBe("publishing");
  });

  it("let what waited be taken in, although they were being fetched for a push", () => {
    const machine = new Machine({ changesWaiting: true }).live();
    machine.tell({ type: "push-acked", staleEpoch: true, refused: false });
    machine.tell({ type: "author-unknown" });
    expect(machine.tell({ type: "control-received", found: true, keyed: true })).toEqual([
      "push",
      "resume-intake",
    ]);
    expect(machine.tell({ type: "control-received", found: true, keyed: true })).toEqual([]);
  });

  it("are fetched after a rotation, and the space subscribed with the new token", () => {
    const machine = new Machine().live();
    expect(machine.tell({ type: "rekeyed" })).toEqual(["get-control"]);
    expect(machine.tell({ type: "control-received", found: true, keyed: true })).toEqual([
      "subscribe",
    ]);
  });

  it("tell when access has ended", () => {
    const machine = new Machine().live();
    machine.tell({ type: "rekeyed" });
    expect(machine.tell({ type: "control-received", found: true, keyed: false })).toEqual([
      "report-ended",
    ]);
    expect(machine.state.phase).toBe("ended");
  });
});

describe("a log that is met for the first time", () => {
  it("is read from the head that the relay shows, and so is one whose beginning is forgotten", () => {
    const first = new Machine({ firstContact: true });
    first.tell({ type: "connected" });
    const ahead = refusals.CURSOR_AHEAD.code;
    expect(first.tell({ type: "subscribed", status: ahead })).toEqual(["adopt-head", "subscribe"]);
    const late = new Machine();
    late.tell({ type: "connected" });
    const below = refusals.BELOW_BASE.code;
    expect(late.tell({ type: "subscribed", status: below })).toEqual(["adopt-head", "subscribe"]);
  });

  it("is passed over only once the relay has told where the control records stand in it", () => {
    const machine = new Machine({ firstContact: true, placesTold: false });
    machine.tell({ type: "connected" });
    const status = refusals.CURSOR_AHEAD.code;
    expect(machine.tell({ type: "subscribed", status })).toEqual(["get-control"]);
    const received = { type: "control-received", found: true, keyed: true } as const;
    expect(machine.tell(received, { placesTold: true })).toEqual(["subscribe"]);
    expect(machine.tell({ type: "subscribed", status })).toEqual(["adopt-head", "subscribe"]);
  });

  it("does not lead a relay's reader in circles", () => {
    const machine = new Machine({ firstContact: true });
    machine.tell({ type: "connected" });
    for (let tries = 0; tries < 10; tries += 1) {
      machine.tell({ type: "subscribed", status: refusals.BELOW_BASE.code });
    }
    expect(machine.state.phase).toBe("stuck");
  });
});

describe("a relay that has lost something", () => {
  it("is followed back to where both logs are the same when its log is shorter or another", () => {
    for (const status of [refusals.CURSOR_AHEAD.code, refusals.CHAIN_MISMATCH.code]) {
      const machine = new Machine();
      machine.tell({ type: "connected" });
      expect(machine.tell({ type: "subscribed", status })).toEqual(["step-back", "get-control"]);
      // Where records stand in what is read now is known before it is judged by that.
      expect(machine.tell({ type: "control-received", found: true, keyed: true })).toEqual([
        "subscribe",
      ]);
    }
  });

  it("is asked once more, from where everything fitted, when what comes does not fit", () => {
    expect(new Machine().live().tell({ type: "log-broken" })).toEqual([
      "hear-no-more",
      "subscribe",
    ]);
  });

  it("is given the space back when it does not know it", () => {
    const machine = new Machine();
    machine.tell({ type: "connected" });
    expect(machine.tell({ type: "subscribed", status: refusals.NO_SPACE.code })).toEqual([
      "get-control",
    ]);
    expect(machine.tell({ type: "control-received", found: false, keyed: true })).toEqual([
      "put-back",
      "push-control",
    ]);
    expect(machine.state.phase).toBe("publishing");
  });

  it("is given the certificates of somebody who was removed before the record that removed them", () => {
    const machine = new Machine({
      controlQueued: true,
      certificateQueued: true,
      certificatesFirst: true,
    });
    expect(machine.tell({ type: "connected" })).toEqual(["put-certificate"]);
    expect(
      machine.tell({ type: "certificate-acked", status: 0 }, { certificatesFirst: false }),
    ).toEqual(["push-control"]);
  });

  it("does not have its word on lost records taken for the last: they are kept and tried again", () => {
    const machine = new Machine({ controlQueued: true, givingBack: true });
    machine.tell({ type: "connected" });
    expect(
      machine.tell({ type: "control-acked", status: refusals.LINK_SPENT.code, told: false }),
    ).toEqual([]);
    expect(machine.state.phase).toBe("stuck");
  });

  it("is asked again later by a device that holds nothing to give back", () => {
    const machine = new Machine({ certificateQueued: true, logHeld: false });
    machine.tell({ type: "connected" });
    machine.tell({ type: "certificate-acked", status: refusals.NO_SPACE.code });
    expect(machine.tell({ type: "control-received", found: false, keyed: true })).toEqual([]);
    expect(machine.state.phase).toBe("stuck");
    expect(machine.tell({ type: "retry" })).toEqual(["put-certificate"]);
  });

  it("is given what it could not take, a while later in the same connection", () => {
    const machine = new Machine().live();
    machine.tell({ type: "control-queued" }, { controlQueued: true });
    machine.tell({ type: "control-acked", status: refusals.DISK_FULL.code, told: false });
    expect(machine.state.phase).toBe("stuck");
    expect(machine.tell({ type: "retry" })).toEqual(["push-control"]);
    expect(
      machine.tell({ type: "control-acked", status: 0, told: true }, { controlQueued: false }),
    ).toEqual([]);
    expect(machine.state.phase).toBe("live");
    expect(machine.tell({ type: "retry" })).toEqual([]);
  });

  it("does not send a device in circles: it stops after a few detours until the next connection", () => {
    const machine = new Machine();
    machine.tell({ type: "connected" });
    let detours = 0;
    while (machine.tell({ type: "subscribed", status: refusals.CHAIN_MISMATCH.code }).length > 0) {
      machine.tell({ type: "control-received", found: true, keyed: true });
      detours += 1;
      expect(detours).toBeLessThan(10);
    }
    expect(machine.state.phase).toBe("stuck");
    machine.tell({ type: "disconnected" });
    expect(machine.tell({ type: "connected" })).toEqual(["subscribe"]);
  });

  it("has its detours forgiven once everything has been taken in", () => {
    const machine = new Machine();
    machine.tell({ type: "connected" });
    for (let round = 0; round < 20; round += 1) {
      machine.tell({ type: "subscribed", status: 0 });
      machine.tell({ type: "caught-up" });
      expect(machine.tell({ type: "log-broken" })).toEqual(["hear-no-more", "subscribe"]);
    }
  });
});

describe("whatever the relay and the store say, in whatever order", () => {
  const statuses = [0, ...Object.values(refusals).map(({ code }) => code), 999, 150];
  const status = fc.constantFrom(...statuses);
  const event: fc.Arbitrary<SpaceEvent> = fc.oneof(
    fc.constantFrom<SpaceEvent>(
      { type: "connected" },
      { type: "disconnected" },
      { type: "control-queued" },
      { type: "caught-up" },
      { type: "rekeyed" },
      { type: "author-unknown" },
      { type: "log-broken" },
      { type: "changes-waiting" },
      { type: "retry" },
    ),
    fc.record({ type: fc.constant("control-acked" as const), status, told: fc.boolean() }),
    fc.record({ type: fc.constant("certificate-acked" as const), status }),
    fc.record({ type: fc.constant("subscribed" as const), status }),
    fc.record({
      type: fc.constant("control-received" as const),
      found: fc.boolean(),
      keyed: fc.boolean(),
    }),
    fc.record({
      type: fc.constant("push-acked" as const),
      staleEpoch: fc.boolean(),
      refused: fc.boolean(),
    }),
  );
  const work = fc.record({
    controlQueued: fc.boolean(),
    certificateQueued: fc.boolean(),
    certificatesFirst: fc.boolean(),
    changesWaiting: fc.boolean(),
    mayWrite: fc.boolean(),
    logHeld: fc.boolean(),
    givingBack: fc.boolean(),
    firstContact: fc.boolean(),
    placesTold: fc.boolean(),
  });

  it("nothing is pushed before the space is live, nor without right, nor twice at once", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(event, work), { maxLength: 60 }), (steps) => {
        let state = offlineSpace;
        for (const [next, held] of steps) {
          const before = state;
          const step = stepSpace(state, next, held);
          ({ state } = step);
          for (const effect of step.effects) {
            if (effect.type !== "push") continue;
            expect(state.phase).toBe("live");
            expect(state.subscribed).toBe(true);
            expect(held.mayWrite && held.changesWaiting).toBe(true);
            expect(before.pushing && next.type !== "push-acked").toBe(false);
          }
          expect(state.detours).toBeLessThanOrEqual(4);
        }
      }),
      { numRuns: 500 },
    );
  });

  it("nothing happens while offline or after access has ended, except connecting", () => {
    fc.assert(
      fc.property(event, work, fc.constantFrom("offline", "ended"), (next, held, phase) => {
        const state: SpaceState = { ...offlineSpace, phase: phase as SpaceState["phase"] };
        fc.pre(next.type !== "connected" || phase === "ended");
        const step = stepSpace(state, next, held);
        expect(step.effects).toEqual([]);
        expect(step.state).toEqual(state);
      }),
    );
  });
});
