import { describe, expect, it } from "vitest";
import { capabilityKinds, parseCertificate, roles } from "#relay/protocol/control.ts";
import { chainNext, chainStart } from "#relay/protocol/domain.ts";
import { parseEntry, type Entry } from "#relay/protocol/entry.ts";
import { noDocument } from "#relay/protocol/genesis.ts";
import { defaultLimits } from "#relay/protocol/limits.ts";
import {
  admitCertificate,
  admitControls,
  admitEntry,
  holdsCertificate,
  judgeEntry,
  lackingFrom,
  maxDevicesInUse,
  mayHold,
  openSpace,
  restoreSpace,
  type SpaceState,
} from "#relay/space.ts";
import type { CertificateRow, CounterRow, LogRow } from "#relay/store/store.ts";
import {
  certificateOf,
  signerNamed,
  TestDevice,
  TestSpace,
} from "#tests/support/space-identities.ts";

const now = 5000;

function setupSpace(name = "notes"): { space: TestSpace; device: TestDevice; state: SpaceState } {
  const space = new TestSpace(name);
  const device = new TestDevice(space, "laptop");
  const admitted = admitControls(opened(space), space.records, now, defaultLimits);
  if (!admitted.ok) throw new Error(admitted.refusal);
  return { space, device, state: certified(admitted.state, device.certificate) };
}

function opened(space: TestSpace): SpaceState {
  const decision = openSpace(space.genesis);
  if (!decision.ok) throw new Error(decision.refusal);
  return decision.state;
}

function certified(state: SpaceState, certificate: Uint8Array): SpaceState {
  const decision = admitCertificate(state, certificate, now);
  if (!decision.ok) throw new Error(decision.refusal);
  return decision.state;
}

function parsed(bytes: Uint8Array): Entry {
  const entry = parseEntry(bytes, bytes.length);
  if (!entry.ok) throw new Error(entry.error);
  return entry.value;
}

describe("a link that has expired", () => {
  /** A link, somebody who joined by it, and perhaps a record of whoever vouches for that. */
  function joined(vouch: (space: TestSpace) => void): TestSpace {
    const space = new TestSpace("expired link");
    const link = signerNamed("expiring link");
    const kind = capabilityKinds.link;
    space.grant({ signPub: link.pub, role: roles.admin, kind, notAfter: now - 1 });
    space.join(link, signerNamed("guest").pub, roles.admin);
    vouch(space);
    return space;
  }

  it("[CTRL-6] is no reason to refuse a log whose administrator has built upon who came by it", () => {
    const refused = admitControls(
      opened(joined(() => undefined)),
      joined(() => undefined).records,
      now,
      defaultLimits,
    );
    expect(refused).toMatchObject({ ok: false, refusal: "LINK_SPENT" });
    const space = joined((made) => made.rotate([]));
    expect(admitControls(opened(space), space.records, now, defaultLimits).ok).toBe(true);
  });

  it("[CTRL-6] is not vouched for by whoever came by it", () => {
    const space = joined((made) => {
      made.grant(
        { signPub: signerNamed("accomplice").pub, role: roles.read },
        signerNamed("guest"),
      );
    });
    expect(admitControls(opened(space), space.records, now, defaultLimits)).toMatchObject({
      ok: false,
      refusal: "LINK_SPENT",
    });
  });
});

describe("a space's log", () => {
  it("[LOG-1] gives records and entries one run of positions, each chained to the one before", () => {
    const { space, device, state } = setupSpace();
    const entry = parsed(device.entry());
    const first = admitEntry(state, null, entry, now, defaultLimits);
    if (!first.ok) throw new Error(first.refusal);
    const rotation = space.rotate([]);
    const second = admitControls(first.state, [rotation], now, defaultLimits);
    if (!second.ok) throw new Error(second.refusal);
    expect([first.row, ...second.rows].map(({ pos, kind }) => [pos, kind])).toEqual([
      [3, "entry"],
      [4, "control"],
    ]);
    const ids = space.records.slice(0, 2).map(({ hash }) => [noDocument, hash] as const);
    const all = [
      ...ids,
      [entry.docId, entry.entryId] as const,
      [noDocument, rotation.hash] as const,
    ];
    const chain = all.reduce(
      (before, [docId, itemId], ix) => chainNext(ix + 1, before, docId, itemId),
      chainStart(space.spaceId),
    );
    expect(second.state.chain).toEqual(chain);
  });

  it("[ENT-3] takes rising counters with gaps, and looks into the store only for the others", () => {
    const { device, state } = setupSpace();
    const fifth = parsed(device.entryAt(5));
    expect(mayHold(state, fifth)).toBe(false);
    const decision = admitEntry(state, null, fifth, now, defaultLimits);
    if (!decision.ok) throw new Error(decision.refusal);
    expect(mayHold(decision.state, fifth)).toBe(true);
    expect(judgeEntry(decision.state, null, parsed(device.entryAt(4)), defaultLimits)).toBe(
      "CTR_REPLAY",
    );
    expect(judgeEntry(decision.state, null, parsed(device.entryAt(50)), defaultLimits)).toBeNull();
    // The state that was decided upon is untouched: a failed write falls back to it.
    expect(mayHold(state, fifth)).toBe(false);
  });

  it("[LIM-3] counts an entry as at least 1 KiB", () => {
    const { device, state } = setupSpace();
    const small = admitEntry(state, null, parsed(device.entry({ size: 20 })), now, defaultLimits);
    const large = admitEntry(state, null, parsed(device.entry({ size: 5000 })), now, defaultLimits);
    if (!small.ok || !large.ok) throw new Error("both fit");
    expect(small.state.countedBytes - state.countedBytes).toBe(1024);
    expect(large.state.countedBytes - state.countedBytes).toBe(large.row.bytes.length);
  });
});

