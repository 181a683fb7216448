/** What a control log may say, judged alike by relay and clients. */
import { describe, expect, it } from "vitest";
import {
  admitControl,
  mayWrite,
  openAuthority,
  roleOf,
  type Authority,
} from "#relay/protocol/authority.ts";
import {
  capabilityKinds,
  previousKeyBytes,
  roles,
  sealedKeyBytes,
  type ControlBody,
  type GrantBody,
  type RotateBody,
} from "#relay/protocol/control.ts";
import { isSoundBoxKey, isSoundSigningKey } from "#relay/protocol/keys.ts";
import {
  bytesNamed,
  signerNamed,
  TestSpace,
  type Signer,
} from "#tests/support/space-identities.ts";

/** The space's own records admitted one after another. */
function admitAll(space: TestSpace): Authority {
  const opened = openAuthority(space.genesis);
  if (!opened.ok) throw new Error(opened.why);
  return space.records.reduce((authority, signed, ix) => {
    const verdict = admitControl(authority, signed, ix + 1, null);
    if (!verdict.ok) throw new Error(verdict.why);
    return verdict.authority;
  }, opened.authority);
}

/** What becomes of one more record. */
function refusalOf(
  space: TestSpace,
  body: ControlBody,
  signer: Signer = space.admin,
  epochAfter = space.epoch,
): string | null {
  const before = admitAll(space);
  const epoch = space.epoch;
  space.epoch = epochAfter;
  const signed = space.recordOn(space.records.at(-1) ?? null, body, signer);
  space.epoch = epoch;
  const verdict = admitControl(before, signed, space.records.length + 1, 2000);
  return verdict.ok ? null : verdict.refusal;
}

function grantOf(signPub: Uint8Array, changes: Partial<GrantBody> = {}): GrantBody {
  return {
    type: "grant",
    signPub,
    boxPub: bytesNamed("box", 32),
    role: roles.edit,
    kind: capabilityKinds.person,
    notAfter: 0,
    maxJoins: 0,
    ephPub: bytesNamed("eph", 32),
    sealedKey: bytesNamed("key", sealedKeyBytes),
    meta: new Uint8Array(0),
    ...changes,
  };
}

function rotateOf(capIxs: readonly number[], changes: Partial<RotateBody> = {}): RotateBody {
  return {
    type: "rotate",
    changes: [],
    keyCommit: bytesNamed("commit", 32),
    readTokenHash: bytesNamed("token", 32),
    ephPub: bytesNamed("eph", 32),
    keys: capIxs.map((capIx) => ({ capIx, sealedKey: bytesNamed("key", sealedKeyBytes) })),
    previousKey: bytesNamed("previous", previousKeyBytes),
    ...changes,
  };
}

describe("grants", () => {
  it("[CTRL-3] raise a role, never lower it, and never bring back a removed key", () => {
    const space = new TestSpace("grants");
    const friend = signerNamed("friend");
    space.grant({ signPub: friend.pub, role: roles.edit });
    expect(refusalOf(space, grantOf(friend.pub, { role: roles.admin }))).toBeNull();
    expect(refusalOf(space, grantOf(friend.pub, { role: roles.read }))).toBe("BAD_CONTROL");
    space.rotate([friend.pub]);
    expect(refusalOf(space, grantOf(friend.pub))).toBe("BAD_CONTROL");
  });

  it("[CTRL-3] need a key, a role and sound public keys", () => {
    const space = new TestSpace("unsound");
    const { pub } = signerNamed("friend");
    expect(refusalOf(space, grantOf(pub, { sealedKey: null }))).toBe("BAD_CONTROL");
    expect(refusalOf(space, grantOf(pub, { role: roles.none }))).toBe("BAD_CONTROL");
    expect(refusalOf(space, grantOf(pub, { boxPub: new Uint8Array(32) }))).toBe("BAD_CONTROL");
    expect(refusalOf(space, grantOf(new Uint8Array(32)))).toBe("BAD_CONTROL");
    expect(refusalOf(space, grantOf(pub), signerNamed("stranger"))).toBe("NOT_ADMIN");
  });

  it("[CTRL-3] begin with the genesis key's own, without a key to seal", () => {
    const space = new TestSpace("first");
    const opened = openAuthority(space.genesis);
    if (!opened.ok) throw new Error(opened.why);
    space.epoch = 0;
    const first = (body: ControlBody) => {
      const verdict = admitControl(
        opened.authority,
        space.recordOn(null, body, space.admin),
        1,
        null,
      );
      return verdict.ok ? null : verdict.refusal;
    };
    const own = { role: roles.admin, sealedKey: null };
    expect(first(grantOf(space.admin.pub, own))).toBeNull();
    expect(first(grantOf(signerNamed("friend").pub, own))).toBe("BAD_CONTROL");
    expect(first(grantOf(space.admin.pub, { role: roles.admin }))).toBe("BAD_CONTROL");
  });
});

