/** What each command does to a device, and what it prints. */
import type { RelayStatus, SyncStatus, TextPart } from "#client/device/api.ts";
import type { Device } from "#client/device/device.ts";
import { refuse } from "#client/device/refusal.ts";
import { hostOf } from "#client/device/relay-address.ts";
import { measureLines, notMeasured, syncWords } from "#client/device/report-words.ts";
import type { Clock } from "#client/sync/ports.ts";
import { done, linesOf, mustKnowRelay, type Answer } from "./answer.ts";
import type { Command } from "./command-line.ts";
import { bytesInWords } from "#client/notes/bytes-in-words.ts";
import { conflictsText } from "./conflicts.ts";
import { exchange, type Exchange } from "./exchange.ts";
import { exitCodes } from "./failure.ts";
import {
  checkWords,
  foundByWords,
  linkDevice,
  listDevices,
  nameDevice,
  removeDevice,
  showWords,
  shutOthersOut,
} from "./own-devices.ts";
import { runPeopleCommand } from "./people-commands.ts";
import { relayInfoText } from "./relay-info.ts";
import { splicesBetween } from "#client/notes/text-diff.ts";

/**
 * Every command that a device alone carries out. Failures are refusals.
 * @param input standard input, "" for commands that take none
 */
export async function runCommand(
  device: Device,
  clock: Clock,
  command: Exclude<
    Command,
    { readonly name: "watch" | "passphrase" | "doctor" | "backup" | "restore-backup" }
  >,
  input: string,
): Promise<Answer> {
  switch (command.name) {
    case "init": {
      if (device.hasIdentity) {
        refuse(
          "refused",
          "This home has an identity already. Use another directory for a new one.",
        );
      }
      const phrase = device.create().join(" ");
      // The first notebook gets its name in the background.
      await device.describeStale();
      return done(
        { phrase, relay: device.relayUrl },
        `${phrase}\n\nThese 24 words are the only way back in if you lose every device. Write them down, then run words check: until then they stay in this home.\n`,
      );
    }
    case "restore":
      mustKnowRelay(device);
      if (!command.isSure) return foundByWords(device, input);
      await device.restore(input);
      return done({ restored: true }, oneOfYours);
    case "become":
      await device.becomeDevice(command.link);
      return done({ restored: true }, oneOfYours);
    case "shut-out-others":
      mustKnowRelay(device);
      return shutOthersOut(device, input);
    case "new": {
      const { id } = await device.createNote({
        title: command.title,
        body: input,
        ...(command.notebook === null ? {} : { notebook: command.notebook }),
      });
      return done({ id }, `${id}\n`);
    }
    case "ls": {
      await device.describeStale();
      const rows = (await device.notes()).filter((row) => !row.trashed);
      const alone = new Set(
        (await device.notebooks()).filter(({ single }) => single).map(({ id }) => id),
      );
      const list = rows.map(({ id, title, notebook, updatedAt, state }) => ({
        id,
        title,
        notebook,
        sharedAlone: alone.has(notebook),
        updatedAt,
        state,
      }));
      const line = (row: (typeof rows)[number]): string => {
        const shared = alone.has(row.notebook) ? "  shared" : "";
        return `${row.id}  ${marks[row.state]}  ${row.title || row.preview}${shared}`;
      };
      return done(list, linesOf(rows.map(line)));
    }
    case "search":
      return found(device, command.query);
    case "cat": {
      const { id, title, body, heads } = await device.readNote(command.id);
      const row = (await device.notes()).find((other) => other.id === id);
      const trouble = setAsideText(row?.quarantined ?? 0);
      return { ...done({ id, title, body, heads }, body), trouble };
    }
    case "edit":
      return edit(device, command.id, command.base, input);
    case "rm":
      await device.trashNote(command.id);
      return done({ id: command.id, trashed: true }, `${command.id} is in the trash.\n`);
    case "notebooks": {
      const rows = (await device.notebooks()).filter(({ single }) => !single);
      const line = (row: (typeof rows)[number]): string => {
        const shared = row.shared ? "shared" : "";
        return `${row.id}  ${row.role}  ${counted(row.notes, "note")}  ${row.name} ${shared}`;
      };
      return done(rows, linesOf(rows.map((row) => line(row).trimEnd())));
    }
    case "people":
    case "links":
    case "share":
    case "revoke":
    case "remove":
    case "role":
    case "leave":
    case "delete-notebook":
    case "restore-notebook":
    case "keep-copy":
    case "authors":
    case "renewals":
      return runPeopleCommand(device, clock, command);
    case "join": {
      const { notebook } = await device.join(command.link);
      return done({ notebook }, `Joined. Run sync to fetch its notes (notebook ${notebook}).\n`);
    }
    case "name": {
      await device.setDisplayName(command.displayName);
      const { displayName } = await device.info();
      return done({ name: displayName }, `Others see you as ${displayName}.\n`);
    }
    case "words":
      return command.check ? checkWords(device, input) : showWords(device);
    case "devices":
      switch (command.act) {
        case "name":
          return nameDevice(device, command.deviceName);
        case "remove":
          mustKnowRelay(device);
          return removeDevice(device, command.id);
        case "list":
          return listDevices(device);
      }
    case "device-link":
      mustKnowRelay(device);
      return linkDevice(device, command.act);
    case "redeem":
      if (command.relay === null) mustKnowRelay(device);
      await device.redeemInvite(command.invite, command.relay);
      return done({ redeemed: true }, "The relay has let you in. Run sync to send what waits.\n");
    case "sync": {
      mustKnowRelay(device);
      return synced(await exchange(device, clock, command.timeoutMs), device.relayUrl);
    }
    case "relay-info": {
      mustKnowRelay(device);
      const info = await device.relayInfo();
      const trouble = info.trouble === "" ? "" : `${info.trouble}\n`;
      return { ...done(info, relayInfoText(info)), trouble };
    }
    case "relays": {
      const { relays } = await device.status();
      return done(relays, linesOf(relays.map(relayLine)));
    }
    case "move-home": {
      const { notebook } = await device.moveHome(command.notebook, command.relay);
      // The old relay tells the others: it should know by then.
      const { outcome } = await exchange(device, clock, null);
      const trouble =
        outcome === "done"
          ? ""
          : "The others are not told yet: they are once this home has reached the old relay. Run sync when you are online.\n";
      const text = `The notebook is ${notebook} at ${hostOf(command.relay)} now. Links to it have to be made anew.\n`;
      return { ...done({ notebook }, text), trouble };
    }
    case "status": {
      const report = await device.syncReport();
      const setAside = report.quarantine.length;
      const { files, free } = await device.storage();
      const relay = report.relay ?? (device.relayUrl === null ? null : hostOf(device.relayUrl));
      const text = [
        statusText({ ...report, relay: device.relayUrl }),
        linesOf(measureLines(report).filter((line) => !line.endsWith(notMeasured))),
        setAsideText(setAside),
        storageText(files, free),
      ].join("");
      return done({ ...report, relay, setAside, storage: { bytes: files, free } }, text);
    }
    case "conflicts": {
      if (command.reviewed !== null) {
        await device.markReviewed(command.reviewed);
        return done({ id: command.reviewed, reviewed: true }, `${command.reviewed} is reviewed.\n`);
      }
      await device.describeStale();
      const rows = await device.conflicts(command.note ?? undefined);
      const titles = new Map((await device.notes()).map(({ id, title }) => [id, title]));
      return done(rows, conflictsText(rows, titles));
    }
    case "offline":
      await device.workOffline(command.offline);
      return done(
        { workingOffline: command.offline },
        command.offline
          ? "Nothing is exchanged with the relay until you say sealeaf offline off.\n"
          : "This home may use the relay again. Run sync to exchange what has come together.\n",
      );
  }
}