describe("restoring a space", () => {
  it("[RIGHT-2] from what was stored gives the state it was left in", () => {
    const { space, device, state } = setupSpace();
    const rows: LogRow[] = [];
    const counters: CounterRow[] = [];
    let last = state;
    for (const bytes of [device.entry(), device.entry()]) {
      const decision = admitEntry(last, null, parsed(bytes), now, defaultLimits);
      if (!decision.ok) throw new Error(decision.refusal);
      last = decision.state;
      rows.push(decision.row);
      counters.push(decision.counter);
    }
    const certificate = parseCertificate(device.certificate);
    if (!certificate.ok) throw new Error(certificate.error);
    const certificates: CertificateRow[] = [
      { ...certificate.value, bytes: device.certificate, at: now },
    ];
    const restored = restoreSpace({
      genesis: space.genesis,
      revision: last.revision,
      head: last.head,
      chain: last.chain,
      base: 1,
      countedBytes: last.countedBytes,
      deletedAt: null,
      controls: space.recordBytes.map((bytes, ix) => ({ pos: ix + 1, bytes })),
      certificates,
      counters: counters.slice(-1),
    });
    expect(restored).toEqual(last);
  });

  it("throws at stored records that contradict themselves", () => {
    const { space, state } = setupSpace();
    const stored = {
      genesis: space.genesis,
      revision: 1,
      head: state.head,
      chain: state.chain,
      base: 1,
      countedBytes: 0,
      deletedAt: null,
      controls: space.recordBytes.toReversed().map((bytes, ix) => ({ pos: ix + 1, bytes })),
      certificates: [],
      counters: [],
    };
    expect(() => restoreSpace(stored)).toThrow("refused");
  });
});

describe("control records that do not follow the head", () => {
  it("[CTRL-5] are answered from the first one the sender lacks", () => {
    const { space, state } = setupSpace();
    const head = space.records.at(-1) ?? null;
    const rival = space.recordOn(head, { type: "delete" }, space.admin);
    space.grant({ signPub: signerNamed("friend").pub, role: roles.edit });
    const admitted = admitControls(state, space.records, now, defaultLimits);
    if (!admitted.ok) throw new Error(admitted.refusal);
    expect(admitControls(admitted.state, [rival], now, defaultLimits)).toEqual({
      ok: false,
      refusal: "CTRL_CONFLICT",
    });
    expect(lackingFrom(admitted.state, [rival])).toBe(3);
    expect(lackingFrom(admitted.state, [...space.records.slice(0, 2), rival])).toBe(3);
    // From another branch: everything. Ahead of this relay: nothing.
    const elsewhere = space.recordOn(rival, { type: "delete" }, space.admin);
    expect(lackingFrom(admitted.state, [elsewhere])).toBe(1);
    expect(lackingFrom(state, space.records)).toBeNull();
  });

  it("[CTRL-4] that are held already add nothing, and one more is admitted after them", () => {
    const { space, state } = setupSpace();
    const again = admitControls(state, space.records, now, defaultLimits);
    expect(again).toMatchObject({ ok: true, rows: [] });
    space.rotate([]);
    const more = admitControls(state, space.records, now, defaultLimits);
    expect(more).toMatchObject({ ok: true, rows: [{ pos: 3 }] });
  });
});

describe("certificates", () => {
  it("[RIGHT-1] one that gives the right is enough, in whatever order they came", () => {
    const { space, state } = setupSpace();
    const [reader, writer] = [signerNamed("as reader"), signerNamed("as writer")];
    space.grant({ signPub: reader.pub, role: roles.read });
    space.grant({ signPub: writer.pub, role: roles.edit });
    const admitted = admitControls(state, space.records, now, defaultLimits);
    if (!admitted.ok) throw new Error(admitted.refusal);
    const phone = new TestDevice(space, "phone", reader);
    const entry = parsed(phone.entry());
    const asReader = certified(admitted.state, phone.certificate);
    expect(judgeEntry(asReader, null, entry, defaultLimits)).toBe("NOT_A_WRITER");
    const second = certificateOf(space.spaceId, writer, phone.signer.pub);
    expect(judgeEntry(certified(asReader, second), null, entry, defaultLimits)).toBeNull();
  });

  it("[RIGHT-3] are limited per capability, so that one member cannot use up a space's", () => {
    const { space, device, state } = setupSpace();
    const friend = signerNamed("friend");
    space.grant({ signPub: friend.pub, role: roles.edit, kind: capabilityKinds.person });
    const admitted = admitControls(state, space.records, now, defaultLimits);
    if (!admitted.ok) throw new Error(admitted.refusal);
    let full = admitted.state;
    for (let n = 1; n < maxDevicesInUse; n += 1) {
      full = certified(full, new TestDevice(space, `device ${n}`).certificate);
    }
    const oneMore = new TestDevice(space, "one more");
    expect(admitCertificate(full, oneMore.certificate, now)).toMatchObject({
      refusal: "TOO_MANY",
    });
    // Those that have not written for 90 days are in use no more.
    const later = now + 90 * 86_400_000;
    expect(admitCertificate(full, oneMore.certificate, later)).toMatchObject({ ok: true });
    const ofFriend = new TestDevice(space, "of friend", friend);
    expect(admitCertificate(full, ofFriend.certificate, now)).toMatchObject({ ok: true });
    const held = parseCertificate(device.certificate);
    if (!held.ok) throw new Error(held.error);
    expect(holdsCertificate(full, held.value)).toBe(true);
  });
});
