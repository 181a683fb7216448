/** The platform under the application, in real Chromium: tabs and their leader, offline use, updates, policy. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Page } from "playwright";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { precacheList } from "#client/build/service-worker.ts";
import { launchPerson } from "#tests/support/browser.ts";
import { buildConnectionPage } from "#tests/support/connection-page.ts";
import { startStaticServer } from "#tests/support/static-server.ts";

let scratch = "";
let firstVersion = "";
let secondVersion = "";

beforeAll(async () => {
  scratch = mkdtempSync(path.join(tmpdir(), "sealeaf-platform-"));
  firstVersion = await buildPage("first");
  secondVersion = await buildPage("second");
});

afterAll(() => rmSync(scratch, { recursive: true, force: true }));

async function buildPage(version: string): Promise<string> {
  const outDir = path.join(scratch, version);
  await buildConnectionPage(outDir, version);
  return outDir;
}

function profile(): string {
  return mkdtempSync(path.join(scratch, "profile-"));
}

async function open(tab: Page, origin: string): Promise<void> {
  await tab.goto(origin);
  await tab.waitForSelector("body[data-ready]", { state: "attached" });
}

/** Which leader answers: a name of its own for every start of the fake device. */
function leaderOf(tab: Page): Promise<string> {
  return tab.evaluate(async () => (await window.connection.api.info()).displayName);
}

/** As the browser reports it when another tab or window covers this one. */
async function setVisible(tab: Page, visible: boolean): Promise<void> {
  await tab.evaluate(
    (state) => {
      Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    },
    visible ? "visible" : "hidden",
  );
}

function waitForOtherLeader(tab: Page, former: string): Promise<string> {
  return tab.evaluate(async (name) => {
    for (;;) {
      const { displayName } = await window.connection.api.info();
      if (displayName !== name) return displayName;
    }
  }, former);
}

describe("tabs of one browser", () => {
  it("share one leader and hear its events", async () => {
    const server = await startStaticServer(firstVersion);
    await using person = await launchPerson(profile());
    await open(person.page, server.origin);
    const other = await person.newTab();
    await open(other, server.origin);

    expect(await leaderOf(other)).toBe(await leaderOf(person.page));
    await person.page.evaluate(() => window.connection.api.createNotebook("Garden"));
    await other.waitForFunction(() => window.events.includes("notebooks"));
    expect(await other.evaluate(() => window.connection.state.kind)).toBe("connected");

    await person.close();
    await server.close();
  });

  it("go on with another leader when the leader's tab is closed, and an unanswered call is answered", async () => {
    const server = await startStaticServer(firstVersion);
    await using person = await launchPerson(profile());
    await open(person.page, server.origin);
    const other = await person.newTab();
    await open(other, server.origin);
    const former = await leaderOf(other);

    const answer = other.evaluate(
      async () => (await window.connection.api.createNotebook("hang")).id,
    );
    await other.waitForFunction(() => window.events.includes("notebooks"));
    await person.page.close();

    expect(await answer).not.toBe(former);
    expect(await other.evaluate(() => window.restarts)).toBe(1);

    await person.close();
    await server.close();
  });

  it("hand over to the tab in sight when the leader's tab is hidden", async () => {
    const server = await startStaticServer(firstVersion);
    await using person = await launchPerson(profile());
    await open(person.page, server.origin);
    const other = await person.newTab();
    await open(other, server.origin);
    const former = await leaderOf(other);

    await setVisible(person.page, false);
    const next = await waitForOtherLeader(other, former);
    // Closing the former leader's tab changes nothing: the leader is the tab in sight.
    await person.page.close();
    expect(await leaderOf(other)).toBe(next);

    await person.close();
    await server.close();
  });

  it("hand over when a tab comes into sight while the leader's is hidden", async () => {
    const server = await startStaticServer(firstVersion);
    await using person = await launchPerson(profile());
    await open(person.page, server.origin);
    const former = await leaderOf(person.page);
    await setVisible(person.page, false);
    expect(await leaderOf(person.page)).toBe(former);

    const other = await person.newTab();
    await open(other, server.origin);
    expect(await waitForOtherLeader(other, former)).not.toBe(former);

    await person.close();
    await server.close();
  });

  it("tell the leader of a tab that has gone", async () => {
    const server = await startStaticServer(firstVersion);
    await using person = await launchPerson(profile());
    await open(person.page, server.origin);
    const other = await person.newTab();
    await open(other, server.origin);
    const session = await other.evaluate(() => window.connection.session);
    await leaderOf(other);
    await other.close();

    const noticed = await person.page.evaluate(async (gone) => {
      for (;;) {
        const log = await window.connection.api.syncLog();
        if (log.length > 0) return log.map(({ text }) => text === gone);
      }
    }, session);
    expect(noticed).toEqual([true]);

    await person.close();
    await server.close();
  });
});