const oneOfYours = "This device is one of yours now. Run sync to fetch your notes.\n";

function relayLine({ relay, isOwn, notebooks, waiting, word }: RelayStatus): string {
  const own = isOwn ? "  own" : "";
  const waits = waiting === 0 ? "" : `, ${counted(waiting, "change")} waiting`;
  return `${relay}  ${counted(notebooks, "notebook")}  ${syncWords[word]}${waits}${own}`;
}

const marks = { "saved-here": "✓  ", "on-relay": "✓✓ ", "seen-elsewhere": "✓✓+" } as const;

const mostFound = 50;

/** One line for each note, and one for the piece of it that says it. */
async function found(device: Device, query: string): Promise<Answer> {
  const answer = await device.searchAll(query, mostFound);
  const rows = new Map((await device.notes()).map((row) => [row.id, row]));
  const hits = answer.hits.map(({ id, title, snippet }) => {
    const row = rows.get(id);
    return {
      id,
      title: textOf(title),
      notebook: row?.notebook ?? null,
      updatedAt: row?.updatedAt ?? null,
      snippet,
    };
  });
  const lines = hits.flatMap(({ id, title, snippet }) => [
    `${id}  ${title || "Untitled"}`,
    ...(snippet.length === 0 ? [] : [`    ${textOf(snippet)}`]),
  ]);
  const isCut = answer.isMore || answer.total > hits.length;
  const trouble = linesOf([
    ...answer.remarks,
    ...(isCut ? ["There are more: say more words."] : []),
  ]);
  return { ...done({ hits, total: answer.total, isMore: answer.isMore }, linesOf(lines)), trouble };
}

