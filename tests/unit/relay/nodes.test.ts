/** Two relays on one store, in virtual time: what one writes the other must know when it matters. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { roles } from "#relay/protocol/control.ts";
import { refusals } from "#relay/protocol/errors.ts";
import type { Message } from "#relay/protocol/messages.ts";
import { MemoryNodes } from "#tests/support/memory-nodes.ts";
import { bytesNamed, signerNamed, TestDevice, TestSpace } from "#tests/support/space-identities.ts";
import {
  certPutOf,
  controlPushOf,
  setupWorld,
  subscribeTo,
  VirtualTime,
  type VirtualClient,
  type World,
} from "./relay-on-virtual-time.ts";

interface TwoNodes {
  readonly nodes: MemoryNodes;
  readonly time: VirtualTime;
  readonly here: World;
  readonly there: World;
  readonly space: TestSpace;
  readonly device: TestDevice;
}

/** A space made through one node; the other has not heard of it. */
async function setupNodes(name = "shared"): Promise<TwoNodes & { readonly maker: VirtualClient }> {
  const nodes = new MemoryNodes();
  const time = new VirtualTime();
  const [here, there] = [nodes.store(), nodes.store()].map((store) => setupWorld({ store, time }));
  if (here === undefined || there === undefined) throw new Error("two worlds were made");
  const space = new TestSpace(name);
  const device = new TestDevice(space, "laptop");
  const maker = await here.client();
  await maker.exchange(controlPushOf(space), certPutOf(device));
  return { nodes, time, here, there, space, device, maker };
}

function pushOf(...entries: readonly Uint8Array[]): Message {
  return { type: "push", entries };
}

/** Positions of what came as DATA, in the order it came. */
function positionsIn(messages: readonly Message[]): readonly number[] {
  return messages.flatMap((message) =>
    message.type === "data" ? message.items.map(({ pos }) => pos) : [],
  );
}

describe("two nodes", () => {
  it("serve a space at once, wherever it was made and its devices were certified", async () => {
    const { there, space, device } = await setupNodes();
    const client = await there.client();
    const answers = await client.exchange(subscribeTo(space), pushOf(device.entry()));
    expect(answers).toMatchObject([
      { type: "subscribed", results: [{ status: 0, head: 2 }] },
      { type: "data" },
      { type: "caughtUp", head: 2 },
      { type: "pushAck", results: [{ status: 0, pos: 3 }] },
      { type: "data", items: [{ pos: 3, kind: "stub" }] },
    ]);
  });

  it("bring what was pushed at one to the subscribers of the other, once", async () => {
    const { time, there, space, device, maker } = await setupNodes();
    const reader = await there.client();
    await reader.exchange(subscribeTo(space));
    await maker.exchange(pushOf(device.entry(), device.entry()), pushOf(device.entry()));
    await time.advance(10_000);
    expect(positionsIn(reader.take())).toEqual([3, 4, 5]);
  });

  it("heal within seconds when every hint is lost", async () => {
    const { nodes, time, there, space, device, maker } = await setupNodes();
    const reader = await there.client();
    await reader.exchange(subscribeTo(space));
    nodes.fate = () => [];
    await maker.exchange(pushOf(device.entry()));
    await time.advance(1_000);
    expect(positionsIn(reader.take())).toEqual([]);
    await time.advance(3_000);
    expect(positionsIn(reader.take())).toEqual([3]);
  });

  it("give concurrent pushes one order: who was overtaken decides again", async () => {
    const { time, here, there, space, device } = await setupNodes();
    const other = new TestDevice(space, "phone");
    const [a, b] = [await here.client(), await there.client()];
    await a.exchange(certPutOf(other));
    for (let round = 0; round < 5; round += 1) {
      a.send(pushOf(device.entry()));
      b.send(pushOf(other.entry()));
    }
    await time.advance(1_000);
    const places = [...a.take(), ...b.take()].flatMap((message) =>
      message.type === "pushAck" ? message.results.map(({ status, pos }) => ({ status, pos })) : [],
    );
    expect(places.filter(({ status }) => status !== 0)).toEqual([]);
    expect(places.map(({ pos }) => pos).toSorted((x, y) => x - y)).toEqual(
      Array.from({ length: 10 }, (_, ix) => ix + 3),
    );
  });

  it("[PUSH-1] give the same entry the same position at both", async () => {
    const { time, here, there, device } = await setupNodes();
    const [a, b] = [await here.client(), await there.client()];
    const entry = device.entry();
    a.send(pushOf(entry));
    b.send(pushOf(entry));
    await time.advance(1_000);
    for (const client of [a, b]) {
      expect(client.take()).toMatchObject([{ results: [{ status: 0, pos: 3 }] }]);
    }
  });

  it("refuse by what is true now, not by what they knew", async () => {
    const { nodes, here, there, space, device } = await setupNodes();
    const [a, b] = [await here.client(), await there.client()];
    await b.exchange(subscribeTo(space));
    nodes.fate = () => [];
    const phone = new TestDevice(space, "phone");
    await a.exchange(certPutOf(phone));
    expect(await b.exchange(pushOf(phone.entry()))).toContainEqual(
      expect.objectContaining({
        type: "pushAck",
        results: [expect.objectContaining({ status: 0 })],
      }),
    );
    space.rotate([]);
    await a.exchange(controlPushOf(space));
    expect(await b.exchange(pushOf(device.entry({ epoch: 1 })))).toContainEqual(
      expect.objectContaining({
        type: "pushAck",
        results: [expect.objectContaining({ status: refusals.STALE_EPOCH.code })],
      }),
    );
  });

  it("[CTRL-6] let one of two racing rotations through, and show the other what it lacks", async () => {
    const { time, here, there, space } = await setupNodes();
    const rival = new TestSpace("shared");
    const [a, b] = [await here.client(), await there.client()];
    const ours = space.rotate([]);
    rival.grant({ signPub: signerNamed("friend").pub, role: roles.edit });
    a.send(controlPushOf(space));
    b.send(controlPushOf(rival));
    await time.advance(1_000);
    const answers = [...a.take(), ...b.take()];
    const statuses = answers.flatMap((message) =>
      message.type === "controlAck" ? [message.status] : [],
    );
    expect(statuses.toSorted((x, y) => x - y)).toEqual([0, refusals.CTRL_CONFLICT.code]);
    const conflict = answers.find(
      (message) => message.type === "controlAck" && message.status !== 0,
    );
    expect(conflict).toMatchObject({ records: [{ pos: 3 }] });
    expect(ours.record.ctrlSeq).toBe(3);
  });
});