describe("a browser without shared workers", () => {
  it("says that another window holds the notes, and goes on when that window is closed", async () => {
    const server = await startStaticServer(firstVersion);
    await using person = await launchPerson(profile());
    await person.context.addInitScript(() => {
      Reflect.deleteProperty(window, "SharedWorker");
    });
    await open(person.page, server.origin);
    expect(await leaderOf(person.page)).not.toBe("");
    const other = await person.newTab();
    await open(other, server.origin);
    await other.waitForFunction(() => window.connection.state.kind === "held-elsewhere");

    const answer = leaderOf(other);
    await person.page.close();
    expect(await answer).not.toBe("");
    expect(await other.evaluate(() => window.connection.state.kind)).toBe("connected");

    await person.close();
    await server.close();
  });
});

describe("the service worker", () => {
  it("lists exactly the files of the build", () => {
    const list = Object.keys(precacheList(firstVersion));
    const script = readFileSync(path.join(firstVersion, "sw.js"), "utf8");
    expect(list).toContain("./");
    for (const file of list) expect(script).toContain(file);
  });

  it("opens the page, its worker and its broker without a network, deep links too", async () => {
    const server = await startStaticServer(firstVersion);
    await using person = await launchPerson(profile());
    await open(person.page, server.origin);
    await person.page.evaluate(() => navigator.serviceWorker.ready.then(() => {}));
    await server.close();

    await open(person.page, `${server.origin}/note/abc?from=bookmark`);
    expect(await leaderOf(person.page)).not.toBe("");

    await person.close();
  });

  it("offers a new version, and changes to it only when asked", async () => {
    const server = await startStaticServer(firstVersion);
    await using person = await launchPerson(profile());
    await open(person.page, server.origin);
    await person.page.evaluate(() => navigator.serviceWorker.ready.then(() => {}));
    server.deploy(secondVersion);
    await open(person.page, server.origin);
    expect(await version(person.page)).toBe("first");
    await person.page.waitForFunction(() => window.applyUpdate !== undefined);
    await open(person.page, server.origin);
    expect(await version(person.page)).toBe("first");

    await person.page.waitForFunction(() => window.applyUpdate !== undefined);
    const reloaded = person.page.waitForEvent("load");
    await person.page.evaluate(() => window.applyUpdate?.());
    await reloaded;
    await person.page.waitForSelector("body[data-ready]", { state: "attached" });
    expect(await version(person.page)).toBe("second");

    await person.close();
    await server.close();
  });

  it("keeps the old version when a deployment is half finished", async () => {
    const server = await startStaticServer(firstVersion);
    await using person = await launchPerson(profile());
    await open(person.page, server.origin);
    await person.page.evaluate(() => navigator.serviceWorker.ready.then(() => {}));

    const broken = await buildPage("broken");
    writeFileSync(path.join(broken, "index.html"), "<!doctype html><title>cut off");
    server.deploy(broken);
    const installed = await person.page.evaluate(async () => {
      const registration = await navigator.serviceWorker.ready;
      await registration.update();
      const { installing } = registration;
      if (installing === null) return "nothing to install";
      return new Promise<string>((resolve) => {
        installing.addEventListener("statechange", () => resolve(installing.state));
      });
    });
    expect(installed).toBe("redundant");
    await server.close();
    await open(person.page, server.origin);
    expect(await version(person.page)).toBe("first");
    const caches = await person.page.evaluate(async () => (await window.caches.keys()).length);
    expect(caches).toBe(1);

    await person.close();
  });
});

describe("the policy of the page", () => {
  it("is enforced: a script address as plain text is refused and reported", async () => {
    const server = await startStaticServer(firstVersion);
    const person = await launchPerson(profile());
    await open(person.page, server.origin);
    const refused = await person.page.evaluate(() => {
      try {
        new Worker("/assets/any.js");
        return "accepted";
      } catch (error) {
        return (error as Error).name;
      }
    });
    expect(refused).toBe("TypeError");
    // The same collection of errors is what keeps every other test at zero violations.
    await expect(person.close()).rejects.toThrow(/policy violation|TrustedScriptURL/);
    await server.close();
  });
});

function version(tab: Page): Promise<string> {
  return tab.evaluate(() => window.pageVersion);
}
