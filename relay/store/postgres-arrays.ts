/**
 * Arrays in PostgreSQL's binary format (src/backend/utils/adt/arrayfuncs.c, array_recv): the driver
 * would write bytes as hexadecimal text, twice as long.
 *
 * ```
 * dimensions u32 (1) | has nulls u32 (0) | element type u32 | count u32 | lower bound u32 (1)
 * | (length u32 | element)*                                     no elements: dimensions 0 and no more
 * ```
 */
const headBytes = 20;
const types = { bool: 16, bytea: 17, int8: 20, int4: 23 } as const;

export function bytesArray(values: readonly Uint8Array[]): Buffer {
  return arrayOf(types.bytea, values, (value) => value.length, writeBytes);
}

/** @param values whole numbers of at most 53 bits */
export function int8Array(values: readonly number[]): Buffer {
  return arrayOf(
    types.int8,
    values,
    () => 8,
    (into, at, value) => into.writeBigInt64BE(BigInt(value), at),
  );
}

export function int4Array(values: readonly number[]): Buffer {
  return arrayOf(
    types.int4,
    values,
    () => 4,
    (into, at, value) => into.writeInt32BE(value, at),
  );
}

export function boolArray(values: readonly boolean[]): Buffer {
  return arrayOf(
    types.bool,
    values,
    () => 1,
    (into, at, value) => into.writeUInt8(value ? 1 : 0, at),
  );
}

function writeBytes(into: Buffer, at: number, value: Uint8Array): void {
  into.set(value, at);
}

function arrayOf<T>(
  type: number,
  values: readonly T[],
  sizeOf: (value: T) => number,
  write: (into: Buffer, at: number, value: T) => void,
): Buffer {
  if (values.length === 0) {
    const empty = Buffer.alloc(12);
    empty.writeUInt32BE(type, 8);
    return empty;
  }
  const size = values.reduce((sum, value) => sum + 4 + sizeOf(value), headBytes);
  const array = Buffer.allocUnsafe(size);
  for (const [ix, word] of [1, 0, type, values.length, 1].entries()) {
    array.writeUInt32BE(word, ix * 4);
  }
  let at = headBytes;
  for (const value of values) {
    const length = sizeOf(value);
    array.writeUInt32BE(length, at);
    write(array, at + 4, value);
    at += 4 + length;
  }
  return array;
}
