import {
  parseAutomergeUrl,
  stringifyAutomergeUrl,
  type BinaryDocumentId,
} from "@automerge/automerge-repo/slim";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { documentIdToText, parseDocumentId } from "#crdt-store/document-id.ts";

const sixteenBytes = fc.uint8Array({ minLength: 16, maxLength: 16 });

describe("the text of a document id", () => {
  it("is automerge-repo's, both ways", () => {
    fc.assert(
      fc.property(fc.oneof(sixteenBytes, fc.constant(new Uint8Array(16))), (doc) => {
        const text = documentIdToText(doc);
        expect(`automerge:${text}`).toBe(stringifyAutomergeUrl(doc as BinaryDocumentId));
        expect(parseDocumentId(text)).toEqual(doc);
        expect(
          parseAutomergeUrl(`automerge:${text}` as Parameters<typeof parseAutomergeUrl>[0])
            .binaryDocumentId,
        ).toEqual(doc);
      }),
    );
  });

  it("is refused with any other character, length or checksum", () => {
    fc.assert(
      fc.property(
        sixteenBytes,
        fc.nat(21),
        fc.string({ minLength: 1, maxLength: 1 }),
        (doc, at, character) => {
          const text = documentIdToText(doc);
          const changed = text.slice(0, at) + character + text.slice(at + 1);
          fc.pre(changed !== text);
          expect(parseDocumentId(changed)).toBeUndefined();
          expect(parseDocumentId(`1${text}`)).toBeUndefined();
        },
      ),
    );
    for (const text of ["", "AAAAA", "storage-adapter-id", "1".repeat(40)]) {
      expect(parseDocumentId(text)).toBeUndefined();
    }
  });
});
