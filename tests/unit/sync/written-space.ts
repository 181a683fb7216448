/** A space with one device that writes, and a reader's knowledge of it, for judging entries. */
import * as Automerge from "@automerge/automerge/slim";
import { nodeEd25519 } from "#client/cli/node-ports.ts";
import {
  actorOf,
  parseOrigin,
  signHead,
  signOrigin,
  type Origin,
  type SignedHead,
} from "#client/crypto/authorship.ts";
import { capabilityFrom } from "#client/crypto/capability.ts";
import { signingKey, type SigningKey } from "#client/crypto/ed25519.ts";
import { noExt, sealEntry } from "#client/crypto/entry-seal.ts";
import { encodePayload } from "#client/crypto/payload.ts";
import { foundSpace } from "#client/crypto/space-keys.ts";
import type { IntakeKnowledge } from "#client/sync/intake.ts";
import { parseChanges, type Change } from "#crdt-store/chunks.ts";
import { concat, toHex } from "#relay/protocol/bytes.ts";
import { capabilityKinds } from "#relay/protocol/control.ts";
import { chainStart, chainTag } from "#relay/protocol/domain.ts";
import { entryKinds, parseEntry, type Entry } from "#relay/protocol/entry.ts";
import { documentIdOf } from "#relay/protocol/genesis.ts";
import { bytesNamed } from "#tests/support/space-identities.ts";

export interface Text {
  body: string;
}

const ed = nodeEd25519();

export interface EntryContent {
  readonly changes: readonly Uint8Array[];
  readonly heads: readonly SignedHead[];
  readonly origin?: Origin | null;
  readonly kind?: number;
  readonly epoch?: number;
  readonly epochKey?: Uint8Array;
  readonly spaceId?: Uint8Array;
  readonly docId?: Uint8Array;
  /** Instead of what the rest says. */
  readonly plaintext?: Uint8Array;
  readonly signer?: SigningKey;
}

export class WrittenSpace {
  readonly ed = ed;
  readonly admin = capabilityFrom(ed, bytesNamed("admin secret", 32));
  readonly founded;
  readonly device: SigningKey = signingKey(ed, bytesNamed("device seed", 32));
  readonly docNonce = bytesNamed("doc nonce", 16);
  readonly docId: Uint8Array;
  #ctr = 0;

  constructor(name = "space") {
    let drawn = 0;
    this.founded = foundSpace(
      { ed, random: (length) => bytesNamed(`${name} ${(drawn += 1)}`, length) },
      "notebook",
      { sign: this.admin.sign, boxPub: this.admin.box.publicKey, kind: capabilityKinds.person },
      bytesNamed(`nonce of ${name}`, 16),
      0,
    );
    this.docId = documentIdOf(this.founded.spaceId, this.device.publicKey, this.docNonce);
  }

  knowledge(changed: Partial<IntakeKnowledge> = {}): IntakeKnowledge {
    return {
      ed,
      authority: this.founded.authority,
      capabilitiesOf: (devPub) =>
        toHex(devPub) === toHex(this.device.publicKey) ? [this.admin.sign.publicKey] : [],
      keyOf: (epoch) => (epoch === 1 ? this.founded.epochKey : null),
      originOf: () => null,
      ...changed,
    };
  }

  actorNonce(name: string): Uint8Array {
    return bytesNamed(`actor nonce ${name}`, 16);
  }

  /** Hex, as Automerge takes it. */
  actor(name: string, device: SigningKey = this.device): string {
    return toHex(actorOf(this.docId, device.publicKey, this.actorNonce(name)));
  }

  /** A document of so many changes by one actor, the first its root. */
  write(changes: number, actor = "writer"): Automerge.Doc<Text> {
    let doc = Automerge.change(
      Automerge.init<Text>({ actor: this.actor(actor) }),
      { time: 0 },
      (draft) => {
        draft.body = "";
      },
    );
    for (let made = 1; made < changes; made += 1) {
      doc = Automerge.change(doc, { time: 0 }, (draft) => {
        Automerge.splice(draft, ["body"], 0, 0, `${made} `);
      });
    }
    return doc;
  }

  head(change: Change, actor = "writer", device: SigningKey = this.device): SignedHead {
    return signHead(ed, device, this.docId, this.actorNonce(actor), change.seq, change.hash);
  }

  origin(heads: readonly Uint8Array[]): Origin {
    const parsed = parseOrigin(signOrigin(ed, this.device, this.docId, this.docNonce, heads));
    if (!parsed.ok) throw new Error(parsed.error);
    return parsed.value;
  }

  /** What an honest device sends: all changes, the head of their last, the origin of their first. */
  honest(changes: readonly Uint8Array[], actor = "writer"): EntryContent {
    const parsed = parsedChanges(changes);
    const last = parsed.at(-1);
    const root = parsed.find((change) => change.deps.length === 0);
    return {
      changes,
      heads: last === undefined ? [] : [this.head(last, actor)],
      origin: root === undefined ? null : this.origin([root.hash]),
    };
  }

  entry(content: EntryContent): Entry {
    const { spaceId, epochKey } = this.founded;
    this.#ctr += 1;
    const header = {
      kind: content.kind ?? entryKinds.changes,
      flags: 0,
      spaceId: content.spaceId ?? spaceId,
      docId: content.docId ?? this.docId,
      epoch: content.epoch ?? 1,
      devPub: this.device.publicKey,
      ctr: this.#ctr,
      nonce: bytesNamed(`entry nonce ${this.#ctr}`, 24),
    };
    const plaintext =
      content.plaintext ??
      encodePayload(
        {
          frontier: { pos: 3, chainTag: chainTag(chainStart(spaceId)) },
          origin: content.origin ?? null,
          heads: content.heads,
          data: concat(...content.changes),
        },
        true,
      );
    const signer = { ...(content.signer ?? this.device) };
    const sealed = sealEntry(ed, signer, header, noExt, content.epochKey ?? epochKey, plaintext);
    const parsed = parseEntry(sealed.bytes, 1 << 20);
    if (!parsed.ok) throw new Error(parsed.error);
    return parsed.value;
  }
}

export function parsedChanges(chunks: readonly Uint8Array[]): readonly Change[] {
  const parsed = parseChanges(concat(...chunks));
  if (parsed.type === "failed") throw new Error(parsed.failure.type);
  return parsed.changes;
}
