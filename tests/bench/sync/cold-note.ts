/** A note with a long history, from nothing to its text. */
import * as A from "@automerge/automerge/slim";
import { nodeAutomerge } from "#client/cli/node-ports.ts";
import type { NoteDocument } from "#client/device/api.ts";
import { historyEdits, longHistory } from "../long-history.ts";
import type { Measurement } from "../measurement.ts";
import {
  kilobytes,
  measureAll,
  rowsOf,
  type Bench,
  type Contender,
  type Stage,
} from "./contender.ts";
import { now } from "./library.ts";

/** As the app gathers them while somebody types alone; what is typed with the others is a change or an update each. */
const gathered = 50;
const loads = 3;
const withinMs = 200_000;
/** Most of it is typing them. */
const singlyWithinMs = 600_000;

interface Cold {
  readonly ms: number;
  readonly received: number;
}

export async function benchColdNote(bench: Bench): Promise<Measurement[]> {
  await nodeAutomerge();
  const { loadMs, length } = measureLoad();
  const others = { ...bench, contenders: bench.contenders.filter(isAnother) };
  const ours = { ...bench, contenders: bench.contenders.filter((one) => !isAnother(one)) };
  const asUsed = [
    ...(await measureAll(ours, withinMs, (stage) => measure(stage, gathered, length))),
    ...(await measureAll(others, withinMs, (stage) => measure(stage, 1, length))),
  ];
  const singly = await measureAll(ours, singlyWithinMs, (stage) => measure(stage, 1, length));
  const what = `${historyEdits.toLocaleString("en")} edits, empty device → text`;
  const read = ({ ms, received }: Cold): { ms: number; note: string } => ({
    ms,
    note: `${(ms / loadMs).toFixed(2)}× Automerge load alone, ${kilobytes(received)} received`,
  });
  const budget = (ms: number) => ({ figure: ms / loadMs, must: 1.2, aim: 1, unit: "×" }) as const;
  return [
    {
      name: `${historyEdits.toLocaleString("en")} edits, each a change: Automerge load alone`,
      ms: loadMs,
    },
    ...rowsOf(what, asUsed, read, budget),
    ...rowsOf(`${what}, each a change`, singly, read, () => null),
  ];
}

function isAnother({ library }: Contender): boolean {
  return library !== "sealeaf";
}

/** In a document's process of its own such a load would be no slower: what is loaded is given up each time. */
function measureLoad(): { readonly loadMs: number; readonly length: number } {
  const saved = longHistory();
  const times: number[] = [];
  let length = 0;
  for (let round = 0; round < loads; round += 1) {
    const start = now();
    const document = A.load<NoteDocument>(saved);
    ({ length } = document.body);
    times.push(now() - start);
    A.free(document);
  }
  return { loadMs: times.toSorted((a, b) => a - b)[1] ?? Number.NaN, length };
}

async function measure(stage: Stage, editsPerChange: number, length: number): Promise<Cold> {
  const writer = await stage.device();
  await writer.found();
  const name = await writer.createLong(editsPerChange);
  await stage.holds(1);
  const fresh = await stage.device();
  await fresh.traffic();
  const ms = await fresh.arriveAt(await writer.invitation(), name, length);
  return { ms, received: (await fresh.traffic()).received };
}
