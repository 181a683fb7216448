import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { capabilityFrom, sealEpochKey, openEpochKey, boxKey } from "#client/crypto/capability.ts";
import { keyCommitOf } from "#client/crypto/derive.ts";
import { nobleEd25519 as ed, signingKey } from "#client/crypto/ed25519.ts";
import {
  foundSpace,
  grant,
  join,
  keysFor,
  closeOrReopen,
  openMeta,
  rotate,
  verifyLog,
  type ControlPlace,
} from "#client/crypto/space-keys.ts";
import { admitControl, roleOf, type Authority } from "#relay/protocol/authority.ts";
import {
  capabilityKinds,
  parseControl,
  roles,
  type SignedControl,
} from "#relay/protocol/control.ts";
import { spaceIdOf } from "#relay/protocol/genesis.ts";
import { bytesNamed } from "#tests/support/space-identities.ts";

let drawn = 0;
const author = {
  ed,
  random: (length: number): Uint8Array => bytesNamed(`key ${(drawn += 1)}`, length),
};

const admin = capabilityFrom(ed, bytesNamed("admin", 32));
const link = capabilityFrom(ed, bytesNamed("link", 32));
const guest = capabilityFrom(ed, bytesNamed("guest", 32));
const stranger = capabilityFrom(ed, bytesNamed("stranger", 32));

const founded = foundSpace(
  author,
  "notebook",
  { sign: admin.sign, boxPub: admin.box.publicKey, kind: capabilityKinds.person },
  bytesNamed("nonce", 16),
  1_000,
);

function place(authority: Authority): ControlPlace {
  return { authority, timeMs: 2_000, seenPos: 0, seenChain: new Uint8Array(32) };
}

function after(authority: Authority, record: SignedControl): Authority {
  const verdict = admitControl(authority, record, record.record.ctrlSeq, null);
  if (!verdict.ok) throw new Error(verdict.why);
  return verdict.authority;
}

const meta = new TextEncoder().encode('["Kitchen","Ada"]');
const granted = grant(author, place(founded.authority), admin.sign, founded.epochKey, {
  signPub: link.sign.publicKey,
  boxPub: link.box.publicKey,
  role: roles.edit,
  kind: capabilityKinds.link,
  notAfter: 0,
  maxJoins: 0,
  meta,
});
const withLink = after(founded.authority, granted);
const joined = join(author, place(withLink), link.sign, founded.epochKey, {
  signPub: guest.sign.publicKey,
  boxPub: guest.box.publicKey,
  meta,
});
const withGuest = after(withLink, joined);
const log = [...founded.records, granted, joined];

function keysOf(held: typeof admin) {
  return keysFor(founded.spaceId, log, { signPub: held.sign.publicKey, box: held.box });
}

const theKey = [{ epoch: 1, key: founded.epochKey }];

describe("the key of a space", () => {
  it("is opened by its founder, by a link's holder and by whoever joined", () => {
    expect(founded.spaceId).toEqual(spaceIdOf(founded.genesis));
    expect(keysOf(admin)).toEqual(theKey);
    expect(keysOf(link)).toEqual(theKey);
    expect(keysOf(guest)).toEqual(theKey);
    expect(roleOf(withGuest, guest.sign.publicKey)).toBe(roles.edit);
  });

  it("is not opened by anybody else, nor with one half of a capability", () => {
    expect(keysOf(stranger)).toEqual([]);
    expect(
      keysFor(founded.spaceId, log, { signPub: guest.sign.publicKey, box: stranger.box }),
    ).toEqual([]);
    expect(
      keysFor(founded.spaceId, log, { signPub: stranger.sign.publicKey, box: guest.box }),
    ).toEqual([]);
  });

  it("counts only if it is the one that the rotation committed to", () => {
    const another = bytesNamed("another key", 32);
    const wrong = grant(author, place(founded.authority), admin.sign, another, {
      signPub: guest.sign.publicKey,
      boxPub: guest.box.publicKey,
      role: roles.edit,
      kind: capabilityKinds.person,
      notAfter: 0,
      maxJoins: 0,
      meta,
    });
    expect(
      keysFor(founded.spaceId, [...founded.records, wrong], {
        signPub: guest.sign.publicKey,
        box: guest.box,
      }),
    ).toEqual([]);
    expect(keyCommitOf(founded.spaceId, 1, another)).not.toEqual(founded.authority.keyCommit);
  });

  it("is bound to its space, epoch and record", () => {
    const key = bytesNamed("epoch key", 32);
    const ephemeral = boxKey(bytesNamed("ephemeral", 32));
    const context = { spaceId: founded.spaceId, epoch: 1, aad: bytesNamed("header", 128) };
    const sealed = sealEpochKey(key, ephemeral, guest.box.publicKey, context);
    if (sealed === null) throw new Error("a sound key can be sealed to");
    const open = (changed: Partial<typeof context>) =>
      openEpochKey(sealed, ephemeral.publicKey, guest.box, { ...context, ...changed });
    expect(open({})).toEqual(key);
    expect(open({ epoch: 2 })).toBeNull();
    expect(open({ spaceId: bytesNamed("another space", 32) })).toBeNull();
    expect(open({ aad: bytesNamed("another header", 128) })).toBeNull();
  });

  it("is not sealed to a box key of small order", () => {
    const context = { spaceId: founded.spaceId, epoch: 1, aad: new Uint8Array(0) };
    const one = new Uint8Array(32).with(0, 1);
    for (const weak of [new Uint8Array(32), one]) {
      const ephemeral = boxKey(bytesNamed("ephemeral", 32));
      expect(sealEpochKey(bytesNamed("key", 32), ephemeral, weak, context)).toBeNull();
    }
  });
});

