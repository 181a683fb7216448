import { createHash } from "node:crypto";
import * as Automerge from "@automerge/automerge/slim";
import { beforeAll, describe, expect, it } from "vitest";
import { isHeadGenuine } from "#client/crypto/authorship.ts";
import { signingKey } from "#client/crypto/ed25519.ts";
import { judgeEntry, maxRowsPerEntry } from "#client/sync/intake.ts";
import { concat, parseHex } from "#relay/protocol/bytes.ts";
import { roles } from "#relay/protocol/control.ts";
import { loadAutomerge } from "#tests/support/automerge.ts";
import { bytesNamed } from "#tests/support/space-identities.ts";
import { parsedChanges, WrittenSpace, type EntryContent } from "./written-space.ts";

beforeAll(loadAutomerge);

const space = new WrittenSpace();
const pos = 7;

function judge(content: EntryContent, knowledge = space.knowledge()) {
  return judgeEntry(space.entry(content), pos, knowledge);
}

function changesOf(count: number): readonly Uint8Array[] {
  return Automerge.getAllChanges(space.write(count));
}

describe("a genuine entry", () => {
  it("is believed, with each change and who signed for it", () => {
    const verdict = judge(space.honest(changesOf(4)));
    expect(verdict).toMatchObject({ type: "good", frontier: { pos: 3 } });
    if (verdict.type !== "good") throw new Error("unreachable");
    expect(verdict.changes.map(({ seq }) => seq)).toEqual([1, 2, 3, 4]);
    expect(verdict.changes.every(({ operations }) => operations > 0)).toBe(true);
    expect(verdict.changes.every(({ signer }) => signer === verdict.heads[0]?.devPub)).toBe(true);
  });

  it("may bring later changes of a document whose beginning is known", () => {
    const all = changesOf(3);
    expect(judge(space.honest(all.slice(1))).type).toBe("good");
  });

  it("may bring what another device signed, as after a loss at the relay", () => {
    const other = signingKey(space.ed, bytesNamed("other device", 32));
    const doc = Automerge.change(
      Automerge.clone(space.write(1), { actor: space.actor("other", other) }),
      { time: 0 },
      (draft) => Automerge.splice(draft, ["body"], 0, 0, "x"),
    );
    const changes = Automerge.getAllChanges(doc);
    const [root, theirs] = parsedChanges(changes);
    if (root === undefined || theirs === undefined) throw new Error("two changes were made");
    const content = {
      changes,
      heads: [space.head(root), space.head(theirs, "other", other)],
      origin: space.origin([root.hash]),
    };
    expect(judge(content).type).toBe("unknown-author");
    const known = space.knowledge({ capabilitiesOf: () => [space.admin.sign.publicKey] });
    expect(judge(content, known)).toMatchObject({ type: "good" });
  });

  it("is a copy when its origin names the heads it came with", () => {
    const root = parsedChanges(changesOf(1))[0];
    if (root === undefined) throw new Error("a change was made");
    const later = changesOf(2).slice(1);
    const known = space.knowledge({ originOf: () => space.origin([root.hash]) });
    expect(judge({ ...space.honest(changesOf(1)), origin: null }, known).type).toBe("good");
    expect(judge(space.honest(later), known).type).toBe("good");
  });
});

describe("an entry that comes too early", () => {
  it("waits for the control log when its author is not known", () => {
    const known = space.knowledge({ capabilitiesOf: () => [] });
    expect(judge(space.honest(changesOf(1)), known)).toEqual({ type: "unknown-author" });
  });

  it("waits for the control log when its epoch is not known", () => {
    expect(judge({ ...space.honest(changesOf(1)), epoch: 2 })).toEqual({ type: "unknown-author" });
  });

  it("waits for the control log when there is no key of its epoch", () => {
    const known = space.knowledge({ keyOf: () => null });
    expect(judge(space.honest(changesOf(1)), known)).toEqual({ type: "unknown-author" });
  });

  it("of a kind that a later version writes is passed over with a notice", () => {
    expect(judge({ ...space.honest(changesOf(1)), kind: 9 })).toEqual({ type: "unknown-kind" });
  });
});

function isTaken(chunks: Uint8Array[]): boolean {
  try {
    Automerge.applyChanges(Automerge.init<unknown>(), chunks);
    return true;
  } catch {
    return false;
  }
}

