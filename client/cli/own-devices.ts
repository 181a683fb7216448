/** The commands about a person's words and devices. */
import type { DeviceRow, RemovedDevice } from "#client/device/api.ts";
import type { Device } from "#client/device/device.ts";
import { refuse } from "#client/device/refusal.ts";
import { done, type Answer } from "./answer.ts";
import { exitCodes } from "./failure.ts";

export async function listDevices(device: Device): Promise<Answer> {
  const rows = await device.devices();
  return done(rows, rows.map(deviceLine).join(""));
}

export async function nameDevice(device: Device, name: string): Promise<Answer> {
  await device.setDeviceName(name);
  const own = (await device.devices()).find(({ self }) => self);
  return done({ name: own?.name }, `Your other devices see this one as ${own?.name}.\n`);
}

function deviceLine(row: DeviceRow): string {
  const what = row.kind === "words" ? "your 24 words" : row.name || "a device without a name";
  const seen =
    row.lastSeenAt === null ? [] : [`seen ${new Date(row.lastSeenAt).toISOString().slice(0, 16)}Z`];
  const facts = [row.id, what, ...(row.self ? ["this device"] : seen)];
  return `${facts.join("  ")}\n    ${row.fingerprint}\n`;
}

export async function removeDevice(device: Device, id: string): Promise<Answer> {
  return removedAnswer("The device is out", await device.removeDevice(id));
}

export async function shutOthersOut(device: Device, words: string): Promise<Answer> {
  return removedAnswer("Every other device is out", await device.shutOthersOut(words));
}

/** What is there under the words, for a person to say whether it is theirs; nothing is changed yet. */
export async function foundByWords(device: Device, words: string): Promise<Answer> {
  const found = await device.previewWords(words);
  const { lastChangeAt } = found;
  const last =
    lastChangeAt === null
      ? ""
      : `, last changed ${new Date(lastChangeAt).toISOString().slice(0, 16)}Z`;
  const what = `${counted(found.notebooks, "notebook")}, ${counted(found.devices, "device")}${last}`;
  const trouble = `Found under these words: ${what}.\n`;
  return { json: found, text: "", code: exitCodes.refused, trouble, wants: "yes" };
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

function removedAnswer(what: string, removed: RemovedDevice): Answer {
  const count = counted(removed.notebooks, "notebook");
  const waiting = removed.waiting.map(
    (name) => `${name}: somebody who manages it has to renew your access there.\n`,
  );
  const lines = [`${what}, and the keys of ${count} are renewed.\n`, ...waiting];
  return done(removed, lines.join(""));
}

/** A link for one more device, shown for ten minutes or until `act` ends it. */
export async function linkDevice(device: Device, act: "show" | "cancel"): Promise<Answer> {
  if (act === "cancel") {
    await device.cancelDeviceLink();
    return done({ cancelled: true }, "The link is withdrawn. Run sync to tell the relay.\n");
  }
  const { link, expiresAt } = await device.deviceLink();
  const until = new Date(expiresAt).toISOString().slice(11, 16);
  return {
    ...done({ link, expiresAt }, `${link}\n`),
    trouble: `Whoever opens this link has all your notes: open it on your other device alone, until ${until}Z. Run sync when it is there.\n`,
  };
}

/** The words while they wait to be proved safe. */
export async function showWords(device: Device): Promise<Answer> {
  const words = await device.words();
  if (words === null) {
    refuse("bad-words", "Your words are not on this device: they were proved to be safe before.");
  }
  return done({ words }, `${words.join(" ")}\n`);
}

/** Asks for three of the words, and with them on `input` destroys what is here of them. */
export async function checkWords(device: Device, input: string): Promise<Answer> {
  const asked = await device.wordsCheck();
  const typed = input.trim().split(/[\s,]+/);
  if (input.trim() === "") {
    const trouble = `Type the words ${asked.join(", ")} of your 24, in this order, on one line.\n`;
    return { json: { asked }, text: "", code: exitCodes.refused, trouble, wants: "words" };
  }
  if (typed.length !== asked.length) {
    refuse("bad-words", `Only the words ${asked.join(", ")} are asked for, in this order.`);
  }
  const answers = Object.fromEntries(asked.map((position, ix) => [position, typed[ix] ?? ""]));
  await device.confirmWords(answers);
  return done(
    { safe: true },
    "Right. The words are gone from this device: keep yours where only you find them.\n",
  );
}
