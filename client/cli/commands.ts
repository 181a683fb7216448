/** What each command does to a device, and what it prints. */
import diff from "fast-diff";
import type { FieldSplice } from "#client/device/api.ts";
import type { Device } from "#client/device/device.ts";
import { refuse } from "#client/device/refusal.ts";
import type { Command } from "./command-line.ts";

/** `json` is printed with --json, `text` without; `offline` makes the exit code 3. */
export interface Answer {
  readonly json: unknown;
  readonly text: string;
  readonly offline: boolean;
}

/** Every command but `watch`. @param input standard input, read only by the commands that want it */
export async function runCommand(
  device: Device,
  command: Exclude<Command, { readonly name: "watch" }>,
  input: () => Promise<string>,
): Promise<Answer> {
  switch (command.name) {
    case "init": {
      const phrase = device.create().join(" ");
      await device.settled(0);
      await device.confirmWords();
      return done(
        { phrase, relay: device.relayUrl },
        `${phrase}\n\nThese 24 words are the only way back in if you lose every device. They are not shown again.`,
      );
    }
    case "restore":
      await device.restore(await input());
      return done(
        { restored: true },
        "This device is one of yours now. Run sync to fetch your notes.",
      );
    case "new": {
      const { id } = await device.createNote({
        title: command.title,
        body: await input(),
        ...(command.notebook === null ? {} : { notebook: command.notebook }),
      });
      return done({ id }, id);
    }
    case "ls": {
      const rows = (await device.notes()).filter((row) => !row.trashed);
      const list = rows.map(({ id, title, notebook, updatedAt, state }) => ({
        id,
        title,
        notebook,
        updatedAt,
        state,
      }));
      return done(
        list,
        rows.map((row) => `${row.id}  ${marks[row.state]}  ${row.title || row.preview}`).join("\n"),
      );
    }
    case "cat": {
      const note = await device.readNote(command.id);
      return done(note, note.body);
    }
    case "edit": {
      const made = await edit(device, command.id, command.base, await input());
      return done({ id: command.id, heads: made.heads }, command.id);
    }
    case "rm":
      await device.trashNote(command.id);
      return done({ id: command.id, trashed: true }, `${command.id} is in the trash.`);
    case "notebooks": {
      const rows = await device.notebooks();
      const shared = (row: { shared: boolean }): string => (row.shared ? "shared" : "");
      return done(
        rows,
        rows
          .map((row) =>
            `${row.id}  ${row.role}  ${row.notes} notes  ${row.name} ${shared(row)}`.trimEnd(),
          )
          .join("\n"),
      );
    }
    case "share": {
      const notebook = command.notebook ?? (await onlyNotebook(device));
      const { link } = await device.share(notebook, command.role);
      return done({ link }, link);
    }
    case "join": {
      const { notebook } = await device.join(command.link);
      return done({ notebook }, `Joined. Run sync to fetch its notes (notebook ${notebook}).`);
    }
    case "name":
      await device.setDisplayName(command.displayName);
      return done(
        { name: (await device.info()).displayName },
        `Others see you as ${(await device.info()).displayName}.`,
      );
    case "sync":
      return await sync(device, command.timeoutMs);
    case "status": {
      const status = await device.status();
      return done(status, statusText(status));
    }
  }
}

const marks = { "saved-here": "✓ ", "on-relay": "✓✓", "seen-elsewhere": "✓✓+" } as const;

function done(json: unknown, text: string): Answer {
  return { json, text, offline: false };
}

/** The new text against the version it was made from: nobody's newer text is touched. */
async function edit(
  device: Device,
  id: string,
  base: readonly string[] | null,
  body: string,
): Promise<{ heads: readonly string[] }> {
  const heads = base ?? (await device.readNote(id)).heads;
  const before = await device.readNoteAt(id, heads);
  const edits = splicesBetween(before.body, body.replace(/\r\n?/g, "\n"));
  if (edits.length === 0) return { heads };
  return device.spliceNote(id, heads, edits);
}

function splicesBetween(before: string, after: string): readonly FieldSplice[] {
  const edits: FieldSplice[] = [];
  let at = 0;
  for (const [kind, text] of diff(before, after)) {
    if (kind === diff.EQUAL) at += text.length;
    else if (kind === diff.DELETE)
      edits.push({ field: "body", at, remove: text.length, insert: "" });
    else {
      edits.push({ field: "body", at, remove: 0, insert: text });
      at += text.length;
    }
  }
  return edits;
}

async function onlyNotebook(device: Device): Promise<string> {
  const own = (await device.notebooks()).filter((row) => row.role === "admin");
  const [first] = own;
  if (first === undefined)
    refuse("no-such-notebook", "This device has no notebook of its own to share.");
  if (own.length > 1)
    refuse("bad-input", "There are several notebooks: say which one (see notebooks).");
  return first.id;
}

async function sync(device: Device, timeoutMs: number): Promise<Answer> {
  if (device.relayUrl === null)
    refuse("bad-relay", "This home knows no relay yet. Say --relay URL once.");
  device.connect();
  const settled = await device.settled(timeoutMs);
  const status = await device.status();
  return { json: status, text: statusText(status), offline: !settled };
}

function statusText(status: Awaited<ReturnType<Device["status"]>>): string {
  const words = {
    "saved-here": "Saved here",
    sending: `Sending ${status.waiting}`,
    "up-to-date": "Up to date",
    offline: `Offline, ${status.waiting} waiting`,
    limited: "Limited",
    "needs-you": "Needs you",
  };
  return [words[status.word], status.detail].filter((part) => part !== "").join("\n");
}
