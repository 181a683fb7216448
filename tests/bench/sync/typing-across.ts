/** Typing at one device, arriving at another: as fast as it goes, at a typist's pace, and after a time without a network. */
import type { Splice } from "#client/device/api.ts";
import { applySplices } from "#client/notes/text-splices.ts";
import { longTyping } from "../long-history.ts";
import type { Budget, Measurement } from "../measurement.ts";
import {
  figuresOf,
  kilobytes,
  measureAll,
  rowsOf,
  type Bench,
  type Client,
  type Shown,
  type Stage,
} from "./contender.ts";
import { emptyBody } from "./library.ts";

const fastEdits = 20_000;
const pacedEdits = 300;
const pacedMs = 20;
/** What stands in the note before somebody types at a pace. */
const writtenBefore = 2_000;
const offlineEdits = 500;
/** Who writes five characters and looks up. */
const offlinePause = 5;
const never = Number.POSITIVE_INFINITY;
const withinMs = 90_000;

interface Typed {
  readonly fast: Fast;
  readonly paced: { readonly p50: number; readonly p95: number; readonly bytesPerEdit: number };
  readonly offline: { readonly ms: number; readonly sent: number };
}

interface Fast {
  readonly ms: number;
  readonly cpu: { readonly writer: number; readonly reader: number; readonly server: number };
  readonly sent: number;
}

export async function benchTypingAcross(bench: Bench): Promise<Measurement[]> {
  const shown = await measureAll(bench, withinMs, measure);
  const repo = figuresOf(shown, "automerge-repo, files");
  const yjs = figuresOf(shown, "y-websocket, LevelDB");
  const count = fastEdits.toLocaleString("en");
  return [
    ...rowsOf(
      `${count} typed edits, A → B equal`,
      shown,
      ({ fast }) => ({ ms: fast.ms, note: inWords(fast) }),
      (ms) => budgetOf(ms, repo?.fast.ms, yjs?.fast.ms),
    ),
    ...rowsOf(
      `typing at ${1000 / pacedMs} edits/s, A → B, p50`,
      shown,
      ({ paced }) => ({
        ms: paced.p50,
        note: `p95 ${paced.p95.toFixed(1)} ms, ${Math.round(paced.bytesPerEdit)} B an edit`,
      }),
      (ms) => ({ figure: ms, must: 40, aim: 35, unit: " ms" }),
    ),
    ...bytesRow(shown),
    ...rowsOf(
      `${offlineEdits} offline edits in one note, connecting → B equal`,
      shown,
      ({ offline }) => ({ ms: offline.ms, note: `${kilobytes(offline.sent)} sent` }),
      () => null,
    ),
  ];
}

async function measure(stage: Stage): Promise<Typed> {
  const writer = await stage.device();
  await writer.found();
  const reader = await stage.device();
  await reader.join(await writer.invitation());
  const fast = await typeFast(stage, writer, reader);
  const paced = await typePaced(stage, writer, reader);
  const offline = await typeOffline(stage, writer, reader);
  return { fast, paced, offline };
}

async function openBoth(stage: Stage, writer: Client, reader: Client): Promise<string> {
  const name = await writer.createEmpty();
  await stage.holds(1);
  await Promise.all([writer.open(name), reader.open(name)]);
  return name;
}

async function typeFast(stage: Stage, writer: Client, reader: Client): Promise<Fast> {
  await openBoth(stage, writer, reader);
  const edits = firstEdits(fastEdits);
  const arrived = reader.whenText(applySplices(emptyBody, edits));
  await Promise.all([writer.traffic(), writer.cpu(), reader.cpu(), stage.server.cpu()]);
  const [start = Number.NaN] = await writer.type(edits, { everyMs: 0, pauseAfter: never });
  const ms = (await arrived) - start;
  const { sent } = await writer.traffic();
  const cpu = {
    writer: await writer.cpu(),
    reader: await reader.cpu(),
    server: await stage.server.cpu(),
  };
  return { ms, cpu, sent };
}

async function typePaced(stage: Stage, writer: Client, reader: Client): Promise<Typed["paced"]> {
  await openBoth(stage, writer, reader);
  const before = "The heron waits. ".repeat(writtenBefore / 17);
  const there = reader.whenText(before + emptyBody);
  await writer.type([{ at: 0, remove: 0, insert: before }], { everyMs: 0, pauseAfter: 1 });
  await there;
  const edits = Array.from({ length: pacedEdits }, (_, ix) => ({
    at: before.length + ix,
    remove: 0,
    insert: "abcdefgh "[ix % 9] ?? " ",
  }));
  const longer = reader.whenLonger(pacedEdits);
  await writer.traffic();
  const typed = await writer.type(edits, { everyMs: pacedMs, pauseAfter: never });
  const arrived = await longer;
  const { sent } = await writer.traffic();
  const delays = arrived.map((at, ix) => at - (typed[ix] ?? at)).toSorted((a, b) => a - b);
  return {
    p50: delays[Math.floor(delays.length / 2)] ?? Number.NaN,
    p95: delays[Math.floor(delays.length * 0.95)] ?? Number.NaN,
    bytesPerEdit: sent / pacedEdits,
  };
}

async function typeOffline(
  stage: Stage,
  writer: Client,
  reader: Client,
): Promise<Typed["offline"]> {
  const name = await openBoth(stage, writer, reader);
  const edits = firstEdits(offlineEdits);
  await writer.disconnect();
  await writer.open(name);
  const arrived = reader.whenText(applySplices(emptyBody, edits));
  await writer.type(edits, { everyMs: 0, pauseAfter: offlinePause });
  await writer.traffic();
  const { from } = await writer.reconnect(0);
  const ms = (await arrived) - from;
  return { ms, sent: (await writer.traffic()).sent };
}

function firstEdits(count: number): readonly Splice[] {
  const edits: Splice[] = [];
  for (const edit of longTyping()) {
    edits.push(edit);
    if (edits.length === count) break;
  }
  return edits;
}

function inWords({ cpu, sent }: Fast): string {
  const { writer, reader, server } = cpu;
  const ms = (time: number): string => Math.round(time).toLocaleString("en");
  return `CPU A ${ms(writer)}, B ${ms(reader)}, server ${ms(server)} ms; ${kilobytes(sent)} sent`;
}

/** Must be no slower than one, and aims to be no slower than the other. */
function budgetOf(ms: number, must: number | undefined, aim: number | undefined): Budget | null {
  if (must === undefined || aim === undefined) return null;
  return { figure: ms, must: Math.round(must), aim: Math.round(aim), unit: " ms" };
}

function bytesRow(shown: readonly Shown<Typed>[]): Measurement[] {
  const own = figuresOf(shown, "Sealeaf");
  const repo = figuresOf(shown, "automerge-repo, files");
  if (own === null) return [];
  const figure = own.paced.bytesPerEdit;
  return [
    {
      name: "bytes an edit sends at that pace: Sealeaf",
      ratio: figure / (repo?.paced.bytesPerEdit ?? Number.NaN),
      note: `automerge-repo, in clear; ${Math.round(figure)} B`,
      budget: { figure, must: 200, aim: 150, unit: " B" },
    },
  ];
}
