import { describe, expect, it } from "vitest";

import { linkIn } from "#client/app/state/navigation.svelte.ts";
import { initialsOf, namesOf, selectRows, stateLine, tickOf } from "#client/app/state/note-rows.ts";
import { countWords } from "#client/app/state/open-note.svelte.ts";
import { isRefusal, sentenceOf } from "#client/app/state/refusal.ts";
import { syncSentence, syncText, syncTone } from "#client/app/state/sync-words.ts";
import { shortTime, timeAgo } from "#client/app/state/time-words.ts";
import { wordsIn } from "#client/app/state/typed-words.ts";
import type { NoteRow, SyncStatus } from "#client/device/api.ts";
import { describeRelay } from "#client/device/status-word.ts";
import { refusals } from "#relay/protocol/errors.ts";

const calm: SyncStatus = {
  word: "up-to-date",
  waiting: 0,
  detail: "",
  relay: "wss://relay.example/path?key=abc",
  connected: true,
  lastAckAt: null,
  durable: true,
  full: false,
  workingOffline: false,
  fetching: null,
  relays: [],
};

function row(fields: Partial<NoteRow>): NoteRow {
  return {
    id: "a",
    title: "",
    preview: "",
    tags: [],
    pinned: false,
    notebook: "n",
    createdAt: 0,
    updatedAt: 0,
    trashed: false,
    here: true,
    state: "saved-here",
    waiting: 0,
    seenBy: [],
    quarantined: 0,
    awaiting: 0,
    ...fields,
  };
}

describe("the footer", () => {
  it("says each of the six states in its own words", () => {
    const texts = (
      [
        { word: "saved-here" },
        { word: "sending", waiting: 3 },
        { word: "up-to-date" },
        { word: "offline", waiting: 3 },
        { word: "limited", detail: "Relay is full. Your notes are saved here." },
        { word: "needs-you" },
      ] as const
    ).map((fields) => syncText({ ...calm, ...fields }));
    expect(texts).toEqual([
      "Saved here",
      "Sending 3",
      "Up to date",
      "Offline, 3 waiting",
      "Limited: relay is full",
      "Needs you: 1",
    ]);
  });

  it("does not claim to be saved where nothing is kept", () => {
    const status = { ...calm, word: "saved-here", durable: false } as const;
    expect(syncText(status)).toBe("Not kept on this device");
    expect(syncTone(status)).toBe("waiting");
    const words = [
      "saved-here",
      "sending",
      "up-to-date",
      "offline",
      "limited",
      "needs-you",
    ] as const;
    for (const word of words) {
      expect(syncSentence({ ...calm, word, durable: true })).toMatch(/saved/);
      expect(syncSentence({ ...calm, word, durable: false })).not.toMatch(/saved/);
    }
  });

  it("says why it is limited, as the device puts it", () => {
    const session = {
      connected: true,
      failing: false,
      lastFailure: null,
      refusedCode: refusals.DISK_FULL.code,
      stuck: [],
      upToDate: false,
      doubts: [],
      withheld: [],
      inconsistent: false,
    };
    const limited = describeRelay(session, 1, true);
    expect(syncText({ ...calm, ...limited })).toBe("Limited: relay is full");
    const room = describeRelay({ ...session, refusedCode: refusals.QUOTA_SPACE.code }, 1, true);
    const several = { ...room, detail: `relay.example:8787: ${room.detail}` };
    expect(syncText({ ...calm, ...several })).toBe("Limited: notebook has used up its room there");
  });

  it("shortens a reason that would not fit to the word alone", () => {
    const detail = "The relay accepts no more entries from this device before tomorrow";
    expect(syncText({ ...calm, word: "limited", detail })).toBe("Limited");
  });
});

