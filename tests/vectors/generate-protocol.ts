/**
 * The protocol's test vectors, made from fixed keys: `node --import tsx tests/vectors/generate-protocol.ts`
 * prints what protocol.json holds. A difference is a change of the wire.
 */
import { pathToFileURL } from "node:url";
import { toHex } from "#relay/protocol/bytes.ts";
import { parseControl, roles } from "#relay/protocol/control.ts";
import { encodeHave } from "#relay/protocol/blob.ts";
import { chainNext, chainStart, chainTag } from "#relay/protocol/domain.ts";
import { encodeStub, parseEntry } from "#relay/protocol/entry.ts";
import { documentIdOf, indexIdOf, noDocument } from "#relay/protocol/genesis.ts";
import { defaultLimits } from "#relay/protocol/limits.ts";
import { encodeCover } from "#relay/protocol/snapshot.ts";
import { encodeMessage, type Message } from "#relay/protocol/messages.ts";
import { bytesNamed, signerNamed, TestDevice, TestSpace } from "#tests/support/space-identities.ts";

const blobId = bytesNamed("blob", 16);

export function protocolVectors() {
  const space = new TestSpace("vectors");
  const link = signerNamed("link");
  space.grant({ signPub: link.pub, role: roles.edit, kind: 2, notAfter: 1e12, maxJoins: 3 });
  const joined = signerNamed("joined");
  space.join(link, joined.pub, roles.edit);
  space.rotate([joined.pub]);
  space.delete();
  space.restore();
  const device = new TestDevice(space, "laptop");
  const bytes = device.entry({ size: 48, ext: bytesNamed("ext", 5) });
  const entry = parseEntry(bytes, bytes.length);
  if (!entry.ok) throw new Error(entry.error);
  const { docId, entryId } = entry.value;
  const stub = encodeStub({ docId, kind: entry.value.kind, size: bytes.length, entryId });

  let chain = chainStart(space.spaceId);
  const chains = [toHex(chain)];
  for (const [ix, { hash }] of space.records.entries()) {
    chain = chainNext(ix + 1, chain, noDocument, hash);
    chains.push(toHex(chain));
  }
  chain = chainNext(space.records.length + 1, chain, docId, entryId);
  chains.push(toHex(chain));

  return {
    genesis: toHex(space.genesis),
    spaceId: toHex(space.spaceId),
    indexId: toHex(indexIdOf(space.spaceId)),
    documentId: {
      devPub: toHex(device.signer.pub),
      docNonce: toHex(bytesNamed("document nonce", 16)),
      docId: toHex(documentIdOf(space.spaceId, device.signer.pub, bytesNamed("document nonce", 16))),
    },
    controls: space.records.map(({ bytes: record }) => {
      const parsed = parseControl(record);
      if (!parsed.ok) throw new Error(parsed.error);
      const { record: fields, hash } = parsed.value;
      return { type: fields.body.type, bytes: toHex(record), hash: toHex(hash) };
    }),
    certificate: toHex(device.certificate),
    entry: { bytes: toHex(bytes), entryId: toHex(entryId) },
    stub: toHex(stub),
    cover: toHex(
      encodeCover({
        coversPos: 7,
        chain,
        omitted: [entryId],
        chunks: [bytesNamed("chunk", 32), bytesNamed("last chunk", 32)],
      }),
    ),
    blobInit: toHex(device.blobStatement(blobId, [bytesNamed("sealed chunk", 300)])),
    blobDrop: toHex(device.blobStatement(blobId, null)),
    chains,
    messages: messages(space, device, bytes, stub, chain).map((message, ix) => ({
      type: message.type,
      reqId: ix + 1,
      bytes: toHex(encodeMessage(ix + 1, message)),
    })),
  };
}

function messages(
  space: TestSpace,
  device: TestDevice,
  entry: Uint8Array,
  stub: Uint8Array,
  chain: Uint8Array,
): readonly Message[] {
  const { spaceId, readToken, genesis } = space;
  const nonce = bytesNamed("session nonce", 16);
  const signature = bytesNamed("signature", 64);
  const [record = entry] = space.recordBytes;
  const records = [{ pos: 1, bytes: record }];
  const docId = indexIdOf(spaceId);
  const chunk = bytesNamed("sealed chunk", 20);
  return [
    { type: "hello", version: 1, nonce, origin: "wss://notes.example/v1" },
    {
      type: "welcome",
      version: 1,
      relayPub: bytesNamed("relay", 32),
      storeId: bytesNamed("store", 16),
      nonce,
      access: 0,
      limits: defaultLimits,
      signature,
    },
    {
      type: "auth",
      accessPub: bytesNamed("access", 32),
      token: bytesNamed("token", 16),
      signature,
    },
    { type: "authOk" },
    {
      type: "subscribe",
      spaces: [
        { spaceId, readToken, cursor: 4, chainTag: chainTag(chain), ctrlSeq: 2, mode: "live" },
        { spaceId, readToken, cursor: 0, chainTag: chainTag(chain), ctrlSeq: 0, mode: "stubs" },
      ],
    },
    {
      type: "subscribed",
      results: [{ status: 0, handle: 1, head: 7, chain, ctrlSeq: 6, base: 1 }],
    },
    { type: "unsubscribe", handles: [1, 2] },
    { type: "pull", handle: 1, after: 2, upTo: 4 },
    {
      type: "data",
      handle: 1,
      items: [
        { pos: 1, kind: "control", bytes: record },
        { pos: 2, kind: "entry", bytes: entry },
        { pos: 3, kind: "stub", bytes: stub },
      ],
    },
    { type: "caughtUp", handle: 1, head: 7, chain },
    { type: "credit", bytes: 65_536 },
    { type: "rekey", handle: 1 },
    { type: "pullDocument", handle: 1, docId, after: 2, byteBudget: 1 << 20 },
    { type: "list", handle: 1, afterDocId: docId },
    {
      type: "listed",
      handle: 1,
      more: true,
      documents: [
        {
          docId,
          lastPos: 9,
          dropPos: 0,
          snapshotPos: 7,
          snapshotSize: 400,
          tailEntries: 2,
          tailBytes: 500,
          card: entry,
        },
      ],
    },
    { type: "push", entries: [entry] },
    { type: "pushAck", results: [{ status: 403, pos: 0, chain, lastCtr: 9 }] },
    { type: "controlGet", spaceId, fromSeq: 3 },
    {
      type: "controlData",
      genesis,
      more: true,
      records,
      certificates: [device.certificate],
    },
    { type: "controlPush", genesis, records: [record] },
    { type: "controlAck", status: 406, records },
    { type: "certPut", certificate: device.certificate },
    { type: "certAck", status: 0 },
    { type: "presence", handle: 1, sealed: bytesNamed("beat", 40) },
    { type: "blobInit", statement: device.blobStatement(blobId, [chunk]) },
    { type: "blobHave", status: 0, count: 11, bitmap: encodeHave(11, [0, 1, 9]) },
    { type: "blobPut", spaceId, blobId, index: 2, chunk },
    { type: "blobAck", status: 306 },
    { type: "blobGet", handle: 1, blobId, from: 2, count: 9 },
    { type: "blobData", handle: 1, index: 2, chunk },
    { type: "blobDrop", statement: device.blobStatement(blobId, null) },
    { type: "ping", token: bytesNamed("token", 8) },
    { type: "pong", token: bytesNamed("token", 8) },
    { type: "goaway", code: 601, retryAfterMs: 5000 },
    { type: "error", code: 500, retryAfterMs: 250, detail: "slower, please" },
  ];
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  console.log(JSON.stringify(protocolVectors(), null, 2));
}