function textOf(parts: readonly TextPart[]): string {
  return parts.map(({ text }) => text).join("");
}

/** The new text against the version it was made from: nobody's newer text is touched. */
async function edit(
  device: Device,
  id: string,
  base: readonly string[] | null,
  input: string,
): Promise<Answer> {
  const before =
    base === null
      ? await device.readNote(id)
      : { ...(await device.readNoteAt(id, base)), heads: base };
  const splices = splicesBetween(before.body, input.replace(/\r\n?/g, "\n"));
  const { title, body, heads } =
    splices.length === 0
      ? await device.readNote(id)
      : await device.spliceNote(
          id,
          before.heads,
          splices.map((splice) => ({ field: "body" as const, ...splice })),
        );
  // The text that stands at these heads goes along: it may hold more than was put in.
  return done({ id, title, body, heads }, `${id}\n`);
}

function synced({ outcome, status: told }: Exchange, relay: string | null): Answer {
  const status = { ...told, relay };
  const waits =
    status.waiting === 0
      ? "Nothing that was written here waits."
      : `${counted(status.waiting, "change")} ${status.waiting === 1 ? "waits" : "wait"} to be sent.`;
  switch (outcome) {
    case "done":
      return done(status, statusText(status));
    case "refused":
      return {
        json: status,
        text: "",
        code: exitCodes.refused,
        trouble: `${status.detail} ${waits}\n`,
      };
    case "unfinished": {
      const why =
        status.detail === "" ? "The relay did not answer everything in time." : status.detail;
      return { json: status, text: "", code: exitCodes.offline, trouble: `${why} ${waits}\n` };
    }
  }
}

function statusText(status: SyncStatus): string {
  const waiting = status.waiting === 0 ? "" : `, ${counted(status.waiting, "change")} waiting`;
  const relay = status.relay === null ? "No relay is known yet" : `Relay: ${status.relay}`;
  const lines = [`${syncWords[status.word]}${waiting}`, status.detail, relay];
  return linesOf(lines.filter((line) => line !== ""));
}

/** What could not be applied: a line for a person, "" if nothing. */
function setAsideText(changes: number): string {
  if (changes === 0) return "";
  const are = changes === 1 ? "is" : "are";
  return `${counted(changes, "change")} could not be applied and ${are} kept aside; the rest is whole.\n`;
}

/** @param free null where it is not known */
function storageText(bytes: number, free: number | null): string {
  const left = free === null ? "" : `, ${bytesInWords(free)} free`;
  return `On disk: ${bytesInWords(bytes)}${left}\n`;
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
