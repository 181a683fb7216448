// @vitest-environment happy-dom
/** The lock as one window sees it. */
import { flushSync, mount, unmount } from "svelte";
import { afterEach, describe, expect, it } from "vitest";

import { App } from "#client/app/state/app.svelte.ts";
import Root from "#client/app/ui/Root.svelte";
import type { LockState } from "#client/worker/lock-api.ts";
import type { FakeDevice } from "#tests/support/fake-device.ts";

import { settled, setupApp } from "./setup-app.ts";

const mounted: Record<string, unknown>[] = [];
afterEach(async () => {
  for (const screen of mounted.splice(0)) await unmount(screen);
  document.body.replaceChildren();
});

const open: LockState = { type: "open", hasPassphrase: true, autoLock: 5 };

async function setupScreen(state: LockState, arrange: (device: FakeDevice) => void = () => {}) {
  const parts = await setupApp(arrange);
  parts.lock.state = state;
  mounted.push(mount(Root, { target: document.body, props: { app: parts.app } }));
  const started = parts.app.start({ opensNote: true });
  if (state.type === "open") await started;
  await shown();
  return parts;
}

async function shown(): Promise<void> {
  await settled();
  flushSync();
}

function text(): string {
  return (document.body.textContent ?? "").replace(/\s+/g, " ");
}

function button(name: string): HTMLButtonElement {
  const found = [...document.querySelectorAll("button")].find(
    (element) => element.textContent?.trim() === name,
  );
  if (found === undefined) throw new Error(`no button named "${name}"`);
  return found;
}

async function submitPassphrase(passphrase: string): Promise<void> {
  const field = document.querySelector<HTMLInputElement>("input[type=password]");
  if (field === null) throw new Error("nothing asks for a passphrase");
  field.value = passphrase;
  field.dispatchEvent(new Event("input", { bubbles: true }));
  field.form?.dispatchEvent(new Event("submit", { cancelable: true }));
  for (let turn = 0; turn < 5; turn += 1) await shown();
}

const withNote = (device: FakeDevice): string =>
  device.addNote({ title: "Plan", body: "Nobody else's business" });

describe("a locked window", () => {
  it("shows nothing of the notes until the passphrase, then the notes without loading anew", async () => {
    const { lock, reloads } = await setupScreen({ type: "locked" }, withNote);
    expect(text()).toContain("Your notes are locked");
    expect(text()).not.toContain("business");
    lock.refusal = { code: "wrong-passphrase", message: "This passphrase does not open." };
    await submitPassphrase("not the one");
    expect(document.querySelector("[role=alert]")?.textContent).toContain("does not open");
    await submitPassphrase("four wet green leaves");
    expect(text()).toContain("business");
    expect(reloads()).toBe(0);
  });

  it("offers to remove everything only behind a question that is answered", async () => {
    const { lock, reloads, preferences } = await setupScreen({ type: "locked" });
    preferences.set("theme", "dark");
    button("Forgot it?").click();
    await shown();
    button("Remove everything from this device…").click();
    await shown();
    expect(button("Remove everything").disabled).toBe(true);
    document.querySelector<HTMLInputElement>("input[type=checkbox]")?.click();
    await shown();
    document.querySelector("form")?.dispatchEvent(new Event("submit", { cancelable: true }));
    await shown();
    expect(lock.wipes).toBe(1);
    expect(reloads()).toBe(1);
    expect([...preferences]).toEqual([]);
  });
});

describe("a lock", () => {
  it("hides the notes at once, waits until typing is saved, and loads the page anew", async () => {
    const { app, lock, device, clock, reloads } = await setupScreen(open, withNote);
    app.current.note?.edit("body", [{ at: 0, remove: 0, insert: "Typed. " }]);
    lock.become({ type: "locking" });
    await shown();
    expect(text()).not.toContain("business");
    await clock.pass(100);
    expect(lock.answers).toEqual([true]);
    expect(device.commits).toHaveLength(1);
    expect(reloads()).toBe(0);
    lock.become({ type: "locked" });
    await shown();
    expect(reloads()).toBe(1);
  });

  it("says so when typing cannot be saved, and keeps it if the lock comes all the same", async () => {
    const { app, lock, device, clock, reloads } = await setupScreen(open, withNote);
    const full = { code: "storage" as const, message: "There is no space left." };
    device.commit = () => Promise.reject(full);
    device.draft = () => Promise.reject(full);
    app.current.note?.edit("body", [{ at: 0, remove: 0, insert: "Typed. " }]);
    lock.become({ type: "locking" });
    await clock.pass(2_500);
    expect(lock.answers).toEqual([false]);
    lock.become({ type: "locked" });
    await shown();
    expect(reloads()).toBe(0);
    expect(text()).toContain("Your notes are locked");
    await submitPassphrase("four wet green leaves");
    expect(app.current.note?.text("body")).toBe("Typed. Nobody else's business");
  });

  it("that is refused elsewhere gives the notes back as they were", async () => {
    const { app, lock, clock } = await setupScreen(open, withNote);
    lock.become({ type: "locking" });
    await clock.pass(100);
    lock.become(open);
    await shown();
    expect(text()).toContain("business");
    expect(app.current.note?.text("body")).toBe("Nobody else's business");
  });

  it("shows no empty shell first in a window that knows of the passphrase", async () => {
    const { app } = await setupApp(withNote);
    expect(app.lock.state.type).toBe("open");
    app.lock.receive({ type: "lock", lock: open });
    expect(new App(app.parts).lock.state.type).toBe("locking");
  });
});

describe("input", () => {
  it("is told now and then, and only where the lock waits for its absence", async () => {
    const { app, lock, clock } = await setupScreen(open);
    for (let times = 0; times < 60; times += 1) {
      app.lock.noteInput();
      await clock.pass(100);
    }
    expect(lock.inputs).toBe(2);
    lock.become({ ...open, autoLock: null });
    await clock.pass(10_000);
    app.lock.noteInput();
    expect(lock.inputs).toBe(2);
  });
});

describe("notes without their key", () => {
  it("are explained, and nothing is done by itself", async () => {
    const { lock, reloads } = await setupScreen({ type: "keyless" });
    expect(text()).toContain("The key to your notes is gone");
    expect(text()).toContain("Nothing was deleted here");
    button("Try again").click();
    expect(reloads()).toBe(1);
    expect(lock.wipes).toBe(0);
  });
});
