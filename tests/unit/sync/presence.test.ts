import { beforeEach, describe, expect, it } from "vitest";
import type { PresenceContent, SealedPresence } from "#client/crypto/presence-seal.ts";
import { beatEveryMs, PresenceRoom, presenceTtlMs } from "#client/sync/presence.ts";
import { bytesNamed } from "#tests/support/space-identities.ts";

const ada = bytesNamed("ada", 32);
const bob = bytesNamed("bob", 32);
const tab = bytesNamed("tab", 8);
const otherTab = bytesNamed("other tab", 8);

let room: PresenceRoom;
beforeEach(() => {
  room = new PresenceRoom();
});

function from(devPub: Uint8Array, session: Uint8Array, seq: number): SealedPresence {
  const none = new Uint8Array(0);
  const rest = { nonce: none, aad: none, ciphertext: none, signature: none };
  return { epoch: 1, devPub, session, seq, signed: true, ...rest };
}

function beat(name: string): PresenceContent {
  return {
    type: "beat",
    name,
    frontier: { pos: 1, chainTag: bytesNamed("tag", 16) },
    arriving: false,
    digests: [],
    wanted: [],
  };
}

const caret: PresenceContent = {
  type: "cursor",
  cursor: { docId: bytesNamed("doc", 16), field: "body", anchor: "1@a", head: "1@a" },
};
const noCaret: PresenceContent = { type: "cursor", cursor: null };

describe("who is here", () => {
  it("is told by beats, with a name that may change", () => {
    expect(room.anybody).toBe(false);
    expect(room.receive(from(ada, tab, 1), beat("Ada"), 0)).toBe(true);
    expect(room.receive(from(ada, tab, 2), beat("Ada"), 1)).toBe(false);
    expect(room.receive(from(ada, tab, 3), beat("Ada L."), 2)).toBe(true);
    expect(room.anybody).toBe(true);
    expect(room.nameOf(ada)).toBe("Ada L.");
    expect(room.nameOf(bob)).toBeNull();
  });

  it("is forgotten when silent for longer than two beats, and not before", () => {
    expect(presenceTtlMs).toBeGreaterThan(2 * beatEveryMs);
    room.receive(from(ada, tab, 1), beat("Ada"), 0);
    room.receive(from(bob, tab, 1), beat("Bob"), 5_000);
    expect(room.expire(presenceTtlMs - 1)).toBe(false);
    expect(room.expire(presenceTtlMs)).toBe(true);
    expect(room.nameOf(ada)).toBeNull();
    expect(room.nameOf(bob)).toBe("Bob");
  });

  it("is not brought back by what a relay has kept and plays again (attack 66)", () => {
    room.receive(from(ada, tab, 1), beat("Ada"), 0);
    room.receive(from(ada, tab, 2), beat("Ada"), 10_000);
    room.expire(100_000);
    expect(room.anybody).toBe(false);
    for (const seq of [1, 2]) {
      expect(room.receive(from(ada, tab, seq), beat("Ada"), 100_001)).toBe(false);
    }
    expect(room.anybody).toBe(false);
    room.clear();
    expect(room.receive(from(ada, tab, 2), beat("Ada"), 200_000)).toBe(false);
    expect(room.receive(from(ada, tab, 3), beat("Ada"), 200_001)).toBe(true);
  });

  it("leaves at once when it says so, with all its tabs", () => {
    room.receive(from(ada, tab, 1), beat("Ada"), 0);
    room.receive(from(ada, otherTab, 1), caret, 0);
    room.receive(from(bob, tab, 1), beat("Bob"), 0);
    expect(room.receive(from(ada, tab, 2), { type: "leave" }, 1)).toBe(true);
    expect(room.peers().map(({ name }) => name)).toEqual(["Bob"]);
  });

  it("is nobody after the connection broke", () => {
    room.receive(from(ada, tab, 1), beat("Ada"), 0);
    room.clear();
    expect(room.anybody).toBe(false);
    expect(room.peers()).toEqual([]);
  });
});

describe("carets", () => {
  it("stand beside one another, one for each tab", () => {
    room.receive(from(ada, tab, 1), beat("Ada"), 0);
    expect(room.receive(from(ada, tab, 2), caret, 1)).toBe(true);
    expect(room.receive(from(ada, otherTab, 1), caret, 1)).toBe(true);
    const peers = room.peers();
    expect(peers.map(({ name, cursor }) => [name, cursor?.field])).toEqual([
      ["Ada", "body"],
      ["Ada", "body"],
    ]);
    expect(new Set(peers.map(({ id }) => id)).size).toBe(2);
  });

  it("stay where they were at a beat, and go when their tab says so", () => {
    room.receive(from(ada, tab, 1), beat("Ada"), 0);
    room.receive(from(ada, tab, 2), caret, 1);
    room.receive(from(ada, tab, 3), beat("Ada"), 2);
    expect(room.peers()[0]?.cursor?.field).toBe("body");
    room.receive(from(ada, tab, 4), noCaret, 3);
    expect(room.peers()[0]?.cursor).toBeNull();
  });

  it("of somebody who has not introduced himself are not shown: they are not signed", () => {
    expect(room.receive(from(bob, tab, 1), caret, 0)).toBe(false);
    expect(room.peers()).toEqual([]);
  });

  it("do not jump back when messages are repeated or overtaken", () => {
    room.receive(from(ada, tab, 1), beat("Ada"), 0);
    room.receive(from(ada, tab, 5), noCaret, 1);
    expect(room.receive(from(ada, tab, 5), caret, 2)).toBe(false);
    expect(room.receive(from(ada, tab, 4), caret, 2)).toBe(false);
    expect(room.peers()[0]?.cursor).toBeNull();
  });
});
