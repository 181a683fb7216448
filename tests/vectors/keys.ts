/**
 * The committed vectors of every key a person's words and a link lead to: `npx tsx
 * tests/vectors/keys.ts` writes keys.json anew. Notes sealed by one version must open in the next,
 * so a difference is a break of the format, not a matter of regenerating.
 */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { actorOf, signHead, signOrigin } from "#client/crypto/authorship.ts";
import { boxKey, capabilityFrom } from "#client/crypto/capability.ts";
import { backupFileKeys, deviceSeed, epochSubkey, keyCommitOf, readToken, rootSecrets } from "#client/crypto/derive.ts";
import { nobleEd25519, signingKey } from "#client/crypto/ed25519.ts";
import { parsePhrase } from "#client/crypto/phrase.ts";
import { toHex } from "#relay/protocol/bytes.ts";
import { documentIdOf, encodeGenesis, indexIdOf, spaceIdOf } from "#relay/protocol/genesis.ts";

const words = `${"abandon ".repeat(23)}art`;

/** Bytes from, from+1, from+2 … */
function counting(from: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, ix) => (from + ix) & 0xff);
}

export function keyVectors(): Record<string, unknown> {
  const phrase = parsePhrase(words);
  if (!phrase.ok) throw new Error(phrase.message);
  const root = rootSecrets(phrase.entropy);
  const admin = signingKey(nobleEd25519, root.vaultAdmin);
  const genesis = encodeGenesis({
    kind: "vault",
    adminPub: admin.publicKey,
    nonce: root.vaultNonce,
  });
  const spaceId = spaceIdOf(genesis);

  const backupFile = backupFileKeys(root.backup, counting(0xc0, 32));

  const capabilitySecret = counting(0x00, 32);
  const capability = capabilityFrom(nobleEd25519, capabilitySecret);

  const deviceSecret = counting(0x20, 32);
  const incarnation = counting(0x40, 16);
  const seed = deviceSeed(deviceSecret, spaceId, incarnation);
  const device = signingKey(nobleEd25519, seed);

  const docNonce = counting(0x50, 16);
  const docId = documentIdOf(spaceId, device.publicKey, docNonce);
  const actorNonce = counting(0x60, 16);
  const hash = counting(0x80, 32);
  const head = signHead(nobleEd25519, device, docId, actorNonce, 7, hash);

  const epochKey = counting(0xa0, 32);

  return {
    words: {
      words,
      entropy: toHex(phrase.entropy),
      vaultAdminSeed: toHex(root.vaultAdmin),
      vaultAdminPublicKey: toHex(admin.publicKey),
      vaultNonce: toHex(root.vaultNonce),
      recoveryBoxSecret: toHex(root.recoveryBox),
      recoveryBoxPublicKey: toHex(boxKey(root.recoveryBox).publicKey),
      vaultGenesis: toHex(genesis),
      vaultSpaceId: toHex(spaceId),
      vaultIndexId: toHex(indexIdOf(spaceId)),
    },
    backup: {
      key: toHex(root.backup),
      salt: toHex(counting(0xc0, 32)),
      fileKey: toHex(backupFile.key),
      check: toHex(backupFile.check),
    },
    capability: {
      secret: toHex(capabilitySecret),
      signSeed: toHex(capability.sign.seed),
      signPublicKey: toHex(capability.sign.publicKey),
      boxSecret: toHex(capability.box.secret),
      boxPublicKey: toHex(capability.box.publicKey),
    },
    device: {
      secret: toHex(deviceSecret),
      incarnation: toHex(incarnation),
      spaceId: toHex(spaceId),
      seed: toHex(seed),
      publicKey: toHex(device.publicKey),
    },
    document: {
      docNonce: toHex(docNonce),
      docId: toHex(docId),
      actorNonce: toHex(actorNonce),
      actor: toHex(actorOf(docId, device.publicKey, actorNonce)),
      hash: toHex(hash),
      headSeq: head.seq,
      headSignature: toHex(head.signature),
      origin: toHex(signOrigin(nobleEd25519, device, docId, docNonce, [hash])),
    },
    epoch: {
      spaceId: toHex(spaceId),
      epoch: 1,
      key: toHex(epochKey),
      keyCommit: toHex(keyCommitOf(spaceId, 1, epochKey)),
      readToken: toHex(readToken(epochKey, spaceId)),
      update: toHex(epochSubkey(epochKey, spaceId, "update")),
      card: toHex(epochSubkey(epochKey, spaceId, "card")),
      presence: toHex(epochSubkey(epochKey, spaceId, "presence")),
      meta: toHex(epochSubkey(epochKey, spaceId, "meta")),
      prev: toHex(epochSubkey(epochKey, spaceId, "prev")),
    },
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const path = fileURLToPath(new URL("keys.json", import.meta.url));
  writeFileSync(path, `${JSON.stringify(keyVectors(), null, 2)}\n`);
}
