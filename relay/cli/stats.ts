/** `stats`: what a store holds, in numbers; opaque, as all of it is. */
import { existsSync, statSync } from "node:fs";
import type { Config } from "#relay/config/config.ts";
import type { RelayStore } from "#relay/open-store.ts";
import { databasePathIn } from "#relay/store/sqlite-opening.ts";

export interface StoreFigures {
  readonly spaces: number;
  readonly deletedSpaces: number;
  /** Counted bytes of all spaces. */
  readonly countedBytes: number;
  readonly invitations: number;
  readonly accessKeys: number;
  /** Of the database and its log; null where they are not here. */
  readonly fileBytes: number | null;
}

const spacesPerPage = 1000;

export async function figuresOf(store: RelayStore, config: Config): Promise<StoreFigures> {
  let spaces = 0;
  let deletedSpaces = 0;
  let after: Uint8Array = new Uint8Array(32);
  for (;;) {
    const page = await store.listSpaces(after, spacesPerPage);
    const last = page.at(-1);
    if (last === undefined) break;
    spaces += page.length;
    deletedSpaces += page.filter(({ deletedAt }) => deletedAt !== null).length;
    after = last.spaceId;
  }
  return {
    spaces,
    deletedSpaces,
    countedBytes: await store.totalBytes(),
    invitations: (await store.access.listInvites()).length,
    accessKeys: (await store.access.listAccessKeys()).length,
    fileBytes: config.store.type === "sqlite" ? fileBytesIn(config.dataDir) : null,
  };
}

export function figureLines(figures: StoreFigures): readonly string[] {
  const deleted = figures.deletedSpaces === 0 ? "" : `, ${figures.deletedSpaces} of them deleted`;
  const onDisk = figures.fileBytes === null ? "" : `, ${bytesText(figures.fileBytes)} on the disk`;
  return [
    `Notebooks and vaults: ${figures.spaces}${deleted}`,
    `They hold: ${bytesText(figures.countedBytes)}${onDisk}`,
    `Access keys: ${figures.accessKeys}; invitations not redeemed: ${figures.invitations}`,
  ];
}

export function bytesText(bytes: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  const power = bytes < 1024 ? 0 : Math.min(4, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** power;
  return `${power === 0 ? value : value.toFixed(1)} ${units[power] ?? ""}`;
}

function fileBytesIn(dataDir: string): number {
  const path = databasePathIn(dataDir);
  return [path, `${path}-wal`]
    .filter((file) => existsSync(file))
    .reduce((sum, file) => sum + statSync(file).size, 0);
}
