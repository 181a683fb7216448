/**
 * People, devices and spaces as the relay sees them: real keys and signatures around opaque bytes.
 * Seeded, so that a run can be repeated.
 */
import { ed25519 } from "@noble/curves/ed25519.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { chunkHash, signBlobStatement } from "#relay/protocol/blob.ts";
import { utf8 } from "#relay/protocol/bytes.ts";
import {
  capabilityKinds,
  certificateMessage,
  encodeCertificate,
  previousKeyBytes,
  roles,
  sealedKeyBytes,
  signControl,
  type CapabilityKind,
  type ControlBody,
  type RoleCode,
  type SignedControl,
} from "#relay/protocol/control.ts";
import { sha256Of } from "#relay/protocol/domain.ts";
import {
  encodeEntry,
  encodeEntryAad,
  entryIdOf,
  entryKinds,
  entryMessage,
} from "#relay/protocol/entry.ts";
import { encodeCardExt, encodeCover, type Cover } from "#relay/protocol/snapshot.ts";
import { encodeGenesis, spaceIdOf } from "#relay/protocol/genesis.ts";

/** An Ed25519 key pair made from a name. */
export interface Signer {
  readonly secret: Uint8Array;
  readonly pub: Uint8Array;
  sign(message: Uint8Array): Uint8Array;
}

export function signerNamed(name: string): Signer {
  const secret = sha256(utf8(`signer ${name}`));
  return {
    secret,
    pub: ed25519.getPublicKey(secret),
    sign: (message) => ed25519.sign(message, secret),
  };
}

/** Bytes that follow from a name; beyond the first KiB they repeat, to be cheap when they are many. */
export function bytesNamed(name: string, length: number): Uint8Array {
  const pattern = new Uint8Array(Math.min(length, 1024));
  for (let at = 0, n = 0; at < pattern.length; at += 32, n += 1) {
    pattern.set(sha256(utf8(`${name} ${n}`)).subarray(0, pattern.length - at), at);
  }
  return Uint8Array.from({ length }, (_, ix) => pattern[ix % 1024] ?? 0);
}

export interface Grant {
  readonly signPub: Uint8Array;
  readonly role: RoleCode;
  readonly kind?: CapabilityKind;
  readonly notAfter?: number;
  readonly maxJoins?: number;
  readonly meta?: Uint8Array;
}

/** A space whose control log this side writes: each call adds a record and answers it. */
export class TestSpace {
  readonly name: string;
  readonly admin: Signer;
  readonly genesis: Uint8Array;
  readonly spaceId: Uint8Array;
  readonly records: SignedControl[] = [];
  epoch = 0;
  #members: Uint8Array[] = [];
  #roles: RoleCode[] = [];

  /** The first two records, GRANT and ROTATE, are made at once. */
  constructor(name: string, kind: "notebook" | "vault" = "notebook") {
    this.name = name;
    this.admin = signerNamed(`admin of ${name}`);
    this.genesis = encodeGenesis({
      kind,
      adminPub: this.admin.pub,
      nonce: bytesNamed(`nonce of ${name}`, 16),
    });
    this.spaceId = spaceIdOf(this.genesis);
    this.grant({ signPub: this.admin.pub, role: roles.admin });
    this.rotate([]);
  }

  get recordBytes(): Uint8Array[] {
    return this.records.map(({ bytes }) => bytes);
  }

  get readToken(): Uint8Array {
    return this.readTokenOf(this.epoch);
  }

  readTokenOf(epoch: number): Uint8Array {
    return bytesNamed(`read token ${epoch} of ${this.name}`, 16);
  }

  grant(grant: Grant, signer: Signer = this.admin): SignedControl {
    const sealedKey = this.epoch === 0 ? null : bytesNamed("sealed key", sealedKeyBytes);
    this.#members.push(grant.signPub);
    this.#roles.push(grant.role);
    return this.add(
      {
        type: "grant",
        signPub: grant.signPub,
        boxPub: bytesNamed("box key", 32),
        role: grant.role,
        kind: grant.kind ?? capabilityKinds.person,
        notAfter: grant.notAfter ?? 0,
        maxJoins: grant.maxJoins ?? 0,
        ephPub: bytesNamed("ephemeral key", 32),
        sealedKey,
        meta: grant.meta ?? bytesNamed("meta", 40),
      },
      signer,
    );
  }

  join(link: Signer, signPub: Uint8Array, role: RoleCode): SignedControl {
    this.#members.push(signPub);
    this.#roles.push(role);
    return this.add(
      {
        type: "join",
        signPub,
        boxPub: bytesNamed("box key", 32),
        ephPub: bytesNamed("ephemeral key", 32),
        sealedKey: bytesNamed("sealed key", sealedKeyBytes),
        meta: bytesNamed("meta", 40),
      },
      link,
    );
  }