describe("links", () => {
  const adminLink = { role: roles.admin, kind: capabilityKinds.link };

  it("[CTRL-6] sign nothing but a JOIN, whatever their role, and count for no administrator", () => {
    const space = new TestSpace("admin link");
    const link = signerNamed("admin link");
    space.grant({ signPub: link.pub, ...adminLink });
    const own = grantOf(signerNamed("other").pub);
    const records = [
      [own, space.epoch],
      [rotateOf([0, 1]), space.epoch + 1],
      [{ type: "delete" as const }, space.epoch],
    ] as const;
    for (const [body, epoch] of records) {
      expect(refusalOf(space, body, link, epoch)).toBe("NOT_ADMIN");
      expect(refusalOf(space, body, space.admin, epoch)).toBeNull();
    }
    const left = rotateOf([0, 1], { changes: [{ capIx: 0, role: roles.read }] });
    expect(refusalOf(space, left, space.admin, 2)).toBe("BAD_CONTROL");
  });

  it("[CTRL-6] give whoever joins their role: an administrator then", () => {
    const space = new TestSpace("admin joins", "vault");
    const link = signerNamed("admin link");
    const device = signerNamed("new device");
    space.grant({ signPub: link.pub, ...adminLink, maxJoins: 1 });
    space.join(link, device.pub, roles.admin);
    expect(roleOf(admitAll(space), device.pub)).toBe(roles.admin);
    expect(refusalOf(space, grantOf(signerNamed("other").pub), device)).toBeNull();
  });

  it("[CTRL-3] begin no space", () => {
    const space = new TestSpace("first is a link");
    const opened = openAuthority(space.genesis);
    if (!opened.ok) throw new Error(opened.why);
    space.epoch = 0;
    const body = grantOf(space.admin.pub, { ...adminLink, sealedKey: null });
    const record = space.recordOn(null, body, space.admin);
    expect(admitControl(opened.authority, record, 1, null)).toMatchObject({
      refusal: "BAD_CONTROL",
    });
  });
});

describe("the number of capabilities", () => {
  /** What becomes of a GRANT where there are so many already, the removed ones counted. */
  function grantAfter(count: number, kind: "notebook" | "vault", by: "words" | "device") {
    const space = new TestSpace(`full ${kind}`, kind);
    const device = signerNamed("device");
    space.grant({ signPub: device.pub, role: roles.admin });
    const before = admitAll(space);
    const [owner, ...others] = before.capabilities;
    if (owner === undefined) throw new Error("a space has an administrator");
    const removed = { ...owner, signPub: bytesNamed("removed", 32), role: roles.none };
    const filled = [owner, ...others, ...Array.from({ length: count - 2 }, () => removed)];
    const signer = by === "words" ? space.admin : device;
    const record = space.recordOn(
      space.records.at(-1) ?? null,
      grantOf(signerNamed("one more").pub),
      signer,
    );
    const verdict = admitControl({ ...before, capabilities: filled }, record, 9, null);
    return verdict.ok ? "taken" : verdict.refusal;
  }

  it("[CTRL-9] is 1,024, and in a vault the last 64 are for its words", () => {
    expect(grantAfter(1023, "notebook", "device")).toBe("taken");
    expect(grantAfter(1024, "notebook", "device")).toBe("TOO_MANY");
    expect(grantAfter(959, "vault", "device")).toBe("taken");
    expect(grantAfter(960, "vault", "device")).toBe("TOO_MANY");
    expect(grantAfter(1023, "vault", "words")).toBe("taken");
    expect(grantAfter(1024, "vault", "words")).toBe("TOO_MANY");
  });
});

describe("rotations", () => {
  function setup(kind: "notebook" | "vault" = "notebook") {
    const space = new TestSpace(`rotations ${kind}`, kind);
    const friend = signerNamed("friend");
    space.grant({ signPub: friend.pub, role: roles.admin });
    return { space, friend };
  }

  it("[CTRL-3] go to the next epoch with exactly one key for each who stays", () => {
    const { space } = setup();
    expect(refusalOf(space, rotateOf([0, 1]), space.admin, 2)).toBeNull();
    expect(refusalOf(space, rotateOf([0, 1]), space.admin, 3)).toBe("BAD_CONTROL");
    expect(refusalOf(space, rotateOf([0]), space.admin, 2)).toBe("BAD_CONTROL");
    expect(refusalOf(space, rotateOf([0, 0]), space.admin, 2)).toBe("BAD_CONTROL");
    expect(refusalOf(space, rotateOf([0, 1, 2]), space.admin, 2)).toBe("BAD_CONTROL");
    const withoutPrevious = rotateOf([0, 1], { previousKey: null });
    expect(refusalOf(space, withoutPrevious, space.admin, 2)).toBe("BAD_CONTROL");
  });

  it("[CTRL-3] only lower roles, and leave an administrator", () => {
    const { space } = setup();
    const lower = (capIx: number, role: 0 | 1 | 2 | 3) => ({ changes: [{ capIx, role }] });
    expect(refusalOf(space, rotateOf([0, 1], lower(1, roles.read)), space.admin, 2)).toBeNull();
    expect(refusalOf(space, rotateOf([0, 1], lower(1, roles.admin)), space.admin, 2)).toBe(
      "BAD_CONTROL",
    );
    expect(refusalOf(space, rotateOf([0, 1], lower(7, roles.none)), space.admin, 2)).toBe(
      "BAD_CONTROL",
    );
    const nobody = { changes: [0, 1].map((capIx) => ({ capIx, role: roles.read })) };
    expect(refusalOf(space, rotateOf([0, 1], nobody), space.admin, 2)).toBe("BAD_CONTROL");
  });

  it("[CTRL-3] cannot shut the owner out of a vault, though out of a notebook", () => {
    const removal = rotateOf([1], { changes: [{ capIx: 0, role: roles.none }] });
    const notebook = setup();
    expect(refusalOf(notebook.space, removal, notebook.friend, 2)).toBeNull();
    const vault = setup("vault");
    expect(refusalOf(vault.space, removal, vault.friend, 2)).toBe("BAD_CONTROL");
  });

  it("[CTRL-3] alone change the epoch", () => {
    const { space } = setup();
    expect(refusalOf(space, grantOf(signerNamed("new").pub), space.admin, 2)).toBe("BAD_CONTROL");
  });
});

