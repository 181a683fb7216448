/** The wire is what tests/vectors/protocol.json says; it changes only on purpose, with the version. */
import { describe, expect, it } from "vitest";
import { ed25519 } from "@noble/curves/ed25519.js";
import { blobMessage, parseBlobStatement } from "#relay/protocol/blob.ts";
import { parseHex, toHex } from "#relay/protocol/bytes.ts";
import {
  certificateMessage,
  controlMessage,
  parseCertificate,
  parseControl,
} from "#relay/protocol/control.ts";
import { chainNext, chainStart } from "#relay/protocol/domain.ts";
import { entryMessage, parseEntry } from "#relay/protocol/entry.ts";
import { indexIdOf, noDocument, spaceIdOf } from "#relay/protocol/genesis.ts";
import { encodeMessage, messageTypes, parseMessage } from "#relay/protocol/messages.ts";
import { encodeCover, parseCover } from "#relay/protocol/snapshot.ts";
import { protocolVectors } from "#tests/vectors/generate-protocol.ts";
import vectors from "#tests/vectors/protocol.json" with { type: "json" };

const strict = { zip215: false };

describe("the committed vectors", () => {
  it("[GEN-1] are what this code writes", () => {
    expect(protocolVectors()).toEqual(vectors);
  });

  it("[GEN-3] the space's id and its index document's follow from the genesis", () => {
    const spaceId = spaceIdOf(bytes(vectors.genesis));
    expect(toHex(spaceId)).toBe(vectors.spaceId);
    expect(toHex(indexIdOf(spaceId))).toBe(vectors.indexId);
  });

  it("[CTRL-1] control records parse, hash and verify", () => {
    const types = vectors.controls.map((vector) => {
      const parsed = parseControl(bytes(vector.bytes));
      if (!parsed.ok) throw new Error(parsed.error);
      const { record, hash, signature } = parsed.value;
      expect(toHex(hash)).toBe(vector.hash);
      expect(ed25519.verify(signature, controlMessage(hash), record.signerPub, strict)).toBe(true);
      return record.body.type;
    });
    expect(types).toEqual(["grant", "rotate", "grant", "join", "rotate", "delete", "restore"]);
  });

  it("[RIGHT-3] the certificate verifies", () => {
    const parsed = parseCertificate(bytes(vectors.certificate));
    if (!parsed.ok) throw new Error(parsed.error);
    const { signature, capPub } = parsed.value;
    const message = certificateMessage(parsed.value);
    expect(ed25519.verify(signature, message, capPub, strict)).toBe(true);
  });

  it("[ENT-1] the entry parses to its id, and its signature verifies", () => {
    const entry = parseEntry(bytes(vectors.entry.bytes), 4096);
    if (!entry.ok) throw new Error(entry.error);
    const { entryId, signature, devPub } = entry.value;
    expect(toHex(entryId)).toBe(vectors.entry.entryId);
    expect(ed25519.verify(signature, entryMessage(entryId), devPub, strict)).toBe(true);
  });

  it("[SNAP-1] the cover of a snapshot is read and written as it stands", () => {
    const cover = parseCover(bytes(vectors.cover));
    if (!cover.ok) throw new Error(cover.error);
    expect(toHex(encodeCover(cover.value))).toBe(vectors.cover);
  });

  it("[BLOB-1] the statements about a blob parse, and their signatures verify", () => {
    for (const vector of [vectors.blobInit, vectors.blobDrop]) {
      const statement = parseBlobStatement(bytes(vector));
      if (!statement.ok) throw new Error(statement.error);
      const { signature, unsigned, devPub } = statement.value;
      expect(ed25519.verify(signature, blobMessage(unsigned), devPub, strict)).toBe(true);
    }
  });

  it("[LOG-2] the chain runs over the records and the entry", () => {
    let chain = chainStart(bytes(vectors.spaceId));
    const chains = [toHex(chain)];
    for (const { hash } of vectors.controls) {
      chain = chainNext(chains.length, chain, noDocument, bytes(hash));
      chains.push(toHex(chain));
    }
    const entry = parseEntry(bytes(vectors.entry.bytes), 4096);
    if (!entry.ok) throw new Error(entry.error);
    chain = chainNext(chains.length, chain, entry.value.docId, entry.value.entryId);
    expect([...chains, toHex(chain)]).toEqual(vectors.chains);
  });

  it("[SES-4] there is one of every message, and each is read and written as it stands", () => {
    for (const vector of vectors.messages) {
      const parsed = parseMessage(bytes(vector.bytes));
      if (!parsed.ok) throw new Error(`${vector.type}: ${parsed.error}`);
      expect(parsed.value).toMatchObject({ reqId: vector.reqId, message: { type: vector.type } });
      expect(toHex(encodeMessage(vector.reqId, parsed.value.message))).toBe(vector.bytes);
    }
    const covered = vectors.messages.map(({ type }) => type).toSorted();
    expect(covered).toEqual(Object.keys(messageTypes).toSorted());
  });
});

function bytes(hex: string): Uint8Array {
  const parsed = parseHex(hex);
  if (parsed === null) throw new Error("a vector is hex");
  return parsed;
}