  /** A new epoch without these capabilities. */
  rotate(removed: readonly Uint8Array[], signer: Signer = this.admin): SignedControl {
    const changes = removed.map((pub) => ({
      capIx: this.#members.findIndex((member) => Buffer.compare(member, pub) === 0),
      role: roles.none,
    }));
    for (const { capIx } of changes) this.#roles[capIx] = roles.none;
    const isFirst = this.epoch === 0;
    this.epoch += 1;
    return this.add(
      {
        type: "rotate",
        changes,
        keyCommit: bytesNamed(`key commit ${this.epoch}`, 32),
        readTokenHash: sha256Of(this.readToken),
        ephPub: bytesNamed("ephemeral key", 32),
        keys: this.#roles.flatMap((role, capIx) =>
          role === roles.none
            ? []
            : [{ capIx, sealedKey: bytesNamed("sealed key", sealedKeyBytes) }],
        ),
        previousKey: isFirst ? null : bytesNamed("previous key", previousKeyBytes),
      },
      signer,
    );
  }

  delete(signer: Signer = this.admin): SignedControl {
    return this.add({ type: "delete" }, signer);
  }

  restore(signer: Signer = this.admin): SignedControl {
    return this.add({ type: "restore" }, signer);
  }

  /** Any body as the next record, right or wrong. */
  add(body: ControlBody, signer: Signer): SignedControl {
    const signed = this.recordOn(this.records.at(-1) ?? null, body, signer);
    this.records.push(signed);
    return signed;
  }

  /** A record after any other, kept out of this log: a rival's. */
  recordOn(before: SignedControl | null, body: ControlBody, signer: Signer): SignedControl {
    return signControl(
      {
        spaceId: this.spaceId,
        ctrlSeq: (before?.record.ctrlSeq ?? 0) + 1,
        prevCtrlHash: before?.hash ?? this.spaceId,
        epochAfter: this.epoch,
        timeMs: 1_700_000_000_000,
        seenPos: 0,
        seenChain: new Uint8Array(32),
        body,
        signerPub: signer.pub,
      },
      (message) => signer.sign(message),
    );
  }
}

/** A device's certificate by a capability. */
export function certificateOf(
  spaceId: Uint8Array,
  capability: Signer,
  devPub: Uint8Array,
): Uint8Array {
  const unsigned = { spaceId, capPub: capability.pub, devPub };
  const signature = capability.sign(certificateMessage(unsigned));
  return encodeCertificate({ ...unsigned, signature });
}

export interface EntryOptions {
  readonly epoch?: number;
  readonly kind?: number;
  readonly docId?: Uint8Array;
  readonly size?: number;
  readonly ext?: Uint8Array;
}

/** A device of a space that writes entries of opaque bytes, each with the next counter. */
export class TestDevice {
  readonly space: TestSpace;
  readonly signer: Signer;
  readonly certificate: Uint8Array;
  ctr = 0;

  constructor(space: TestSpace, name: string, capability: Signer = space.admin) {
    this.space = space;
    this.signer = signerNamed(`device ${name} of ${space.name}`);
    this.certificate = certificateOf(space.spaceId, capability, this.signer.pub);
  }

  entry(options: EntryOptions = {}): Uint8Array {
    this.ctr += 1;
    return this.entryAt(this.ctr, options);
  }

  /** A snapshot's entry. */
  snapshot(cover: Partial<Cover> & Pick<Cover, "chain">, options: EntryOptions = {}): Uint8Array {
    const ext = encodeCover({ coversPos: 0, omitted: [], chunks: [], ...cover });
    return this.entry({ ...options, kind: entryKinds.snapshot, ext });
  }

  /** A card's entry: without a counter. */
  card(derivedPos: number, options: EntryOptions = {}): Uint8Array {
    return this.entryAt(0, { ...options, kind: entryKinds.card, ext: encodeCardExt(derivedPos) });
  }

  /** A statement that a blob of these chunks is to be kept, or (null) is not any more. */
  blobStatement(
    blobId: Uint8Array,
    chunks: readonly Uint8Array[] | null,
    options: Pick<EntryOptions, "docId" | "epoch"> = {},
  ): Uint8Array {
    const size = (chunks ?? []).reduce((sum, chunk) => sum + chunk.length, 0);
    return signBlobStatement(
      {
        spaceId: this.space.spaceId,
        docId: options.docId ?? bytesNamed(`document of ${this.space.name}`, 16),
        epoch: options.epoch ?? this.space.epoch,
        devPub: this.signer.pub,
        blobId,
        content: chunks === null ? null : { size, chunks: chunks.map(chunkHash) },
      },
      (message) => this.signer.sign(message),
    );
  }

  entryAt(ctr: number, options: EntryOptions = {}): Uint8Array {
    const label = `${this.space.name} ${ctr} ${options.size ?? 200}`;
    const ciphertext = bytesNamed(`ciphertext ${label}`, options.size ?? 200);
    const aad = encodeEntryAad(
      {
        kind: options.kind ?? entryKinds.changes,
        flags: 0,
        spaceId: this.space.spaceId,
        docId: options.docId ?? bytesNamed(`document of ${this.space.name}`, 16),
        epoch: options.epoch ?? this.space.epoch,
        devPub: this.signer.pub,
        ctr,
        nonce: bytesNamed(`nonce ${label}`, 24),
      },
      options.ext ?? new Uint8Array(0),
      ciphertext.length,
    );
    const signature = this.signer.sign(entryMessage(entryIdOf(aad, ciphertext)));
    return encodeEntry(aad, ciphertext, signature);
  }
}
