import {
  FileFault,
  frameBytes,
  frameHeaderBytes,
  logHeaderBytes,
  type DatabaseFile,
} from "./database-file.ts";

/*
 * SQLite ends its log at the first frame whose checksum fails: it takes it for the one that a power cut tore. But here
 * every commit is flushed before the next one begins, so a cut can only tear the last. If behind the bad frame a later
 * commit goes on, then frames are bad that had been flushed: the log is damaged, and ending it there would silently undo
 * what was shown as saved.
 *
 * Later commits are told from leftovers by SQLite's checksums (https://sqlite.org/fileformat2.html#walformat): each frame's
 * goes on from the frame before it. A frame that does so behind the last frame of a commit was written after that commit
 * had been flushed. What a failed or undone transaction left behind never goes on from the one written over it.
 *
 * Damage to the very last commit, or a log that was cut short from outside, looks like a power cut and is not noticed.
 */

type Checksum = readonly [number, number];

/** A log may have frames of earlier rounds behind those of this one: the search ends after so many in a row. */
const strangersInARow = 64;

/** The least that disks write as a whole. */
const sectorBytes = 512;

/**
 * Whether a log from which SQLite has recovered the first `recovered` frames has lost more than a power cut takes.
 * Both files give pages in clear. Reads little where nothing follows the recovered frames.
 */
export function isLogDamaged(log: DatabaseFile, main: DatabaseFile, recovered: number): boolean {
  const frames = Math.floor((log.size() - logHeaderBytes) / frameBytes);
  if (frames <= recovered) return false;
  const header = new Uint8Array(logHeaderBytes);
  log.read(header, 0);
  const start = checksumOf(header.subarray(0, 24), [0, 0]);
  if (!isFormat(header) || !equals(start, storedChecksum(header, 24))) {
    // The header of a new round may be torn over the frames of the last, but only once the main file has all of those.
    return lastCommitted(log, frames).some(({ frame, page }) => !isInMain(log, main, frame, page));
  }
  return goesOnBehindABreak(log, header.subarray(16, 24), recovered, frames);
}

/** Looks for the last frame of a commit, itself perhaps a bad one, that another frame of this round goes on from. */
function goesOnBehindABreak(
  log: DatabaseFile,
  salts: Uint8Array,
  first: number,
  frames: number,
): boolean {
  const frame = new Uint8Array(frameBytes);
  let before = checksumBefore(log, first);
  /** What the next frame may go on from, if the one before it was the last of a commit. */
  let ends: readonly Checksum[] = [];
  let strangers = 0;
  for (let index = first; index < frames && strangers < strangersInARow; index += 1) {
    log.read(frame, logHeaderBytes + index * frameBytes);
    const stored = storedChecksum(frame, 16);
    const isOfThisRound = salts.every((byte, at) => frame[8 + at] === byte);
    if (isOfThisRound && ends.some((end) => equals(frameChecksum(frame, end), stored))) return true;
    const isLastOfCommit = new DataView(frame.buffer).getUint32(4) !== 0;
    // The checksum itself may be what is bad: then the true one is that of the contents.
    const ofContents = frameChecksum(frame, before);
    ends = isLastOfCommit ? [ofContents, ...(liesInTwoSectors(index) ? [] : [stored])] : [];
    before = stored;
    strangers = isOfThisRound ? 0 : strangers + 1;
  }
  return false;
}

/**
 * Whether a cut may part what a frame's header says of a commit from its checksum. If writing goes on after a failed
 * flush, one transaction's frames replace another's, and such a header may then be half of each.
 */
function liesInTwoSectors(index: number): boolean {
  const at = logHeaderBytes + index * frameBytes;
  return Math.floor(at / sectorBytes) !== Math.floor((at + frameHeaderBytes - 1) / sectorBytes);
}

/** The newest frame of each page, up to the last commit of the round that the log begins with. */
function lastCommitted(log: DatabaseFile, frames: number) {
  const frame = new Uint8Array(frameBytes);
  const view = new DataView(frame.buffer);
  const frameByPage = new Map<number, number>();
  const committed = new Map<number, number>();
  let before: Checksum | null = null;
  for (let index = 0; index < frames; index += 1) {
    log.read(frame, logHeaderBytes + index * frameBytes);
    const stored = storedChecksum(frame, 16);
    if (before !== null && !equals(frameChecksum(frame, before), stored)) break;
    before = stored;
    frameByPage.set(view.getUint32(0), index);
    const pages = view.getUint32(4);
    if (pages === 0) continue;
    for (const [page, at] of frameByPage) if (page <= pages) committed.set(page, at);
    for (const page of committed.keys()) if (page > pages) committed.delete(page);
    frameByPage.clear();
  }
  return [...committed].map(([page, at]) => ({ page, frame: at }));
}

function isInMain(log: DatabaseFile, main: DatabaseFile, index: number, page: number): boolean {
  const frame = new Uint8Array(frameBytes);
  const stored = new Uint8Array(frameBytes - frameHeaderBytes);
  log.read(frame, logHeaderBytes + index * frameBytes);
  try {
    if (main.read(stored, (page - 1) * stored.length) < stored.length) return false;
  } catch (error) {
    if (error instanceof FileFault) return false;
    throw error;
  }
  return stored.every((byte, at) => byte === frame[frameHeaderBytes + at]);
}

function checksumBefore(log: DatabaseFile, index: number): Checksum {
  const isFirst = index === 0;
  const header = new Uint8Array(isFirst ? logHeaderBytes : frameHeaderBytes);
  log.read(header, isFirst ? 0 : logHeaderBytes + (index - 1) * frameBytes);
  return storedChecksum(header, isFirst ? 24 : 16);
}

function frameChecksum(frame: Uint8Array, seed: Checksum): Checksum {
  const headed = checksumOf(frame.subarray(0, 8), seed);
  return checksumOf(frame.subarray(frameHeaderBytes), headed);
}

// SQLite's wasm is little-endian and writes the magic number that says so.
function checksumOf(bytes: Uint8Array, [first, second]: Checksum): Checksum {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let one = first;
  let two = second;
  for (let at = 0; at < bytes.length; at += 8) {
    one = (one + view.getUint32(at, true) + two) >>> 0;
    two = (two + view.getUint32(at + 4, true) + one) >>> 0;
  }
  return [one, two];
}

function storedChecksum(bytes: Uint8Array, at: number): Checksum {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return [view.getUint32(at), view.getUint32(at + 4)];
}

function isFormat(header: Uint8Array): boolean {
  return new DataView(header.buffer).getUint32(0) === 0x377f0682;
}

function equals(a: Checksum, b: Checksum): boolean {
  return a[0] === b[0] && a[1] === b[1];
}
