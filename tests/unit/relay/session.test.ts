import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { defaultLimits } from "#relay/protocol/limits.ts";
import { encodeMessage, type Message } from "#relay/protocol/messages.ts";
import { RateBucket } from "#relay/rate-bucket.ts";
import { Session } from "#relay/session.ts";

function openSession(limits: Partial<typeof defaultLimits> = {}): Session {
  const session = new Session({ ...defaultLimits, ...limits }, 0);
  const hello = { type: "hello", version: 1, nonce: new Uint8Array(16), origin: "" } as const;
  expect(session.receive(encodeMessage(1, hello), 0).type).toBe("greet");
  return session;
}

function pushOf(count: number, bytes = 10): Message {
  return { type: "push", entries: Array.from({ length: count }, () => new Uint8Array(bytes)) };
}

describe("a session", () => {
  it("[LIM-4] refuses a PUSH above the rate as a whole, and says when it would pass", () => {
    const session = openSession({ entriesPerSecond: 10, entryBurst: 20 });
    const push = (count: number, now: number) =>
      session.receive(encodeMessage(2, pushOf(count)), now);
    expect(push(20, 0).type).toBe("serve");
    expect(push(5, 0)).toMatchObject({ refusal: "RATE", retryAfterMs: 500, closes: false });
    expect(push(5, 499).type).toBe("refuse");
    expect(push(5, 500).type).toBe("serve");
  });

  it("[LIM-4] makes a wrong signature cost ten entries", () => {
    const session = openSession({ entriesPerSecond: 10, entryBurst: 20 });
    session.receive(encodeMessage(2, pushOf(1)), 0);
    session.wrongSignature();
    expect(session.receive(encodeMessage(2, pushOf(11)), 0)).toMatchObject({ refusal: "RATE" });
    expect(session.receive(encodeMessage(2, pushOf(10)), 0).type).toBe("serve");
  });

  it("[LIM-4] keeps only so many bytes of pushes waiting for the disk", () => {
    const session = openSession();
    const large = pushOf(3, 300 << 10);
    const frame = encodeMessage(2, large);
    let taken = 0;
    while (session.receive(frame, taken * 1000).type === "serve") taken += 1;
    expect(taken).toBe(Math.floor((16 << 20) / (900 << 10)));
    if (large.type === "push") session.pushDone(large.entries);
    expect(session.receive(frame, 1_000_000).type).toBe("serve");
  });

  it("[SUB-6] never has more on its way than the window, but for one page in an empty one", () => {
    const steps = fc.array(fc.tuple(fc.boolean(), fc.nat(500)), { maxLength: 60 });
    fc.assert(
      fc.property(steps, (sequence) => {
        const session = openSession({ windowBytes: 300 });
        for (const [isSending, bytes] of sequence) {
          const before = session.uncredited;
          if (!isSending) session.credited(bytes);
          else if (session.maySend(bytes)) session.dataSent(bytes);
          expect(session.uncredited).toBeGreaterThanOrEqual(0);
          const isOnePage = isSending && before === 0;
          expect(isOnePage || session.uncredited <= Math.max(300, before)).toBe(true);
        }
      }),
    );
  });

  it("[SES-4] takes nothing after it has ended", () => {
    const session = openSession();
    expect(session.receiveText()).toMatchObject({ refusal: "BAD_FRAME", closes: true });
    expect(session.receive(encodeMessage(3, pushOf(1)), 0)).toEqual({ type: "ignore" });
  });
});

describe("a rate bucket", () => {
  it("[LIM-4] never lets more through than burst and rate allow, whatever is asked when", () => {
    const asks = fc.array(fc.tuple(fc.nat(2000), fc.integer({ min: 1, max: 20 })), {
      maxLength: 80,
    });
    fc.assert(
      fc.property(asks, (sequence) => {
        const bucket = new RateBucket(10, 20);
        let now = 0;
        let passed = 0;
        for (const [elapsed, cost] of sequence) {
          now += elapsed;
          if (bucket.take(cost, now) === 0) passed += cost;
          expect(passed).toBeLessThanOrEqual(20 + (now * 10) / 1000 + 1e-6);
        }
      }),
    );
  });

  it("[LIM-4] a cost above the burst passes on a full bucket; a clock that goes back gives nothing", () => {
    const bucket = new RateBucket(10, 20);
    expect(bucket.take(30, 1000)).toBe(0);
    expect(bucket.take(1, 0)).toBeGreaterThan(0);
    expect(bucket.take(1, 500)).toBeGreaterThan(0);
    expect(bucket.take(20, 60_000)).toBe(0);
  });
});
