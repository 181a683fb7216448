// @vitest-environment happy-dom
import { describe, expect, it } from "vitest";

import { noteConflictText, noteSyncSentence } from "#client/app/state/note-sync-words.ts";
import { peopleAmong } from "#client/app/state/note-rows.ts";
import {
  asideText,
  conflictText,
  divergenceText,
  relayText,
  waitingText,
} from "#client/app/state/sync-words.ts";

import { click, named, setupScreen, shown, textOf } from "./screen.ts";

/** What stands beside a name in the sheet, null if the name is not there. */
function fact(name: string): string | null {
  const term = [...document.querySelectorAll("dialog dt")].find((dt) => textOf(dt) === name);
  return term === undefined ? null : textOf(term.nextElementSibling);
}

async function openSheet(): Promise<void> {
  named("[role=status]", "Sync status").querySelector("button")?.click();
  await shown();
  await click("button", "Details");
}

describe("the sync sheet", () => {
  it("says what is known, from the footer", async () => {
    const { app } = await setupScreen((device) => {
      device.addNote({ title: "Plan", waiting: 2 });
      device.addNote({ title: "Diary", state: "on-relay" });
      device.statusNow = { ...device.statusNow, word: "sending", waiting: 2 };
      device.log = [{ at: 0, level: "warn", text: "The relay lost some recent data." }];
      device.reportNow = {
        ...device.reportNow,
        notes: { "saved-here": 1, "on-relay": 1, "seen-elsewhere": 0 },
        pushes: { taken: 12, refused: 1 },
        retries: [
          { reason: "broken", times: 3 },
          { reason: "RATE", times: 1 },
        ],
        times: { ...device.reportNow.times, push: { count: 12, p50: 31, p95: 1_240, p99: 2_000 } },
        divergence: { checks: 4, found: 0 },
        conflicts: { found: 3, open: 1, reviewed: 2 },
        quarantine: [{ at: 0, reason: "its author is not known here", bytes: 120 }],
      };
    });
    await openSheet();
    expect(fact("Relay")).toBe("relay.example connected");
    expect(fact("Waiting")).toContain("2 changes, in 1 note");
    expect(fact("Notes")).toBe("0 seen on another device, 1 on the relay, 1 only here");
    expect(fact("Taken by the relay")).toBe("12 sealed entries, 1 refused");
    expect(fact("Tried again")).toContain("the connection broke3");
    expect(fact("Tried again")).toContain("the relay asked to slow down1");
    expect(fact("Compared")).toBe("With other devices, 4 times: no difference");
    expect(fact("Changed in two places at once")).toContain("1 to look at, 2 reviewed");
    expect(fact("Kept aside")).toContain("its author is not known here");
    expect(textOf(document.querySelector("dialog table"))).toContain("31 ms1.2 s");
    expect(textOf(named("section", "What happened"))).toContain("The relay lost some recent data.");
    // A note that waits is a click away.
    await click("button", "Plan 2");
    expect(app.navigation.sheet).toBeNull();
    expect(app.current.title).toBe("Plan");
  });

  it("copies a report without texts of notes", async () => {
    const { copied } = await setupScreen((device) => {
      device.addNote({ title: "Secret title", body: "Secret body", waiting: 1 });
    });
    await openSheet();
    await click("button", "Copy report");
    expect(copied[0]).toContain("Sealeaf sync report");
    expect(copied[0]).not.toContain("Secret");
  });

  it("switches to working offline and back, and the footer says that it was chosen", async () => {
    const { device } = await setupScreen((made) => {
      made.statusNow = { ...made.statusNow, waiting: 3 };
    });
    await openSheet();
    const toggle = document.querySelector<HTMLInputElement>("dialog input[role=switch]");
    if (toggle === null) throw new Error("there is no switch");
    toggle.click();
    await shown();
    expect(device.statusNow.workingOffline).toBe(true);
    expect(textOf(named("[role=status]", "Sync status"))).toBe("Offline, 3 waiting");
    toggle.click();
    await shown();
    expect(device.statusNow.workingOffline).toBe(false);
  });
});

