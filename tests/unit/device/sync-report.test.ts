import { describe, expect, it } from "vitest";
import { reportText, withoutSecrets } from "#client/device/report-words.ts";
import { documentIdToText } from "#crdt-store/document-id.ts";
import { toHex } from "#relay/protocol/bytes.ts";
import { startTestRelay } from "#tests/support/relay.ts";
import { eventually, onlyNotebook, refusalOf, setupDevice } from "./setup-device.ts";

const canaries = {
  title: "titlecanary",
  body: "bodycanary",
  tag: "tagcanary",
  notebook: "notebookcanary",
  person: "personcanary",
};

describe("the sync report", { timeout: 60_000 }, () => {
  it("counts and times what passed between this device and its relay", async () => {
    const relay = await startTestRelay();
    await using fixture = await setupDevice({ relayUrl: relay.url });
    const { device } = fixture;
    expect(await device.settled(20_000)).toBe(true);
    await device.createNote({ title: "Tent" });
    expect(await device.settled(20_000)).toBe(true);
    await device.shown([12, 18]);
    const report = await device.syncReport();
    expect(report).toMatchObject({ word: "up-to-date", waiting: 0, waitingNotes: 0 });
    expect(report.notes).toEqual({ "saved-here": 0, "on-relay": 1, "seen-elsewhere": 0 });
    expect(report.pushes.taken).toBeGreaterThan(0);
    expect(report.pushes.refused).toBe(0);
    expect(report.times.push?.count).toBeGreaterThan(0);
    expect(report.times.pull?.count).toBeGreaterThan(0);
    expect(report.times.upToDate?.count).toBe(1);
    expect(report.times.acknowledged?.count).toBeGreaterThan(0);
    expect(report.times.shown?.count).toBe(2);
    await relay.stop();
    const broken = await eventually(device, async () => {
      const { retries } = await device.syncReport();
      return retries.length > 0 && retries;
    });
    expect(broken.map(({ reason }) => reason)).toContain("broken");
  });

  it("counts what waits, by change and by note", async () => {
    await using fixture = await setupDevice();
    const { device } = fixture;
    await device.createNote({ title: "Tent" });
    await device.createNote({ title: "Stove" });
    const report = await device.syncReport();
    expect(report.waiting).toBe((await device.status()).waiting);
    expect(report).toMatchObject({ waitingNotes: 2, relay: null });
    expect(report.times.acknowledged).toBeNull();
  });

  it("goes on counting in the next process", async () => {
    const relay = await startTestRelay();
    const first = await setupDevice({ relayUrl: relay.url });
    await first.device.settled(20_000);
    const { taken } = (await first.device.syncReport()).pushes;
    await first[Symbol.asyncDispose]();
    await using second = await setupDevice({ files: first.files });
    expect((await second.device.syncReport()).pushes.taken).toBe(taken);
    await relay.stop();
  });

  it("holds no text, no name, no id, no key and no more of an address than the host", async () => {
    const relay = await startTestRelay();
    await using fixture = await setupDevice({ relayUrl: relay.url });
    const { device, store } = fixture;
    await device.setDisplayName(canaries.person);
    const notebook = await device.createNotebook(canaries.notebook);
    const body = `${canaries.body} #${canaries.tag}`;
    const { id } = await device.createNote({
      notebook: notebook.id,
      title: canaries.title,
      body,
    });
    const { link } = await device.share(notebook.id, "edit");
    const words = await device.words();
    await device.settled(20_000);
    const spaces = store.spaces.list();
    const secrets = [
      ...Object.values(canaries),
      ...(words ?? []).map((word) => ` ${word} `),
      id,
      notebook.id,
      link.slice(link.indexOf("#")),
      relay.url,
      new URL(relay.url).pathname,
      ...spaces.flatMap(({ id: space, capSecret }) => [
        toHex(space),
        ...(capSecret === null ? [] : [toHex(capSecret)]),
      ]),
      ...store.changes.documents().flatMap((doc) => [toHex(doc), documentIdToText(doc)]),
    ];
    // What other parts may one day write into the log or the reason, on top of what is there.
    store.syncLog.add("warning", `Relay ${relay.url} refused ${notebook.id} by ${link}.`);
    store.inbox.quarantine({
      space: spaces[0]?.id ?? null,
      pos: 1,
      doc: null,
      entryId: null,
      reason: `its author ${notebook.id} is not known here`,
      bytes: new TextEncoder().encode(canaries.body),
      signer: null,
    });
    const report = await device.syncReport();
    const shown = `${reportText(report)}\n${JSON.stringify(report)}`;
    for (const secret of secrets) expect(shown).not.toContain(secret);
    expect(shown).toContain(new URL(relay.url).host);
    expect(shown).toContain("is not known here");
    // The control: the same words are found where they are.
    expect(JSON.stringify(await device.notes())).toContain(canaries.title);
    await relay.stop();
  });

  it("takes keys, links and paths out of any sentence", () => {
    const key = "k".repeat(43);
    const said = withoutSecrets(
      `https://notes.example/base/#1e.${key}.x and wss://relay.example:8787/a/v1?key=abc refused ${key}`,
    );
    expect(said).toBe("notes.example and relay.example:8787 refused …");
  });
});

describe("working offline", { timeout: 60_000 }, () => {
  it("stops synchronising until it is switched off, over a restart too", async () => {
    const relay = await startTestRelay();
    const first = await setupDevice({ relayUrl: relay.url });
    expect(await first.device.settled(20_000)).toBe(true);
    await first.device.workOffline(true);
    await first.device.createNote({ title: "Tent" });
    const status = await first.device.status();
    expect(status).toMatchObject({
      word: "offline",
      connected: false,
      workingOffline: true,
      relay: relay.url,
    });
    expect(status.waiting).toBeGreaterThan(0);
    expect(status.lastAckAt).not.toBeNull();
    expect(status.detail).toContain("You chose to work offline");
    await first[Symbol.asyncDispose]();

    await using second = await setupDevice({ files: first.files, relayUrl: relay.url });
    const { device } = second;
    await device.setOnline(true);
    expect(await device.status()).toMatchObject({ word: "offline", workingOffline: true });
    const { id } = await onlyNotebook(device);
    expect(await refusalOf(async () => device.share(id, "edit"))).toBeNull();

    await device.workOffline(false);
    expect(await device.settled(20_000)).toBe(true);
    expect(await device.status()).toMatchObject({ word: "up-to-date", workingOffline: false });
    await relay.stop();
  });

  it("refuses what needs the relay, and says why", async () => {
    const relay = await startTestRelay();
    await using other = await setupDevice({ relayUrl: relay.url });
    const { id } = await onlyNotebook(other.device);
    const { link } = await other.device.share(id, "edit");
    expect(await other.device.settled(20_000)).toBe(true);
    await using fixture = await setupDevice({ relayUrl: relay.url });
    await fixture.device.workOffline(true);
    const refused = fixture.device.join(link);
    await expect(refused).rejects.toMatchObject({ code: "offline" });
    await expect(refused).rejects.toThrow(/chose to work offline/);
    await relay.stop();
  });
});