describe("a note's sign", () => {
  it("is an arrow only while something waits and there is a relay to wait for", () => {
    expect(tickOf({ state: "saved-here", waiting: 2 }, true)).toBe("waiting");
    expect(tickOf({ state: "saved-here", waiting: 2 }, false)).toBe("here");
    expect(tickOf({ state: "on-relay", waiting: 0 }, true)).toBe("relay");
    expect(tickOf({ state: "seen-elsewhere", waiting: 0 }, true)).toBe("seen");
  });

  it("says a waiting note is saved all the same", () => {
    expect(stateLine("saved-here", 2, true, [])).toBe("Saved on this device");
    expect(stateLine("on-relay", 0, true, [])).toBe("On the relay");
    expect(stateLine("seen-elsewhere", 0, true, ["Ben", "Ana"])).toBe("Seen by Ben and Ana");
    expect(stateLine("seen-elsewhere", 0, true, [])).toBe("Seen by another device");
  });
});

describe("names", () => {
  it("are joined as in speech and cut to initials by whole characters", () => {
    expect(namesOf(["Ana", "Ben", "Cem", "Dana"])).toBe("Ana, Ben and 2 more");
    expect(initialsOf("ana maria lima")).toBe("AL");
    expect(initialsOf("😀 smith")).toBe("😀S");
    expect(initialsOf("  ")).toBe("?");
  });
});

describe("the list", () => {
  const rows = [
    row({ id: "old", updatedAt: 1 }),
    row({ id: "new", updatedAt: 2, notebook: "m" }),
    row({ id: "gone", updatedAt: 3, trashed: true }),
  ];

  it("shows the newest first and trashed notes only in the trash", () => {
    expect(selectRows(rows, { type: "all" }).map(({ id }) => id)).toEqual(["new", "old"]);
    expect(selectRows(rows, { type: "trash" }).map(({ id }) => id)).toEqual(["gone"]);
    expect(selectRows(rows, { type: "notebook", id: "n" }).map(({ id }) => id)).toEqual(["old"]);
  });
});

describe("times", () => {
  const now = new Date(2026, 5, 10, 15, 0).getTime();
  it("grow coarser with age", () => {
    expect(shortTime(now - 20_000, now, "en-GB")).toBe("now");
    expect(shortTime(now - 5 * 60_000, now, "en-GB")).toBe("5 min");
    expect(shortTime(new Date(2026, 5, 10, 9, 5).getTime(), now, "en-GB")).toBe("09:05");
    expect(shortTime(new Date(2026, 5, 8).getTime(), now, "en-GB")).toBe("Mon");
    expect(shortTime(new Date(2026, 1, 3).getTime(), now, "en-GB")).toBe("3 Feb");
    expect(shortTime(new Date(2024, 1, 3).getTime(), now, "en-GB")).toBe("3 Feb 2024");
    expect(timeAgo(new Date(2024, 1, 3).getTime(), now, "en-GB")).toBe("on 3 February 2024");
  });

  it("of a clock that runs ahead are now", () => {
    expect(shortTime(now + 60_000, now)).toBe("now");
  });
});

describe("words", () => {
  it("are counted in any script, with their apostrophes", () => {
    expect(countWords("# Don't stop — it's naïve, 3 well-known слова")).toBe(7);
    expect(countWords("  \n- [ ] ")).toBe(0);
  });

  it("typed for recovery are found among numbers and commas", () => {
    expect(wordsIn("1. Legal, 2. winner\n 3) thank")).toEqual(["legal", "winner", "thank"]);
  });
});

describe("links", () => {
  it("are recognised by their fragment alone", () => {
    expect(linkIn("https://a/#1e.x.y")).toBe("https://a/#1e.x.y");
    expect(linkIn("https://a/#1r.x.y")).not.toBeNull();
    expect(linkIn("https://a/#2e.x.y")).toBeNull();
    expect(linkIn("https://a/?q=1e.x")).toBeNull();
  });
});

describe("failures", () => {
  it("speak with the device's sentence, or a general one that quotes nothing technical", () => {
    const refusal = { code: "offline", message: "You are offline." } as const;
    expect(sentenceOf(refusal)).toBe("You are offline.");
    expect(sentenceOf(new TypeError("x is not a function"))).not.toContain("function");
    expect(isRefusal(new DOMException("no", "AbortError"))).toBe(false);
  });
});
