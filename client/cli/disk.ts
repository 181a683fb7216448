/** The volume a home lies on. */
import { readdirSync, statfsSync, statSync } from "node:fs";
import { join } from "node:path";

/** Bytes that all files of the home take, and bytes that its owner may still write there. */
export function diskOf(dir: string): { readonly used: number; readonly free: number } {
  const { bavail, bsize } = statfsSync(dir);
  const names = readdirSync(dir, { recursive: true, encoding: "utf8" });
  const used = names.reduce((sum, name) => sum + bytesOf(join(dir, name)), 0);
  return { used, free: bavail * bsize };
}

/** 0 for what is no file, or gone since it was listed. */
function bytesOf(path: string): number {
  const found = statSync(path, { throwIfNoEntry: false });
  return found?.isFile() === true ? found.size : 0;
}