describe("one note's sync", () => {
  it("is reached from its menu and says who has seen it", async () => {
    await setupScreen((device) => {
      device.addNote({ title: "Plan", state: "seen-elsewhere", seenBy: ["Ben"] });
      device.noteSyncNow = {
        seenBy: [{ name: "Ben", at: 0 }],
        quarantine: [{ at: 0, reason: "a change in it is malformed", bytes: 9 }],
        conflicts: { open: 1, reviewed: 0 },
      };
    });
    await click("button", "More about this note");
    await click("[role=menuitem]", "This note’s sync");
    expect(textOf(document.querySelector("dialog"))).toContain("and seen by Ben.");
    expect(fact("Seen by")).toContain("Ben");
    expect(fact("Kept aside")).toContain("a change in it is malformed");
    expect(fact("Changed in two places at once")).toContain("1 passage to look at");
  });

  it("is reached from what is said of a change that is kept aside", async () => {
    await setupScreen((device) => device.addNote({ title: "Plan", quarantined: 1 }));
    await click("button", "Details");
    expect(textOf(document.querySelector("dialog h2"))).toBe("This note’s sync");
  });
});

describe("words of synchronising", () => {
  const row = { waiting: 0, seenBy: [], here: true };
  const status = { durable: true, workingOffline: false };

  it("say how far a note has come, the safe part first", () => {
    expect(noteSyncSentence(row, "here", status)).toBe("Saved on this device.");
    expect(noteSyncSentence({ ...row, waiting: 2 }, "waiting", status)).toBe(
      "Saved on this device. 2 changes wait to be sent to the relay.",
    );
    expect(
      noteSyncSentence({ ...row, waiting: 1 }, "waiting", { ...status, workingOffline: true }),
    ).toContain("You chose to work offline.");
    expect(noteSyncSentence(row, "relay", status)).toBe("Saved on this device and on the relay.");
    expect(noteSyncSentence({ ...row, seenBy: ["Ben"] }, "seen", status)).toBe(
      "Saved on this device, on the relay, and seen by Ben.",
    );
    expect(noteSyncSentence({ ...row, here: false }, "relay", status)).toContain("has not come");
  });

  it("claim no saving where nothing is kept", () => {
    for (const tick of ["here", "waiting", "relay", "seen"] as const) {
      expect(noteSyncSentence(row, tick, { ...status, durable: false })).not.toMatch(/saved/i);
    }
  });

  it("tell of several relays what belongs to each", () => {
    const relay = {
      relay: "wss://relay.example/v1",
      isOwn: true,
      word: "sending",
      detail: "",
      connected: true,
      waiting: 2,
      notebooks: 1,
      lastAckAt: null,
    } as const;
    expect(relayText(relay)).toBe("connected, 1 notebook, 2 waiting");
    expect(relayText({ ...relay, connected: false, waiting: 0, notebooks: 3 })).toBe(
      "not connected, 3 notebooks",
    );
  });

  it("count as people do", () => {
    expect(waitingText(0, 0)).toBe("Nothing");
    expect(waitingText(1, 1)).toBe("1 change, in 1 note");
    expect(divergenceText({ checks: 0, found: 0 })).toBe("With nobody yet");
    expect(divergenceText({ checks: 9, found: 1 })).toContain("1 difference found and put right");
    expect(conflictText({ found: 0, open: 0, reviewed: 0 })).toBe("No passage");
    expect(noteConflictText({ open: 0, reviewed: 2 })).toBe("2 passages, reviewed");
    expect(asideText(2)).toContain("2 changes could not be applied");
  });

  it("give no initials to this person's own devices", () => {
    expect(peopleAmong(["another device", "Ben"])).toEqual(["Ben"]);
  });
});
