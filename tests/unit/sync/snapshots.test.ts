import * as Automerge from "@automerge/automerge/slim";
import { beforeAll, describe, expect, it } from "vitest";
import { nodeAutomerge } from "#client/cli/node-ports.ts";
import { signHead, signOrigin, parseOrigin } from "#client/crypto/authorship.ts";
import { takeApart } from "#client/device/open-document.ts";
import { vouchForDocument, type OpenedDocument } from "#client/sync/snapshots.ts";
import { parseChange, type Change } from "#crdt-store/chunks.ts";
import { bytesNamed } from "#tests/support/space-identities.ts";
import { WrittenSpace } from "./written-space.ts";

beforeAll(() => nodeAutomerge());

const space = new WrittenSpace();
const knowledge = space.knowledge();

/** A document of so many changes as a snapshot would hold it, with what vouches for it. */
function honest(changes: number) {
  const doc = space.write(changes);
  const opened = takeApart(Automerge, Automerge.save(doc));
  const parsed = opened.changes.map(mustParse);
  const [root] = parsed;
  const newest = parsed.at(-1);
  if (root === undefined || newest === undefined) throw new Error("a document has changes");
  const origin = parseOrigin(
    signOrigin(space.ed, space.device, space.docId, space.docNonce, [root.hash]),
  );
  if (!origin.ok) throw new Error(origin.error);
  return { opened, parsed, newest, origin: origin.value, heads: [space.head(newest)] };
}

function mustParse(chunk: Uint8Array): Change {
  const parsed = parseChange(chunk);
  if (parsed.type === "failed") throw new Error(parsed.failure.type);
  return parsed.change;
}

function judge(made: ReturnType<typeof honest>, changed: Partial<typeof made> = {}) {
  const { opened, heads, origin } = { ...made, ...changed };
  const declared = made.opened.heads;
  return vouchForDocument(space.docId, opened, declared, heads, origin, new Set(), knowledge);
}

describe("a snapshot's document", () => {
  it("is believed, with who signed for each change in it", () => {
    const made = honest(4);
    const verdict = judge(made);
    if (verdict.type !== "vouched") throw new Error(verdict.type);
    expect(verdict.changes.map(({ hash }) => hash)).toEqual(made.parsed.map(({ hash }) => hash));
    for (const { signer } of verdict.changes) expect(signer).toEqual(space.device.publicKey);
  });

  it("is refused with forged heads of its actors (attack 54)", () => {
    const made = honest(4);
    const [head] = made.heads;
    const third = made.parsed[2];
    if (head === undefined || third === undefined) throw new Error("a head and four changes");
    const nonce = space.actorNonce("writer");
    const sign = (seq: number, hash: Uint8Array) =>
      signHead(space.ed, space.device, space.docId, nonce, seq, hash);
    const forged = {
      "a signature that is not the device's": [{ ...head, signature: bytesNamed("forged", 64) }],
      "an earlier change of the same actor": [sign(third.seq, third.hash)],
      "the number of one change and the hash of another": [sign(head.seq, third.hash)],
      "another actor's name": [
        signHead(space.ed, space.device, space.docId, bytesNamed("other", 16), head.seq, head.hash),
      ],
      nothing: [],
    };
    for (const [what, heads] of Object.entries(forged)) {
      expect([what, judge(made, { heads }).type]).toEqual([what, "bad"]);
    }
  });

  it("is refused when it holds other changes than it declares, or a second beginning", () => {
    const made = honest(4);
    const without: OpenedDocument = {
      ...made.opened,
      heads: [made.parsed[2]?.hash ?? made.newest.hash],
    };
    expect(judge(made, { opened: without }).type).toBe("bad");
    const gap = { ...made.opened, changes: made.opened.changes.filter((_, ix) => ix !== 1) };
    expect(judge(made, { opened: gap }).type).toBe("bad");
    const foreign = parseOrigin(
      signOrigin(space.ed, space.device, space.docId, space.docNonce, [
        made.newest.hash.map((b) => b ^ 1),
      ]),
    );
    if (!foreign.ok) throw new Error(foreign.error);
    expect(judge(made, { origin: foreign.value }).type).toBe("bad");
  });

  it("of a copy needs no signature for what it came with, and one for what came behind", () => {
    const made = honest(4);
    const copied = parseOrigin(
      signOrigin(space.ed, space.device, space.docId, space.docNonce, [made.newest.hash]),
    );
    const third = made.parsed[2];
    const earlier = parseOrigin(
      signOrigin(space.ed, space.device, space.docId, space.docNonce, [
        third?.hash ?? made.newest.hash,
      ]),
    );
    if (!copied.ok || !earlier.ok) throw new Error("origins parse");
    expect(judge(made, { origin: copied.value, heads: [] }).type).toBe("vouched");
    expect(judge(made, { origin: earlier.value, heads: [] }).type).toBe("bad");
  });
});
