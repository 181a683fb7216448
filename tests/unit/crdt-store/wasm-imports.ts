/**
 * The signatures of the functions that a WebAssembly module imports, by `module.name`, such as `i32,i64->i32`
 * (https://webassembly.github.io/spec/core/binary/modules.html). `WebAssembly.Module.imports` leaves them out.
 */
export function importSignatures(wasm: Uint8Array): Map<string, string> {
  const reader = new Reader(wasm, 8);
  let types: string[] = [];
  while (!reader.isAtEnd()) {
    const section = reader.byte();
    const body = reader.part(reader.uleb());
    if (section === typeSection) types = readTypes(body);
    if (section === importSection) return readImports(body, types);
  }
  throw new Error("the module has no imports");
}

const typeSection = 1;
const importSection = 2;
const valueTypes: Record<number, string> = { 0x7f: "i32", 0x7e: "i64", 0x7d: "f32", 0x7c: "f64" };

function readTypes(section: Reader): string[] {
  return section.vector(() => {
    section.byte(); // a function
    const params = section.vector(() => valueTypes[section.byte()]);
    const results = section.vector(() => valueTypes[section.byte()]);
    return `${params.join()}->${results.join()}`;
  });
}

function readImports(section: Reader, types: readonly string[]): Map<string, string> {
  const signatures = new Map<string, string>();
  section.vector(() => {
    const name = `${section.text()}.${section.text()}`;
    const kind = section.byte();
    if (kind !== 0) throw new Error(`${name} is not a function`);
    signatures.set(name, types[section.uleb()] ?? "unknown");
  });
  return signatures;
}

class Reader {
  readonly #bytes: Uint8Array;
  #at: number;

  constructor(bytes: Uint8Array, at = 0) {
    this.#bytes = bytes;
    this.#at = at;
  }

  isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  byte(): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) throw new Error("the module is cut short");
    this.#at += 1;
    return byte;
  }

  uleb(): number {
    const byte = this.byte();
    return byte < 0x80 ? byte : (byte & 0x7f) + 0x80 * this.uleb();
  }

  part(length: number): Reader {
    const part = new Reader(this.#bytes.subarray(this.#at, this.#at + length));
    this.#at += length;
    return part;
  }

  vector<Item>(read: () => Item): Item[] {
    return Array.from({ length: this.uleb() }, read);
  }

  text(): string {
    return String.fromCharCode(...this.vector(() => this.byte()));
  }
}
