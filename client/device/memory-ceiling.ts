/**
 * WebAssembly with an upper bound for its memory. What a module's own code grows cannot be watched from outside, but what
 * its memory section allows is kept to by every engine: a module that would need more traps.
 *
 *   module: magic 4 | version 4 | (section: id u8 | length uLEB | body)*       memory section: id 5, count | limits*
 *   limits: 0 | least uLEB        or        1 | least uLEB | most uLEB         in pages of 64 KiB
 */

const headerBytes = 8;
const memorySection = 5;
const pageBytes = 65_536;

/** The module with at most so much memory. Throws if it is none, or has not one memory of its own. */
export function withMemoryCeiling(wasm: Uint8Array, mostBytes: number): Uint8Array<ArrayBuffer> {
  const reader = new SectionReader(wasm);
  while (reader.at < wasm.length) {
    const start = reader.at;
    const id = reader.byte();
    const length = reader.unsigned();
    const end = reader.at + length;
    if (id === memorySection) {
      const count = reader.unsigned();
      reader.byte(); // whether there is an upper bound already
      const least = reader.unsigned();
      if (count !== 1) throw new Error("the module has more than one memory");
      const most = Math.max(least, Math.floor(mostBytes / pageBytes));
      const body = [1, 1, ...unsigned(least), ...unsigned(most)];
      const section = [memorySection, ...unsigned(body.length), ...body];
      const bounded = new Uint8Array(start + section.length + wasm.length - end);
      bounded.set(wasm.subarray(0, start));
      bounded.set(section, start);
      bounded.set(wasm.subarray(end), start + section.length);
      return bounded;
    }
    reader.at = end;
  }
  throw new Error("the module has no memory of its own");
}

class SectionReader {
  at = headerBytes;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  byte(): number {
    const byte = this.#bytes[this.at];
    if (byte === undefined) throw new Error("the module is cut short");
    this.at += 1;
    return byte;
  }

  unsigned(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 128) return value;
    }
  }
}

function unsigned(value: number): number[] {
  const bytes: number[] = [];
  for (let left = value; ; left = Math.floor(left / 128)) {
    if (left < 128) return [...bytes, left];
    bytes.push((left % 128) + 128);
  }
}
