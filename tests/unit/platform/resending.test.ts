/** A leader that dies after it has committed and before it has answered: its successor is asked again. */
import * as A from "@automerge/automerge/slim";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import type { DeviceApi, DeviceEvent, NoteDocument } from "#client/device/api.ts";
import { DEVICE_METHODS } from "#client/worker/device-methods.ts";
import { connect, serve } from "#client/worker/rpc.ts";
import { deferred } from "#tests/support/deferred.ts";
import { ManualTimers } from "#tests/support/manual-timers.ts";
import type { DeviceFixture } from "../device/setup-device.ts";
import { filesAfterCrash, onlyNotebook, setupDevice } from "../device/setup-device.ts";

// The engines are loaded once; on a busy machine that takes longer than a test may.
beforeAll(async () => {
  await using _loaded = await setupDevice();
}, 60_000);

const session = "5".repeat(32);
const open: MessagePort[] = [];
afterEach(() => {
  for (const port of open.splice(0)) port.close();
});

type Calls = (api: DeviceApi) => Promise<unknown>;

/**
 * A tab makes a call; the leader carries it out and dies before the answer leaves it; a new leader on what
 * the first left behind answers. `before` is there when the tab calls.
 */
async function answeredBySuccessor<T>(
  calls: (api: DeviceApi) => Promise<T>,
  before?: Calls,
): Promise<{ answer: T; first: DeviceFixture; next: DeviceFixture }> {
  const first = await setupDevice();
  await before?.(first.device);
  const tab = connect<DeviceApi, DeviceEvent>(
    { methods: DEVICE_METHODS, caller: session, timers: new ManualTimers() },
    { onEvent: () => {}, onReachable: () => {}, onStalled: () => {} },
  );
  const carriedOut = deferred();
  attach(tab, mute(first.device, carriedOut.resolve));
  const answer = calls(tab.api);
  await carriedOut.promise;
  const next = await setupDevice({ files: filesAfterCrash(first) });
  attach(tab, next.device);
  return { answer: await answer, first, next };
}

function attach(tab: { attach(port: MessagePort): void }, api: DeviceApi): void {
  const { port1, port2 } = new MessageChannel();
  open.push(port1, port2);
  serve<DeviceApi, DeviceEvent>(port2, Promise.resolve(api), DEVICE_METHODS, {
    onFault: (error) => {
      throw error;
    },
  });
  tab.attach(port1);
}

/** Carries out one call, to the end, and never answers. */
function mute(device: DeviceApi, carriedOut: () => void): DeviceApi {
  return new Proxy(device, {
    get: (target, name) => {
      // Names of methods only: the server asks for nothing else.
      const method = target[name as keyof DeviceApi] as (...args: unknown[]) => Promise<unknown>;
      if (typeof method !== "function") return method;
      return async (...args: unknown[]) => {
        await method.apply(target, args);
        carriedOut();
        return new Promise(() => {});
      };
    },
  });
}

/** How many changes are journalled and wait to be sent. */
function journalled({ store }: DeviceFixture): readonly number[] {
  const { changes, outbox } = store;
  return [changes.documents().flatMap((doc) => changes.ofDocument(doc)).length, outbox.depth()];
}

describe("a call that is sent again after it was carried out", () => {
  it("makes no second note", async () => {
    const { answer, first, next } = await answeredBySuccessor((api) =>
      api.createNote({ title: "Once" }),
    );
    await using _first = first;
    await using _next = next;
    expect((await next.device.notes()).map(({ id }) => id)).toEqual([answer.id]);
  });

  it("makes no second notebook", async () => {
    const { answer, first, next } = await answeredBySuccessor((api) => api.createNotebook("Once"));
    await using _first = first;
    await using _next = next;
    const named = (await next.device.notebooks()).filter(({ name }) => name === "Once");
    expect(named.map(({ id }) => id)).toEqual([answer.id]);
  });

  it("moves a note once", async () => {
    let id = "";
    let target = "";
    const { answer, first, next } = await answeredBySuccessor(
      (api) => api.moveNote(id, target),
      async (api) => {
        ({ id } = await api.createNote({ title: "On the move" }));
        ({ id: target } = await api.createNotebook("Elsewhere"));
      },
    );
    await using _first = first;
    await using _next = next;
    const rows = await next.device.notes();
    expect(rows.map((row) => [row.id, row.notebook])).toEqual([[answer.id, target]]);
  });

  it("journals a commit's changes once and tells nobody again", async () => {
    let id = "";
    let typed: Uint8Array[] = [];
    const { first, next } = await answeredBySuccessor(
      (api) => api.commit(id, { session, changes: typed, title: "Once", preview: "written once" }),
      async (api) => {
        ({ id } = await api.createNote({ title: "Once" }));
        const opened = await api.openNote(id, session);
        const doc = A.applyChanges(A.init<NoteDocument>({ actor: opened.actor }), [
          ...opened.chunks,
        ])[0];
        const edited = A.change(doc, (draft) => A.splice(draft, ["body"], 0, 0, "written once"));
        typed = A.getChangesSince(edited, A.getHeads(doc));
      },
    );
    await using _first = first;
    await using _next = next;
    expect(await next.device.readNote(id)).toMatchObject({ body: "written once" });
    expect(journalled(next)).toEqual(journalled(first));
    expect(next.events.filter(({ type }) => type === "changes")).toEqual([]);
  });

  it("is carried out again where no name says that it came before", async () => {
    await using fixture = await setupDevice();
    const { device } = fixture;
    await device.createNote({ title: "Twice" });
    await device.createNote({ title: "Twice" });
    expect(await device.notes()).toHaveLength(2);
    const notebook = (await onlyNotebook(device)).id;
    const first = await device.createNote({ notebook }, "one name");
    expect(await device.createNote({ notebook }, "one name")).toEqual(first);
    expect(await device.createNote({ notebook }, "another")).not.toEqual(first);
  });
});
