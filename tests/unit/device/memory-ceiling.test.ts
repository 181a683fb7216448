import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { describe, expect, it } from "vitest";
import { withMemoryCeiling } from "#client/device/memory-ceiling.ts";

/** `(module (memory (export "m") 2) (func (export "grow") (param i32) (result i32) local.get 0 memory.grow))` */
const growing = Uint8Array.from(
  Buffer.from(
    "0061736d01000000" + // magic, version
      "01060160017f017f" + // type: i32 → i32
      "03020100" + // one function of that type
      "0503010002" + // one memory of two pages or more
      "070c02016d02000467726f770000" + // exports
      "0a08010600200040000b", // the function
    "hex",
  ),
);

interface Growing {
  readonly m: WebAssembly.Memory;
  grow(pages: number): number;
}

async function started(wasm: Uint8Array<ArrayBuffer>): Promise<Growing> {
  const { instance } = await WebAssembly.instantiate(wasm);
  return instance.exports as unknown as Growing; // as written above
}

const page = 65_536;

describe("the ceiling of a module's memory", () => {
  it("lets it grow so far and no further", async () => {
    const free = await started(growing);
    expect(free.grow(6)).toBe(2);
    expect(free.m.buffer.byteLength).toBe(8 * page);

    const bounded = await started(withMemoryCeiling(growing, 5 * page));
    expect(bounded.m.buffer.byteLength).toBe(2 * page);
    expect(bounded.grow(3)).toBe(2);
    expect(bounded.grow(1)).toBe(-1);
    expect(bounded.m.buffer.byteLength).toBe(5 * page);
  });

  it("replaces one that is there, and is never below what the module begins with", async () => {
    const bounded = withMemoryCeiling(growing, 9 * page);
    const lower = await started(withMemoryCeiling(bounded, page));
    expect(lower.m.buffer.byteLength).toBe(2 * page);
    expect(lower.grow(1)).toBe(-1);
  });

  it("is refused to what is no module, or is cut short", () => {
    expect(() => withMemoryCeiling(growing.slice(0, 20), page)).toThrow("no memory of its own");
    expect(() => withMemoryCeiling(growing.slice(0, 23), page)).toThrow("cut short");
    expect(() => withMemoryCeiling(new Uint8Array(0), page)).toThrow("no memory of its own");
  });

  it("can be given to Automerge's module, which stays valid", () => {
    const path = createRequire(import.meta.url).resolve("@automerge/automerge/automerge.wasm");
    const bounded = withMemoryCeiling(readFileSync(path), 1 << 30);
    expect(WebAssembly.validate(bounded)).toBe(true);
  });
});
