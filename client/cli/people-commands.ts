/** The commands about people, links and the end of a notebook. */
import type { LinkRow, NoteAuthor, PersonRow, Sharing } from "#client/device/api.ts";
import type { Device } from "#client/device/device.ts";
import { refuse } from "#client/device/refusal.ts";
import type { Clock } from "#client/sync/ports.ts";
import { done, linesOf, mustKnowRelay, type Answer } from "./answer.ts";
import { exchange } from "./exchange.ts";
import type { PeopleCommand } from "./people-line.ts";

export async function runPeopleCommand(
  device: Device,
  clock: Clock,
  command: PeopleCommand,
): Promise<Answer> {
  switch (command.name) {
    case "people": {
      const notebook = await theNotebook(device, command.notebook);
      const { people } = await device.sharing(notebook);
      return done(people, linesOf(people.map(personLine)));
    }
    case "links": {
      const notebook = await theNotebook(device, command.notebook);
      const { links } = await device.sharing(notebook);
      return done(links, linesOf(links.map(linkLine)));
    }
    case "share": {
      mustKnowRelay(device);
      const notebook =
        command.note === null
          ? await theNotebook(device, command.notebook)
          : (await device.shareNote(command.note)).notebook;
      const { expiresInMs, maxJoins, role } = command;
      const expiresAt = expiresInMs === null ? null : clock.now() + expiresInMs;
      const made = await device.share(notebook, role, { expiresAt, maxJoins });
      const later =
        "The relay does not know this link yet: it opens once this home has reached it. Run sync when you are online.\n";
      return told(device, clock, done(made, `${made.link}\n`), later);
    }
    case "revoke": {
      const notebook = await theNotebook(device, command.notebook);
      const { id } = meantLink(await device.sharing(notebook), command.link);
      await device.revokeLink(notebook, id);
      const text = "The link opens the notebook for nobody any more. Who came by it stays.\n";
      return told(device, clock, done({ id, state: "revoked" }, text), notYet);
    }
    case "remove": {
      const notebook = await theNotebook(device, command.notebook);
      const person = meantPerson(await device.sharing(notebook), command.person);
      await device.removePerson(notebook, person.id);
      const text = `${called(person)} can fetch nothing more of this notebook. They keep what they had received.\n`;
      return told(device, clock, done({ id: person.id, removed: true }, text), notYet);
    }
    case "role": {
      const notebook = await theNotebook(device, command.notebook);
      const person = meantPerson(await device.sharing(notebook), command.person);
      await device.setPersonRole(notebook, person.id, command.role);
      const answer = done(
        { id: person.id, role: command.role },
        `${called(person)} ${mayWords[command.role]}.\n`,
      );
      return told(device, clock, answer, notYet);
    }
    case "leave": {
      const notebook = await theNotebook(device, command.notebook, "not-own");
      const isManager = (await device.sharing(notebook)).mayManage;
      await device.leaveNotebook(notebook);
      const text = isManager ? `${leftWords}\n` : `${leftWords} ${stillListedWords}\n`;
      return told(device, clock, done({ notebook, left: true }, text), notYet);
    }
    case "keep-copy": {
      const row = (await device.notebooks()).find(({ id }) => id === command.notebook);
      const kept = await device.keepCopy(command.notebook, `${row?.name || "Notebook"}, my copy`);
      const text = `${kept.notes === 1 ? "One note is" : `${kept.notes} notes are`} in ${kept.notebook} now.\n`;
      return done(kept, text);
    }
    case "authors": {
      await device.describeStale();
      const authors = await device.noteAuthors(command.note);
      return done(authors, linesOf(authors.map(authorLine)));
    }
    case "renewals":
      return command.granted === null ? renewals(device) : grant(device, clock, command.granted);
    case "delete-notebook": {
      await device.deleteNotebook(command.notebook);
      const text =
        "The notebook is deleted for everybody. restore-notebook brings it back within 30 days.\n";
      return told(device, clock, done({ notebook: command.notebook, deleted: true }, text), notYet);
    }
    case "restore-notebook": {
      await device.restoreNotebook(command.notebook);
      const answer = done(
        { notebook: command.notebook, deleted: false },
        "The notebook is back.\n",
      );
      return told(device, clock, answer, notYet);
    }
  }
}

const leftWords = "Your devices do not follow this notebook any more. What is here stays readable.";
const stillListedWords =
  "Until somebody who manages it removes you, the others see you among its people.";

/** Whose access waits for this person, and what of this person's own waits for others. */
async function renewals(device: Device): Promise<Answer> {
  await device.describeStale();
  const report = await device.accessRenewal();
  const names = new Map((await device.notebooks()).map(({ id, name }) => [id, name]));
  const lines = [
    ...report.requests.map(
      ({ renewed, name, notebook, fingerprint }) =>
        `${renewed.slice(0, 12)}  ${name || "(no name yet)"} asks in ${names.get(notebook) ?? notebook}  ${fingerprint}`,
    ),
    ...report.waiting.map(
      ({ name, asked, fingerprint }) =>
        `${name}: ${asked ? "those who manage it are asked to renew your access" : "ask those who manage it to renew your access"}  ${fingerprint}`,
    ),
  ];
  return done(report, linesOf(lines));
}

