/**
 * Arrays in PostgreSQL's binary format (src/backend/utils/adt/arrayfuncs.c, array_recv): the driver
 * would write bytes as hexadecimal text, twice as long.
 *
 * ```
 * dimensions u32 (1) | has nulls u32 | element type u32 | count u32 | lower bound u32 (1)
 * | (length i32, -1 for null | element)*                        no elements: dimensions 0 and no more
 * ```
 */
const headBytes = 20;
const types = { bool: 16, bytea: 17, int8: 20, int4: 23, text: 25 } as const;

export function bytesArray(values: readonly (Uint8Array | null)[]): Buffer {
  return arrayOf(types.bytea, values);
}

export function textArray(values: readonly (string | null)[]): Buffer {
  return arrayOf(
    types.text,
    values.map((value) => (value === null ? null : Buffer.from(value, "utf8"))),
  );
}

/** @param values whole numbers of at most 53 bits */
export function int8Array(values: readonly (number | null)[]): Buffer {
  return arrayOf(
    types.int8,
    values.map((value) => {
      if (value === null) return null;
      const element = Buffer.allocUnsafe(8);
      element.writeBigInt64BE(BigInt(value));
      return element;
    }),
  );
}

export function int4Array(values: readonly (number | null)[]): Buffer {
  return arrayOf(
    types.int4,
    values.map((value) => {
      if (value === null) return null;
      const element = Buffer.allocUnsafe(4);
      element.writeInt32BE(value);
      return element;
    }),
  );
}

export function boolArray(values: readonly boolean[]): Buffer {
  return arrayOf(
    types.bool,
    values.map((value) => Uint8Array.of(value ? 1 : 0)),
  );
}

function arrayOf(type: number, elements: readonly (Uint8Array | null)[]): Buffer {
  if (elements.length === 0) {
    const empty = Buffer.alloc(12);
    empty.writeUInt32BE(type, 8);
    return empty;
  }
  const size = elements.reduce((sum, element) => sum + 4 + (element?.length ?? 0), headBytes);
  const array = Buffer.allocUnsafe(size);
  const hasNulls = elements.includes(null) ? 1 : 0;
  for (const [ix, word] of [1, hasNulls, type, elements.length, 1].entries()) {
    array.writeUInt32BE(word, ix * 4);
  }
  let at = headBytes;
  for (const element of elements) {
    array.writeInt32BE(element?.length ?? -1, at);
    at += 4;
    if (element === null) continue;
    array.set(element, at);
    at += element.length;
  }
  return array;
}