describe("a fresh key", () => {
  const without = (lowered: Parameters<typeof rotate>[4], place_ = withGuest) =>
    rotate(author, place(place_), admin.sign, founded.epochKey, lowered);
  const guestOut = [{ signPub: guest.sign.publicKey, role: roles.none }];
  const keysIn = (records: readonly SignedControl[], held: typeof admin) =>
    keysFor(founded.spaceId, records, { signPub: held.sign.publicKey, box: held.box });

  it("goes to everybody who keeps a role, with the one before it, and to nobody else", () => {
    const { signed, epochKey } = without(guestOut);
    const records = [...log, signed];
    const both = [...theKey, { epoch: 2, key: epochKey }];
    expect(keysIn(records, admin)).toEqual(both);
    expect(keysIn(records, link)).toEqual(both);
    expect(keysIn(records, guest)).toEqual(theKey);
    expect(epochKey).not.toEqual(founded.epochKey);
    const state = after(withGuest, signed);
    expect(state).toMatchObject({ epoch: 2 });
    expect(roleOf(state, guest.sign.publicKey)).toBe(roles.none);
    expect(roleOf(state, link.sign.publicKey)).toBe(roles.edit);
  });

  it("is read with all that came before by whoever joins later", () => {
    const { signed, epochKey } = without(guestOut);
    const state = after(withGuest, signed);
    const joinedLater = join(author, place(state), link.sign, epochKey, {
      signPub: stranger.sign.publicKey,
      boxPub: stranger.box.publicKey,
      meta,
    });
    expect(keysIn([...log, signed, joinedLater], stranger).map(({ epoch }) => epoch)).toEqual([
      1, 2,
    ]);
  });

  it("is another one with another ephemeral each time", () => {
    const [one, two] = [without([]), without([])];
    const ephemeral = ({ signed }: typeof one) =>
      signed.record.body.type === "rotate" ? signed.record.body.ephPub : null;
    expect(one.epochKey).not.toEqual(two.epochKey);
    expect(ephemeral(one)).not.toEqual(ephemeral(two));
  });

  it("lowers whoever is named, raises nobody, and forgets those it does not know", () => {
    const { signed } = without([
      { signPub: guest.sign.publicKey, role: roles.read },
      { signPub: link.sign.publicKey, role: roles.admin },
      { signPub: stranger.sign.publicKey, role: roles.none },
    ]);
    const state = after(withGuest, signed);
    expect(roleOf(state, guest.sign.publicKey)).toBe(roles.read);
    expect(roleOf(state, link.sign.publicKey)).toBe(roles.edit);
  });

  it("that is not the one committed to is no key, whoever sealed it (attack 55)", () => {
    const { signed } = without([]);
    const { body } = signed.record;
    if (body.type !== "rotate") throw new Error("it is a rotation");
    const lie = { ...body, keyCommit: keyCommitOf(founded.spaceId, 2, bytesNamed("other", 32)) };
    const forged = { ...signed, record: { ...signed.record, body: lie } };
    expect(keysIn([...log, forged], guest)).toEqual(theKey);
  });
});

