/** The whole window in happy-dom over a fake device, and how a test finds its way in it. */
import { flushSync, mount, unmount } from "svelte";
import { afterEach } from "vitest";

import Root from "#client/app/ui/Root.svelte";
import type { FakeDevice } from "#tests/support/fake-device.ts";

import { settled, setupApp } from "./setup-app.ts";

const mounted: Record<string, unknown>[] = [];

afterEach(async () => {
  for (const screen of mounted.splice(0)) await unmount(screen);
  document.body.replaceChildren();
});

export async function setupScreen(
  arrange: (device: FakeDevice) => void = () => {},
  link: string | null = null,
) {
  const parts = await setupApp(arrange);
  parts.app.navigation.link = link;
  mounted.push(mount(Root, { target: document.body, props: { app: parts.app } }));
  await parts.app.start({ opensNote: link === null });
  await shown();
  return parts;
}

/** Resolves when what was set in motion is on the screen, however many steps it took. */
export async function shown(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) {
    await settled();
    flushSync();
  }
}

export function textOf(element: Element | null): string {
  return (element?.textContent ?? "").replace(/\s+/g, " ").trim();
}

/** The first element of the selector with that accessible name: its label, or else its text. */
export function named(selector: string, name: string): HTMLElement {
  const found = [...document.querySelectorAll<HTMLElement>(selector)].find(
    (element) => nameOf(element) === name,
  );
  if (found === undefined) throw new Error(`no ${selector} named "${name}"`);
  return found;
}

function nameOf(element: HTMLElement): string {
  const label = element.getAttribute("aria-label");
  if (label !== null) return label;
  const labelling = element.closest("label");
  if (labelling !== null) {
    const words = labelling.querySelector(".visually-hidden") ?? labelling.querySelector("span");
    return textOf(words);
  }
  return textOf(element);
}

export async function click(selector: string, name: string): Promise<void> {
  named(selector, name).click();
  await shown();
}

export async function submit(form: string): Promise<void> {
  document.querySelector(form)?.dispatchEvent(new Event("submit", { cancelable: true }));
  await shown();
}

export async function type(input: HTMLElement, text: string): Promise<void> {
  if (!(input instanceof HTMLInputElement || input instanceof HTMLTextAreaElement)) {
    throw new Error("only fields can be typed in");
  }
  input.value = text;
  input.dispatchEvent(new Event("input", { bubbles: true }));
  input.dispatchEvent(new Event("change", { bubbles: true }));
  await shown();
}

/** Chooses in a list by the option's text. */
export async function choose(select: HTMLElement, text: string): Promise<void> {
  if (!(select instanceof HTMLSelectElement)) throw new Error("only lists can be chosen in");
  const option = [...select.options].find((other) => textOf(other) === text);
  if (option === undefined) throw new Error(`no choice "${text}"`);
  select.selectedIndex = [...select.options].indexOf(option);
  select.dispatchEvent(new Event("change", { bubbles: true }));
  await shown();
}
