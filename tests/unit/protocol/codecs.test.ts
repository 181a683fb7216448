import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  parseBase64url,
  parseHex,
  toBase64url,
  toHex,
  type Parsed,
} from "#relay/protocol/bytes.ts";
import {
  encodeCertificate,
  parseCertificate,
  parseControl,
  signControl,
} from "#relay/protocol/control.ts";
import {
  encodeEntry,
  encodeEntryAad,
  encodeStub,
  entryIdOf,
  parseEntry,
  parseStub,
} from "#relay/protocol/entry.ts";
import { encodeGenesis, parseGenesis } from "#relay/protocol/genesis.ts";
import { encodeMessage, parseMessage } from "#relay/protocol/messages.ts";
import {
  bytesOf,
  controlArbitrary,
  entryArbitrary,
  genesisArbitrary,
  messageArbitrary,
  stubArbitrary,
  u32Arbitrary,
} from "#tests/support/protocol-arbitraries.ts";

const signature = new Uint8Array(64).fill(5);

interface Codec {
  readonly name: string;
  /** Valid bytes. */
  readonly written: fc.Arbitrary<Uint8Array>;
  readonly parse: (bytes: Uint8Array) => Parsed<unknown>;
  /** Writes what was parsed again. */
  readonly rewrite: (bytes: Uint8Array) => Uint8Array;
}

const certificateArbitrary = fc.record({
  spaceId: bytesOf(32),
  capPub: bytesOf(32),
  devPub: bytesOf(32),
  signature: bytesOf(64),
});

const codecs: readonly Codec[] = [
  {
    name: "genesis",
    written: genesisArbitrary.map(encodeGenesis),
    parse: parseGenesis,
    rewrite: (bytes) => encodeGenesis(valueOf(parseGenesis(bytes))),
  },
  {
    name: "control record",
    written: controlArbitrary.map((record) => signControl(record, () => signature).bytes),
    parse: parseControl,
    rewrite: (bytes) => {
      const parsed = valueOf(parseControl(bytes));
      return signControl(parsed.record, () => parsed.signature).bytes;
    },
  },
  {
    name: "certificate",
    written: certificateArbitrary.map(encodeCertificate),
    parse: parseCertificate,
    rewrite: (bytes) => encodeCertificate(valueOf(parseCertificate(bytes))),
  },
  {
    name: "entry",
    written: entryArbitrary.map(({ header, ext, ciphertext, signature: signed }) =>
      encodeEntry(encodeEntryAad(header, ext, ciphertext.length), ciphertext, signed),
    ),
    parse: (bytes) => parseEntry(bytes, 4096),
    rewrite: (bytes) => {
      const entry = valueOf(parseEntry(bytes, 4096));
      const aad = encodeEntryAad(entry, entry.ext, entry.ciphertext.length);
      expect(entry.entryId).toEqual(entryIdOf(aad, entry.ciphertext));
      return encodeEntry(aad, entry.ciphertext, entry.signature);
    },
  },
  {
    name: "stub",
    written: stubArbitrary.map(encodeStub),
    parse: parseStub,
    rewrite: (bytes) => encodeStub(valueOf(parseStub(bytes))),
  },
  {
    name: "message",
    written: fc
      .tuple(u32Arbitrary, messageArbitrary)
      .map(([reqId, message]) => encodeMessage(reqId, message)),
    parse: parseMessage,
    rewrite: (bytes) => {
      const { reqId, message } = valueOf(parseMessage(bytes));
      return encodeMessage(reqId, message);
    },
  },
];

describe.each(codecs)("$name", ({ written, parse, rewrite }) => {
  it("[GEN-1] is read back and written again as the same bytes", () => {
    fc.assert(
      fc.property(written, (bytes) => {
        expect(rewrite(bytes)).toEqual(bytes);
      }),
      { numRuns: 400 },
    );
  });

  it("[GEN-1] is refused when a byte is missing or left over, never thrown at", () => {
    fc.assert(
      fc.property(written, fc.nat(), (bytes, at) => {
        const cut = parse(bytes.slice(0, at % bytes.length));
        const longer = parse(new Uint8Array([...bytes, 0]));
        // Sealed presence, chunks and statements end where their message ends: any length is one.
        const isOpenEnded = [0x40, 0x50, 0x52, 0x55, 0x56].includes(bytes[0] ?? 0);
        expect(isOpenEnded || (!cut.ok && !longer.ok)).toBe(true);
      }),
      { numRuns: 400 },
    );
  });

  it("[GEN-1] is parsed or refused when any bytes of it change; what parses has one form only", () => {
    const changes = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(written, changes, (bytes, changed) => {
        const mutated = Uint8Array.from(bytes);
        for (const [at, value] of changed) mutated[at % mutated.length] = value;
        const isCanonical = !parse(mutated).ok || Buffer.compare(rewrite(mutated), mutated) === 0;
        expect(isCanonical).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });

  it("[GEN-1] never throws at bytes of chance", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        expect(parse(bytes)).toHaveProperty("ok");
      }),
      { numRuns: 1000 },
    );
  });

  it("[GEN-1] keeps nothing of a frame that its owner reuses, not even of a Node Buffer", () => {
    fc.assert(
      fc.property(written, (bytes) => {
        const frame = Buffer.from(bytes);
        const parsed = parse(frame);
        const before = JSON.stringify(parsed);
        frame.fill(0);
        expect(JSON.stringify(parsed)).toBe(before);
      }),
      { numRuns: 50 },
    );
  });
});

describe("text forms of bytes", () => {
  it("hex and base64url are read back as the same bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 70 }), (bytes) => {
        expect(parseHex(toHex(bytes))).toEqual(bytes);
        expect(parseBase64url(toBase64url(bytes))).toEqual(bytes);
        expect(toBase64url(bytes)).toBe(Buffer.from(bytes).toString("base64url"));
      }),
    );
  });

  it("hex of many bytes is that of all of them, in their order", () => {
    const bytes = new Uint8Array(randomBytes(1 << 20));
    expect(toHex(bytes)).toBe(Buffer.from(bytes).toString("hex"));
  });

  it("base64url has one text per bytes: spare bits, padding and other digits are refused", () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 12 }), (text) => {
        const bytes = parseBase64url(text);
        expect(bytes === null || toBase64url(bytes) === text).toBe(true);
      }),
    );
    for (const text of ["AB", "AA==", "A", "A+", "A/", "é"])
      expect(parseBase64url(text)).toBeNull();
  });
});

function valueOf<T>(parsed: Parsed<T>): T {
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value;
}
