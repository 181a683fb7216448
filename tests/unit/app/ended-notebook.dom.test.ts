// @vitest-environment happy-dom
import { describe, expect, it } from "vitest";

import { click, setupScreen, textOf } from "./screen.ts";

describe("a notebook one was removed from", () => {
  it("offers a copy of one's own, with every note that is here", async () => {
    const { app, device } = await setupScreen((made) => {
      const choir = made.addNotebook("Choir", { state: "ended", role: "read" });
      made.addNote({ title: "Songs", body: "One, two", notebook: choir, updatedAt: 2 });
      made.addNote({ title: "Dates", body: "Tuesday", notebook: choir, updatedAt: 1 });
    });
    expect(textOf(document.querySelector("main"))).toContain(
      "You no longer have access to Choir. What you wrote before is still on this device: keep a copy?",
    );
    await click("button", "Keep a copy");
    const copy = app.notebooks.rows.find(({ name }) => name === "Choir, my copy");
    const copied = app.notes.rows.filter(({ notebook }) => notebook === copy?.id);
    expect(new Set(copied.map(({ id }) => JSON.stringify(device.text(id))))).toEqual(
      new Set([
        JSON.stringify({ title: "Dates", body: "Tuesday" }),
        JSON.stringify({ title: "Songs", body: "One, two" }),
      ]),
    );
    expect(app.notes.filter).toEqual({ type: "notebook", id: copy?.id });
  });
});