async function grant(device: Device, clock: Clock, typed: string): Promise<Answer> {
  await device.describeStale();
  const { requests } = await device.accessRenewal();
  const meant = theOne(
    requests.filter(({ renewed }) => isMeant(renewed, typed)),
    "Nobody asks for that (see renewals).",
    "Several keys begin like that: say more of it (see renewals).",
  );
  await device.grantRenewal(meant.notebook, meant.renewed);
  const text = `${meant.name || "Their device"} comes in with the new key; what was used before opens nothing any more.\n`;
  return told(device, clock, done({ renewed: meant.renewed, granted: true }, text), notYet);
}

const notYet =
  "The relay has not been told yet: it holds for the others once this home has reached it. Run sync when you are online.\n";

/** What changes access is told to the relay at once, if it can be reached. */
async function told(device: Device, clock: Clock, answer: Answer, later: string): Promise<Answer> {
  if (device.relayUrl === null) return { ...answer, trouble: later };
  const { outcome } = await exchange(device, clock, null);
  return outcome === "done" ? answer : { ...answer, trouble: later };
}

const mayWords = {
  read: "may read this notebook",
  edit: "may read and write in this notebook",
  admin: "may read, write and change who has access",
} as const;

async function theNotebook(
  device: Device,
  named: string | null,
  which: "own" | "not-own" = "own",
): Promise<string> {
  const all = await device.notebooks();
  if (named !== null) {
    // A note that is shared alone stands for what was made for it.
    const note = (await device.notes()).find(({ id }) => id === named);
    const own = all.find(({ id, single }) => single && id === note?.notebook);
    return own?.id ?? named;
  }
  const rows = all.filter(
    ({ role, state, single }) =>
      !single && state === "active" && (role === "admin") === (which === "own"),
  );
  const [first] = rows;
  if (first === undefined) {
    refuse(
      "no-such-notebook",
      "Say which notebook: none here goes without saying (see notebooks).",
    );
  }
  if (rows.length > 1) {
    refuse("bad-input", "There are several notebooks: say which one (see notebooks).");
  }
  return first.id;
}

function meantPerson({ people }: Sharing, typed: string): PersonRow {
  return theOne(
    people.filter(({ id, name }) => isMeant(id, typed) || name === typed),
    `Nobody with access is called “${shortened(typed)}” (see people).`,
    "Several people are called that: say the id (see people).",
  );
}

function meantLink({ links }: Sharing, typed: string): LinkRow {
  return theOne(
    links.filter(({ id, link }) => isMeant(id, typed) || link === typed),
    "There is no such link in this notebook (see links).",
    "Several links begin like that: say more of the id (see links).",
  );
}

function theOne<T>(found: readonly T[], none: string, several: string): T {
  const [first] = found;
  if (first === undefined) return refuse("bad-input", none);
  return found.length === 1 ? first : refuse("bad-input", several);
}

/** As much of an id as a person likes to type. */
function isMeant(id: string, typed: string): boolean {
  return /^[0-9a-f]{6,64}$/.test(typed) && id.startsWith(typed);
}

function called({ name, id }: PersonRow): string {
  return name === "" ? id.slice(0, 12) : name;
}

function shortened(text: string): string {
  return text.length <= 60 ? text : `${text.slice(0, 60)}…`;
}

function personLine({ id, name, role, self, fingerprint }: PersonRow): string {
  return `${id.slice(0, 12)}  ${role}  ${name === "" ? "(no name yet)" : name}${self ? " (you)" : ""}  ${fingerprint}`;
}

function authorLine(author: NoteAuthor): string {
  const { name, verified, changes, device, fingerprint, statedBy } = author;
  const who = name === "" ? "somebody unknown" : name;
  const how =
    statedBy === null
      ? ""
      : `  as ${statedBy.self ? "you" : statedBy.name || "whoever moved it"} brought it here`;
  const doubt = verified ? "" : "  unverified";
  const key = device === "" ? "not signed" : fingerprint;
  return `${who}${doubt}  ${changes} ${changes === 1 ? "change" : "changes"}  ${key}${how}`;
}

function linkLine({ id, role, state, joins, maxJoins, expiresAt, link }: LinkRow): string {
  const count = maxJoins === null ? `${joins} joined` : `${joins} of ${maxJoins} joined`;
  const end = expiresAt === null ? "" : `  until ${new Date(expiresAt).toISOString()}`;
  return `${id.slice(0, 12)}  ${role}  ${state}  ${count}${end}${link === null ? "" : `  ${link}`}`;
}