describe("rights", () => {
  it("[RIGHT-1] an entry counts by its epoch and place, not by who is a member today", () => {
    const space = new TestSpace("rights");
    const writer = signerNamed("writer");
    const reader = signerNamed("reader");
    const link = signerNamed("link");
    space.grant({ signPub: writer.pub, role: roles.edit });
    space.grant({ signPub: reader.pub, role: roles.read });
    space.grant({ signPub: link.pub, role: roles.edit, kind: capabilityKinds.link });
    const during = admitAll(space);
    expect(mayWrite(during, writer.pub, 1, 6)).toBe(true);
    expect(mayWrite(during, writer.pub, 0, 6)).toBe(false);
    expect(mayWrite(during, writer.pub, 2, 6)).toBe(false);
    expect(mayWrite(during, reader.pub, 1, 6)).toBe(false);
    expect(mayWrite(during, link.pub, 1, 6)).toBe(false);
    space.rotate([writer.pub]);
    const endPos = space.records.length;
    const after = admitAll(space);
    expect(roleOf(after, writer.pub)).toBe(roles.none);
    expect(mayWrite(after, writer.pub, 1, endPos - 1)).toBe(true);
    expect(mayWrite(after, writer.pub, 1, endPos + 1)).toBe(false);
    expect(mayWrite(after, writer.pub, 2, endPos + 1)).toBe(false);
    expect(mayWrite(after, space.admin.pub, 2, endPos + 1)).toBe(true);
  });

  it("[RIGHT-2] a client judges as the relay does, but for the time of a link", () => {
    const space = new TestSpace("clock");
    const link = signerNamed("late link");
    space.grant({ signPub: link.pub, role: roles.edit, kind: 2, notAfter: 1000 });
    const before = admitAll(space);
    const joining = space.join(link, signerNamed("guest").pub, roles.edit);
    const atRelay = admitControl(before, joining, 4, 2000);
    expect(atRelay).toMatchObject({ ok: false, refusal: "LINK_SPENT" });
    expect(admitControl(before, joining, 4, 1000).ok).toBe(true);
    expect(admitControl(before, joining, 4, null).ok).toBe(true);
  });

  it("[CTRL-7] only the words delete a vault, any administrator a notebook", () => {
    const setup = (kind: "notebook" | "vault") => {
      const space = new TestSpace(`deleting a ${kind}`, kind);
      const device = signerNamed("device");
      space.grant({ signPub: device.pub, role: roles.admin });
      return { space, device };
    };
    const gone = { type: "delete" as const };
    const notebook = setup("notebook");
    expect(refusalOf(notebook.space, gone, notebook.device)).toBeNull();
    const vault = setup("vault");
    expect(refusalOf(vault.space, gone, vault.device)).toBe("NOT_ADMIN");
    expect(refusalOf(vault.space, gone)).toBeNull();
  });

  it("[CTRL-7] after DELETE no record follows", () => {
    const space = new TestSpace("deleted");
    space.delete();
    expect(refusalOf(space, grantOf(signerNamed("late").pub))).toBe("SPACE_DELETED");
  });
});

describe("keys", () => {
  // Small-order points and a non-canonical one (RFC 8032 §5.1.3; "Taming the many EdDSAs", table 6).
  it.each([
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
  ])("[GEN-4] %s signs nothing", (hex) => {
    expect(isSoundSigningKey(Uint8Array.from(Buffer.from(hex, "hex")))).toBe(false);
  });

  it("[GEN-4] an honest key is sound; a box key is anything but zero", () => {
    expect(isSoundSigningKey(signerNamed("honest").pub)).toBe(true);
    expect(isSoundSigningKey(new Uint8Array(31))).toBe(false);
    expect(isSoundBoxKey(bytesNamed("box", 32))).toBe(true);
    expect(isSoundBoxKey(new Uint8Array(32))).toBe(false);
  });
});
