/** A leader that is killed after it has pushed and before it was answered, with two tabs that type (PROTOCOL §4). */
import type * as AutomergeModule from "@automerge/automerge/slim";
import { describe, expect, it } from "vitest";
import { parseDocumentId } from "#crdt-store/document-id.ts";
import type { NoteDocument } from "#client/device/api.ts";
import { toHex } from "#relay/protocol/bytes.ts";
import { parseEntry } from "#relay/protocol/entry.ts";
import { maxMessageBytes } from "#relay/protocol/limits.ts";
import { scripted } from "#tests/support/lying-relay.ts";
import { loadEngines, type SimDevice } from "#tests/support/world.ts";
import { oneWorld } from "#tests/support/one-world.ts";
import { bodyOf, deviceOf, storeOf, threeDevices } from "./three-devices.ts";

const engines = await loadEngines();
const keep = oneWorld();

/** An open note in a tab: its text lives there, whoever leads. */
class Tab {
  readonly session: string;
  readonly actor: string;
  readonly #note: string;
  #doc: AutomergeModule.Doc<NoteDocument>;

  private constructor(
    note: string,
    session: string,
    actor: string,
    doc: AutomergeModule.Doc<NoteDocument>,
  ) {
    this.#note = note;
    this.session = session;
    this.actor = actor;
    this.#doc = doc;
  }

  static async open(sim: SimDevice, note: string, session: string): Promise<Tab> {
    sim.sessions.add(session);
    const { chunks, actor } = await deviceOf(sim).openNote(note, session);
    const { automerge } = engines;
    const doc = automerge.applyChanges(automerge.init<NoteDocument>({ actor }), [...chunks])[0];
    return new Tab(note, session, actor, doc);
  }

  /** One change, handed to whoever leads; again what was handed over is harmless. */
  async type(sim: SimDevice, insert: string): Promise<void> {
    const { automerge } = engines;
    const before = automerge.getHeads(this.#doc);
    this.#doc = automerge.change(this.#doc, { time: 0 }, (draft) => {
      automerge.splice(draft, ["body"], draft.body.length, 0, insert);
    });
    const changes = automerge.getChangesSince(this.#doc, before);
    for (const times of [1, 2]) {
      await deviceOf(sim).commit(this.#note, {
        session: this.session,
        changes,
        title: "Milk",
        preview: String(times),
      });
    }
  }
}

describe("two tabs whose leader is killed in the middle of a push (attack 61)", () => {
  it("write each of their changes once, each under one name, and the same entry is sent again", async () => {
    const { made, devices, note } = await threeDevices("attack 61", engines);
    keep(made);
    const [ada, bob] = devices;
    const { timeline, network } = made;
    const tabs = [await Tab.open(ada, note, "left"), await Tab.open(ada, note, "right")] as const;
    const pushed: string[][] = [];
    /** Of pushes that the leader was killed in. */
    const unanswered: string[][] = [];
    let isArmed = false;
    network.meddle(
      ada.name,
      scripted({
        toRelay: (message) => {
          if (message.type === "push") {
            pushed.push(
              message.entries.map((bytes) => {
                const entry = parseEntry(bytes, maxMessageBytes);
                if (!entry.ok) throw new Error(entry.error);
                return toHex(entry.value.entryId);
              }),
            );
          }
          return null;
        },
        toDevice: (message) => {
          const [last] = pushed.slice(-1);
          if (message.type !== "pushAck" || !isArmed || last === undefined) return null;
          // The relay has it; the leader never hears of that.
          isArmed = false;
          unanswered.push(last);
          ada.killAfterFlushes(0);
          return [];
        },
      }),
    );
    const words: string[] = [];
    for (let round = 0; round < 3; round += 1) {
      isArmed = round < 2;
      for (const tab of tabs) {
        const word = ` ${tab.session}-${round}`;
        words.push(word);
        await tab.type(ada, word);
      }
      await timeline.advance(3_000);
      if (ada.running !== null) continue;
      // The next leader has the store; the tabs live on.
      await ada.kill();
      for (const { session } of tabs) ada.sessions.add(session);
      ada.open();
      await timeline.advance(10_000);
    }
    await timeline.advance(30_000);
    expect(unanswered).toHaveLength(2);
    // Byte for byte: the relay knows it and keeps it once.
    for (const entries of unanswered) {
      const times = pushed.filter((other) => entries.every((id) => other.includes(id)));
      expect(times).toHaveLength(2);
    }

    const doc = parseDocumentId(note) ?? new Uint8Array();
    const text = await bodyOf(bob, note);
    for (const word of words) expect(text.split(word)).toHaveLength(2);
    expect(await bodyOf(ada, note)).toBe(text);
    for (const sim of [ada, bob]) {
      const own = storeOf(sim)
        .changes.ofDocument(doc)
        .map(({ actor, seq }) => ({ actor: toHex(actor), seq }))
        .filter(({ actor }) => tabs.some((tab) => tab.actor === actor));
      for (const tab of tabs) {
        const seqs = own.filter(({ actor }) => actor === tab.actor).map(({ seq }) => seq);
        expect(seqs.toSorted((a, b) => a - b)).toEqual([1, 2, 3]);
      }
      expect(storeOf(sim).inbox.quarantined()).toEqual([]);
      expect((await deviceOf(sim).status()).word).toBe("up-to-date");
    }
    expect(tabs[0].actor).not.toBe(tabs[1].actor);
    expect(storeOf(ada).outbox.depth()).toBe(0);
  });
});
