import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";
import { filesIn } from "./output-folder.ts";

const COMPRESSIBLE = /\.(js|css|html|svg|wasm|webmanifest)$/;
/** Below this a compressed answer saves no packet. */
const WORTHWHILE_BYTES = 1_024;

const gzipped = promisify(gzip);
const brotlied = promisify(brotliCompress);

/** Writes `file.gz` and `file.br` beside every file worth it, as small as they get. */
export async function precompress(folder: string): Promise<void> {
  await Promise.all(
    filesIn(folder)
      .filter((file) => COMPRESSIBLE.test(file))
      .map((file) => compress(path.join(folder, file))),
  );
}

async function compress(file: string): Promise<void> {
  const content = readFileSync(file);
  if (content.length < WORTHWHILE_BYTES) return;
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
    [constants.BROTLI_PARAM_SIZE_HINT]: content.length,
  };
  const [gz, br] = await Promise.all([
    gzipped(content, { level: constants.Z_BEST_COMPRESSION }),
    brotlied(content, { params }),
  ]);
  writeFileSync(`${file}.gz`, gz);
  writeFileSync(`${file}.br`, br);
}