describe("a forged entry is refused, and why is told:", () => {
  /** Why an entry is refused; the genuine one beside it passes, so not everything is. */
  function whyRefused(content: EntryContent, knowledge = space.knowledge()): string {
    expect(judge(space.honest(changesOf(3))).type).toBe("good");
    const verdict = judge(content, knowledge);
    return verdict.type === "bad" ? verdict.why : `not refused: ${verdict.type}`;
  }

  it("another space", () => {
    expect(
      whyRefused({ ...space.honest(changesOf(1)), spaceId: bytesNamed("another space", 32) }),
    ).toContain("another space");
  });

  it("an author who may only read, whatever the relay lets through (attack 57)", () => {
    const { authority } = space.founded;
    const [first] = authority.capabilities;
    if (first === undefined) throw new Error("a founder has a capability");
    expect(
      whyRefused(
        space.honest(changesOf(1)),
        space.knowledge({
          authority: { ...authority, capabilities: [{ ...first, role: roles.read }] },
        }),
      ),
    ).toContain("may not write");
  });

  it("an author who had been removed before, though not one who was removed after (attack 56)", () => {
    const { authority } = space.founded;
    const closedAt = (endPos: number) =>
      space.knowledge({
        authority: {
          ...authority,
          epoch: 2,
          closed: new Map([[1, { endPos, roles: [roles.admin] }]]),
        },
      });
    expect(whyRefused(space.honest(changesOf(1)), closedAt(pos))).toContain("may not write");
    expect(judge(space.honest(changesOf(1)), closedAt(pos + 1)).type).toBe("good");
  });

  it("the signature of somebody else", () => {
    const thief = signingKey(space.ed, bytesNamed("thief", 32));
    expect(whyRefused({ ...space.honest(changesOf(1)), signer: thief })).toContain(
      "not signed by its author",
    );
  });

  it("the key of another time", () => {
    expect(
      whyRefused({ ...space.honest(changesOf(1)), epochKey: bytesNamed("another key", 32) }),
    ).toContain("cannot be opened");
  });

  it("a content that is none", () => {
    const honest = space.honest(changesOf(1));
    expect(whyRefused({ ...honest, plaintext: new Uint8Array(0) })).toContain("malformed");
    expect(whyRefused({ ...honest, plaintext: bytesNamed("noise", 300) })).toContain("malformed");
  });

  it("an origin that its creator did not sign, or of another document", () => {
    const honest = space.honest(changesOf(1));
    const { origin } = honest;
    if (origin == null) throw new Error("a root travels with its origin");
    const signature = Uint8Array.from(origin.signature, (byte, ix) => (ix === 5 ? byte ^ 1 : byte));
    expect(whyRefused({ ...honest, origin: { ...origin, signature } })).toContain(
      "origin is forged",
    );
    expect(
      whyRefused({ ...honest, origin: { ...origin, docNonce: bytesNamed("another nonce", 16) } }),
    ).toContain("origin is forged");
  });

  it("a change whose bytes were altered (attack 48)", () => {
    const changes = changesOf(2);
    const [first, last] = changes;
    if (first === undefined || last === undefined) throw new Error("two changes were made");
    const flipped = [...last.keys()].slice(8).map((at) => last.with(at, (last[at] ?? 0) ^ 1));
    // Automerge itself takes some of them, as other changes than were signed.
    const taken = flipped.filter((bytes) => isTaken([first, bytes]));
    expect(taken.length).toBeGreaterThan(0);
    for (const bytes of flipped) {
      expect(whyRefused({ ...space.honest(changes), changes: [first, bytes] })).toContain(
        "damaged",
      );
    }
    const altered = [first, taken[0] ?? last];
    expect(whyRefused({ ...space.honest(changes), changes: altered })).toContain(
      "damaged: bad-checksum",
    );
    expect(
      whyRefused({ ...space.honest(changes), changes: [concat(...changes).slice(0, -3)] }),
    ).toContain("damaged: truncated");
  });

  it("a head that its device did not sign, or that belongs to another actor", () => {
    const honest = space.honest(changesOf(2));
    const [head] = honest.heads;
    if (head === undefined) throw new Error("an entry has a head");
    expect(whyRefused({ ...honest, heads: [{ ...head, seq: 1 }] })).toContain("signed falsely");
    const foreign = { ...head, actorNonce: space.actorNonce("another") };
    expect(isHeadGenuine(space.ed, space.docId, foreign)).toBe(false);
    expect(whyRefused({ ...honest, heads: [foreign] })).toContain("signed falsely");
  });

  it("a change under the name, and at the place, of somebody else (attack 46)", () => {
    const victim = signingKey(space.ed, bytesNamed("victim", 32));
    const base = space.write(1);
    const forged = Automerge.getAllChanges(
      Automerge.change(
        Automerge.clone(base, { actor: space.actor("victim's", victim) }),
        { time: 0 },
        (draft) => Automerge.splice(draft, ["body"], 0, 0, "never said"),
      ),
    ).slice(1);
    const [change] = parsedChanges(forged);
    const [root] = parsedChanges(Automerge.getAllChanges(base));
    if (change === undefined || root === undefined) throw new Error("a change was made");
    const known = space.knowledge({
      originOf: () => space.origin([root.hash]),
      capabilitiesOf: () => [space.admin.sign.publicKey],
    });
    // Vouched for by the forger's own key, under the victim's nonce or under one of the forger's.
    const own = space.head(change, "victim's");
    const lent = { ...own, devPub: victim.publicKey };
    expect(whyRefused({ changes: forged, heads: [own] }, known)).toContain("no signed author");
    expect(whyRefused({ changes: forged, heads: [lent] }, known)).toContain("signed falsely");
    // The victim's own word for the same change would do: it is the signature that counts.
    expect(
      judge({ changes: forged, heads: [space.head(change, "victim's", victim)] }, known).type,
    ).toBe("good");
  });

  it("a change that nobody signed for", () => {
    expect(whyRefused({ ...space.honest(changesOf(1)), heads: [] })).toContain("no signed author");
  });

  it("a head that is not the last change of its actor", () => {
    const changes = changesOf(3);
    const [, second] = parsedChanges(changes);
    if (second === undefined) throw new Error("three changes were made");
    expect(whyRefused({ ...space.honest(changes), heads: [space.head(second)] })).toContain(
      "not its author's last",
    );
    // A head without any change of its actor vouches for nothing.
    expect(
      whyRefused({
        ...space.honest(changes),
        heads: [...space.honest(changes).heads, space.head(second, "nobody")],
      }),
    ).toContain("not its author's last");
  });

  it("a hole in an author's changes", () => {
    const changes = changesOf(3);
    const [first, , third] = changes;
    if (first === undefined || third === undefined) throw new Error("three changes were made");
    expect(whyRefused({ ...space.honest(changes), changes: [first, third] })).toContain(
      "have a hole",
    );
  });

  it("a change that does not follow its author's last", () => {
    // Automerge itself always names the predecessor, so this one is made by hand.
    const [first] = changesOf(1);
    if (first === undefined) throw new Error("a change was made");
    const stray = handmade({ seq: 2, deps: [bytesNamed("elsewhere", 32)], rows: 1 });
    const [parsed] = parsedChanges([stray]);
    if (parsed === undefined) throw new Error("it parses");
    expect(
      whyRefused({
        ...space.honest([first]),
        changes: [first, stray],
        heads: [space.head(parsed)],
      }),
    ).toContain("does not follow");
  });

  it("a second beginning of its document, with or without an origin", () => {
    const second = Automerge.getAllChanges(space.write(1, "usurper"));
    const content = space.honest(second, "usurper");
    const first = parsedChanges(changesOf(1))[0];
    if (first === undefined) throw new Error("a change was made");
    expect(whyRefused({ ...content, origin: null })).toContain("second beginning");
    expect(whyRefused({ ...content, origin: space.origin([first.hash]) })).toContain(
      "second beginning",
    );
    expect(
      whyRefused(
        { ...content, origin: null },
        space.knowledge({ originOf: () => space.origin([first.hash]) }),
      ),
    ).toContain("second beginning");
  });

  it("a hundred bytes that claim a million operations (attack 51)", () => {
    const bomb = handmade({ seq: 1, deps: [bytesNamed("before", 32)], rows: maxRowsPerEntry + 1 });
    expect(bomb.length).toBeLessThan(200);
    const [parsed] = parsedChanges([bomb]);
    if (parsed === undefined) throw new Error("it parses");
    expect(whyRefused({ changes: [bomb], heads: [space.head(parsed)] })).toContain("more work");
    const most = handmade({ seq: 1, deps: [bytesNamed("before", 32)], rows: maxRowsPerEntry });
    const [large] = parsedChanges([most]);
    if (large === undefined) throw new Error("it parses");
    expect(judge({ changes: [most], heads: [space.head(large)] }).type).toBe("good");
  });
});

