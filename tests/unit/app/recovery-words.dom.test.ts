// @vitest-environment happy-dom
import { describe, expect, it } from "vitest";

import { click, named, setupScreen, shown, submit, textOf, type } from "./screen.ts";

const dayMs = 24 * 60 * 60 * 1000;

async function setupWordsSheet() {
  const parts = await setupScreen();
  parts.app.navigation.show({ type: "words" });
  await shown();
  const words = await parts.device.words();
  if (words === null) throw new Error("the words wait on this device");
  const asked = await parts.device.wordsCheck();
  return { ...parts, asked: asked.map((number) => ({ number, word: words[number - 1] })) };
}

describe("the 24 words", () => {
  it("are shown numbered, copied in order, and saved as a file", async () => {
    const { copied, saved, device } = await setupWordsSheet();
    const words = await device.words();
    expect(named("ol", "Recovery words").querySelectorAll("li")).toHaveLength(24);
    await click("button", "Copy");
    expect(copied).toEqual([words?.join(" ")]);
    await click("button", "Download");
    expect(saved).toEqual([{ name: "sealeaf-words.txt", text: expect.stringMatching(/^1\. /) }]);
    expect(saved[0]?.text.split("\n")).toHaveLength(25);
  });

  it("are shown as a QR code only when that is asked for", async () => {
    await setupWordsSheet();
    expect(document.querySelector("dialog svg[role=img]")).toBeNull();
    await click("button", "QR code");
    expect(named("dialog svg", "Your 24 words as a QR code").querySelector("path")).toBeTruthy();
    await click("button", "Hide QR code");
    expect(document.querySelector("dialog svg[role=img]")).toBeNull();
  });

  it("stay on the device until three of them were typed right", async () => {
    const { device, asked } = await setupWordsSheet();
    await click("button", "I have saved them");
    expect(document.querySelector("dialog ol")).toBeNull();
    const [first, second, third] = asked;
    await type(named("input", `Word ${first?.number}`), first?.word ?? "");
    await type(named("input", `Word ${second?.number}`), "zebra");
    await type(named("input", `Word ${third?.number}`), third?.word ?? "");
    await submit("dialog form");
    expect(textOf(document.querySelector("dialog [role=alert]"))).toContain(
      `Word ${second?.number} is not what you saved`,
    );
    expect(device.infoNow.words).toBe("unsaved");

    await type(named("input", `Word ${second?.number}`), ` ${second?.word?.toUpperCase()} `);
    await submit("dialog form");
    expect(device.infoNow.words).toBe("saved");
    expect(document.querySelector("dialog")).toBeNull();
  });

  it("can be looked at again while three are asked for, and put off", async () => {
    const { device } = await setupWordsSheet();
    await click("button", "I have saved them");
    await click("button", "Show the words again");
    expect(named("ol", "Recovery words").querySelectorAll("li")).toHaveLength(24);
    await click("button", "Later");
    expect(device.infoNow.words).toBe("unsaved");
  });

  it("are offered after the first real note, put off with a dot that stays, and offered again after a week", async () => {
    const { app } = await setupScreen((device) => {
      device.addNote({ title: "Plan", body: "Order seeds, and build the second bed in spring." });
    });
    expect(named("aside", "Keep your notes safe")).toBeTruthy();
    await click("button", "Later");
    expect(app.offersWords).toBe(false);
    expect(named("button", "Save your 24 words").querySelector(".amber-dot")).toBeTruthy();
    app.now += 6 * dayMs;
    expect(app.offersWords).toBe(false);
    app.now += dayMs;
    expect(app.offersWords).toBe(true);
  });
});

describe("bringing notes back with the words", () => {
  it("is offered only where none would be replaced", async () => {
    const { app } = await setupScreen((made) => made.addNote({ title: "Mine" }));
    app.navigation.show({ type: "restore" });
    await shown();
    expect(textOf(document.querySelector("dialog"))).toContain("words would replace them");
    expect(document.querySelector("dialog textarea")).toBeNull();
  });

  it("shows what the words open before anything is replaced", async () => {
    const { app, device } = await setupScreen();
    device.foundNow = { notebooks: 3, devices: 1, lastChangeAt: null };
    app.navigation.show({ type: "restore" });
    await shown();
    await type(named("textarea", "Recovery words"), "legal ".repeat(24));
    await submit("dialog form");
    expect(textOf(document.querySelector("dialog [role=status]"))).toBe(
      "These words open 3 notebooks and one device.",
    );
    expect(device.infoNow.words).toBe("unsaved");

    await click("dialog button", "Bring back my notes");
    expect(app.notes.rows.map(({ title }) => title)).toEqual(["Restored"]);
    expect(document.querySelector("dialog")).toBeNull();
  });

  it("leaves everything as it is where other words were meant", async () => {
    const { app, device } = await setupScreen();
    app.navigation.show({ type: "restore" });
    await shown();
    await type(named("textarea", "Recovery words"), "legal ".repeat(24));
    await submit("dialog form");
    await click("dialog button", "Other words");
    expect(named("textarea", "Recovery words")).toBeTruthy();
    expect(device.infoNow.words).toBe("unsaved");
    expect(app.current.note).not.toBeNull();
  });

  it("names a typing error in the device's sentence", async () => {
    const { app, device } = await setupScreen();
    device.refusals.set("previewWords", {
      code: "bad-words",
      message: "Word 3 is not in the list.",
    });
    app.navigation.show({ type: "restore" });
    await shown();
    await type(named("textarea", "Recovery words"), "legal ".repeat(24));
    await submit("dialog form");
    expect(textOf(document.querySelector("dialog [role=alert]"))).toBe(
      "Word 3 is not in the list.",
    );
    expect(app.current.note).not.toBeNull();
  });
});