describe("a rotation at one node", () => {
  it("[SUB-4] ends the subscriptions at the other, and what it missed never comes", async () => {
    const { time, there, space, device, maker } = await setupNodes();
    const removed = await there.client();
    await removed.exchange(subscribeTo(space));
    space.rotate([]);
    await maker.exchange(controlPushOf(space), pushOf(device.entry({ epoch: 2 })));
    await time.advance(5_000);
    const seen = removed.take();
    expect(seen.filter(({ type }) => type === "rekey")).toHaveLength(1);
    expect(positionsIn(seen)).toEqual([]);
    expect(await removed.exchange(subscribeTo(space))).toMatchObject([
      { results: [{ status: 0, head: 4 }] },
      { type: "data" },
      { type: "caughtUp" },
    ]);
  });

  it("[SUB-4] lets nothing later through although its hint was lost: no position, no presence", async () => {
    const { nodes, time, here, there, space, device, maker } = await setupNodes();
    const removed = await there.client();
    await removed.exchange(subscribeTo(space));
    nodes.fate = (notices) => notices.filter((_, ix) => ix > 0);
    space.rotate([]);
    await maker.exchange(controlPushOf(space));
    nodes.fate = (notices) => notices;
    const member = await here.client();
    await member.exchange(subscribeTo(space));
    await member.exchange({ type: "presence", handle: 1, sealed: bytesNamed("beat", 60) });
    expect(removed.take()).toEqual([]);
    await maker.exchange(pushOf(device.entry({ epoch: 2 })));
    await time.advance(5_000);
    expect(removed.take()).toEqual([{ type: "rekey", handle: 1 }]);
  });
});

describe("presence", () => {
  it("reaches the subscribers on the other node, and nobody twice", async () => {
    const { here, there, space } = await setupNodes();
    const clients = [await here.client(), await here.client(), await there.client()];
    for (const client of clients) await client.exchange(subscribeTo(space));
    for (const client of clients) client.take();
    const [speaker, ...others] = clients;
    const sealed = bytesNamed("beat", 60);
    await speaker?.exchange({ type: "presence", handle: 1, sealed });
    expect(speaker?.take()).toEqual([]);
    for (const other of others) {
      expect(other.take()).toEqual([{ type: "presence", handle: 1, sealed }]);
    }
  });
});

describe("hints in any order", () => {
  it("bring every reader the whole log, without holes and in order", async () => {
    const step = fc.record({
      at: fc.integer({ min: 0, max: 1 }),
      entries: fc.integer({ min: 1, max: 3 }),
      pauseMs: fc.constantFrom(0, 1, 700),
      hints: fc.constantFrom("kept", "lost", "repeated", "late"),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), async (steps) => {
        const { nodes, time, here, there, space, device } = await setupNodes();
        const other = new TestDevice(space, "phone");
        const writers = [await here.client(), await there.client()];
        await writers[0]?.exchange(certPutOf(other));
        const readers = [await here.client(), await there.client()];
        for (const reader of readers) await reader.exchange(subscribeTo(space));
        const late: (() => void)[] = [];
        for (const { at, entries, pauseMs, hints } of steps) {
          nodes.fate = (notices) => {
            if (hints === "kept") return notices;
            if (hints === "repeated") return [...notices, ...notices];
            if (hints === "late") {
              late.push(() => {
                nodes.say(nodes.store(), notices);
              });
            }
            return [];
          };
          const writer = at === 0 ? device : other;
          writers[at]?.send(pushOf(...Array.from({ length: entries }, () => writer.entry())));
          await time.advance(pauseMs);
        }
        nodes.fate = (notices) => notices;
        for (const say of late.toReversed()) say();
        await time.advance(10_000);
        const written = steps.reduce((sum, { entries }) => sum + entries, 0);
        const whole = Array.from({ length: 2 + written }, (_, ix) => ix + 1);
        for (const reader of readers)
          expect(positionsIn(reader.received.map((f) => f.message))).toEqual(whole.slice(2));
      }),
      { numRuns: 40 },
    );
  }, 60_000);
});