/** A change chunk of the space's writer with one column: so many equal actions. */
function handmade(change: {
  readonly seq: number;
  readonly deps: readonly Uint8Array[];
  readonly rows: number;
}): Uint8Array {
  const actor = parseHex(space.actor("writer")) ?? new Uint8Array(0);
  const actions = [...leb(change.rows, 0x40), 1];
  const body = Uint8Array.from([
    ...leb(change.deps.length, 0x80),
    ...change.deps.flatMap((dep) => [...dep]),
    ...leb(actor.length, 0x80),
    ...actor,
    ...leb(change.seq, 0x80),
    1, // first operation
    0, // time
    0, // message
    0, // other actors
    1, // one column: actions
    0x42,
    actions.length,
    ...actions,
  ]);
  const typed = Uint8Array.from([1, ...leb(body.length, 0x80), ...body]);
  const checksum = createHash("sha256").update(typed).digest().subarray(0, 4);
  return concat(Uint8Array.from([0x85, 0x6f, 0x4a, 0x83]), checksum, typed);
}

/** LEB128; `limit` is 0x40 for signed numbers, 0x80 for unsigned ones. */
function leb(value: number, limit: 0x40 | 0x80): number[] {
  const bytes: number[] = [];
  let left = value;
  while (left >= limit) {
    bytes.push((left & 0x7f) | 0x80);
    left = Math.floor(left / 128);
  }
  return [...bytes, left];
}
