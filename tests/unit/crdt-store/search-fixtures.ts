import type { SqliteEngine } from "#crdt-store/files/engine.ts";
import type { FileSet } from "#crdt-store/files/file.ts";
import { MemoryFiles } from "#crdt-store/files/memory.ts";
import { loadNodeEngine } from "#crdt-store/files/node.ts";
import {
  SearchIndex,
  type IndexAnswer,
  type IndexedNote,
  type IndexQuery,
} from "#crdt-store/search-index.ts";
import type { TextPart } from "#crdt-store/search-excerpt.ts";
import { bytesFor, key, seededBytes, space } from "./store-fixtures.ts";

export function openIndex(
  engine: SqliteEngine,
  files: FileSet,
  indexKey: Uint8Array | null = key,
): SearchIndex {
  return SearchIndex.open({ engine, files, key: indexKey, random: seededBytes(3) });
}

export async function setupIndex(): Promise<{ index: SearchIndex; files: MemoryFiles }> {
  const files = new MemoryFiles();
  return { index: openIndex(await loadNodeEngine(), files), files };
}

/** A note whose document is told by its name. */
export function indexed(name: string, fields: Partial<IndexedNote> = {}): IndexedNote {
  return {
    doc: bytesFor(name, 16),
    version: 1,
    space,
    updatedAt: 1_000_000,
    trashed: false,
    pinned: false,
    title: name,
    body: "",
    tags: [],
    ...fields,
  };
}

export function tags(...keys: readonly string[]): { name: string; key: string }[] {
  return keys.map((name) => ({ name, key: name }));
}

/** Words as typed, the last one unfinished; `-` in front excludes. */
export function query(text: string, more: Partial<IndexQuery> = {}): IndexQuery {
  const words = text.split(" ").filter((word) => word !== "");
  const phrases = words.map((word, ix) => ({
    text: word.replaceAll("_", " "),
    isPrefix: ix === words.length - 1,
  }));
  return {
    all: phrases.filter((phrase) => !phrase.text.startsWith("-")),
    none: phrases
      .filter((phrase) => phrase.text.startsWith("-"))
      .map((phrase) => ({ text: phrase.text.slice(1), isPrefix: false })),
    tags: [],
    withoutTags: [],
    spaces: null,
    trashed: false,
    pinned: null,
    from: null,
    before: null,
    most: 50,
    ...more,
  };
}

export function titlesOf(answer: IndexAnswer): string[] {
  return answer.hits.map((hit) => hit.title.map((part) => part.text).join(""));
}

/** With what was looked for in brackets. */
export function marked(parts: readonly TextPart[]): string {
  return parts.map(({ text, match }) => (match ? `[${text}]` : text)).join("");
}