describe("a space that is closed", () => {
  it("takes nothing but its reopening, and then goes on as before", () => {
    const closed = after(withGuest, closeOrReopen(author, place(withGuest), admin.sign, "delete"));
    expect(closed.deleted).toBe(true);
    const { signed } = rotate(author, place(closed), admin.sign, founded.epochKey, []);
    expect(admitControl(closed, signed, 9, null)).toMatchObject({ refusal: "SPACE_DELETED" });
    const reopened = after(closed, closeOrReopen(author, place(closed), admin.sign, "restore"));
    expect(reopened).toMatchObject({ deleted: false, epoch: 1 });
    const byGuest = closeOrReopen(author, place(reopened), guest.sign, "delete");
    expect(admitControl(reopened, byGuest, 9, null)).toMatchObject({ refusal: "NOT_ADMIN" });
  });
});

describe("what a link says about its notebook", () => {
  it("is read with the key and with no other, and only in its space", () => {
    const { body } = granted.record;
    if (body.type !== "grant") throw new Error("it is a grant");
    expect(openMeta(founded.spaceId, founded.epochKey, body.meta)).toEqual(meta);
    expect(openMeta(founded.spaceId, bytesNamed("another", 32), body.meta)).toBeNull();
    expect(openMeta(bytesNamed("space", 32), founded.epochKey, body.meta)).toBeNull();
    expect(openMeta(founded.spaceId, founded.epochKey, body.meta.slice(0, 10))).toBeNull();
  });
});

describe("a control log", () => {
  const numbered = (records: readonly SignedControl[]) =>
    records.map((signed, ix) => ({ signed, pos: ix + 1 }));

  it("is accepted from its genesis on", () => {
    const verified = verifyLog(ed, founded.genesis, numbered(log));
    expect(verified).toMatchObject({ ok: true, authority: { epoch: 1, ctrlSeq: 4 } });
  });

  it("is refused when a record is missing, moved, repeated, or of another space", () => {
    const refused = (records: readonly SignedControl[]): void => {
      expect(verifyLog(ed, founded.genesis, numbered(records)).ok).toBe(false);
    };
    const [first, second] = founded.records;
    if (first === undefined || second === undefined) throw new Error("founding is two records");
    refused([first, granted, joined]);
    refused([second, first, granted, joined]);
    refused([first, second, granted, granted]);
    const elsewhere = foundSpace(
      author,
      "notebook",
      { sign: admin.sign, boxPub: admin.box.publicKey, kind: capabilityKinds.person },
      bytesNamed("another nonce", 16),
      1_000,
    );
    refused([...elsewhere.records]);
    expect(verifyLog(ed, elsewhere.genesis, numbered(log)).ok).toBe(false);
  });

  it("is refused when somebody grants who may not", () => {
    const usurped = grant(author, place(withGuest), guest.sign, founded.epochKey, {
      signPub: stranger.sign.publicKey,
      boxPub: stranger.box.publicKey,
      role: roles.admin,
      kind: capabilityKinds.person,
      notAfter: 0,
      maxJoins: 0,
      meta,
    });
    expect(verifyLog(ed, founded.genesis, numbered([...log, usurped]))).toMatchObject({
      ok: false,
      refusal: "NOT_ADMIN",
    });
  });

  it("is refused when a record is signed by another than it names", () => {
    const thief = signingKey(ed, bytesNamed("thief", 32));
    const forged = { ...granted, signature: ed.sign(thief.seed, granted.hash) };
    expect(verifyLog(ed, founded.genesis, numbered([...founded.records, forged]))).toMatchObject({
      ok: false,
      refusal: "BAD_SIGNATURE",
    });
  });

  it("is refused whichever byte of whichever record is altered", () => {
    fc.assert(
      fc.property(fc.nat(log.length - 1), fc.nat(100_000), fc.nat(7), (ix, at, bit) => {
        const record = log[ix];
        if (record === undefined) throw new Error("unreachable");
        const bytes = record.bytes.slice();
        const place = at % bytes.length;
        bytes[place] = (bytes[place] ?? 0) ^ (1 << bit);
        const parsed = parseControl(bytes);
        if (!parsed.ok) return;
        expect(verifyLog(ed, founded.genesis, numbered(log.with(ix, parsed.value))).ok).toBe(false);
      }),
      { numRuns: 60 },
    );
  });
});
