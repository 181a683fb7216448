/** Bad input in the app: a clear sentence each, and nothing lost. */
import { createServer } from "node:http";
import { WebSocketServer } from "ws";
import { describe, expect, it } from "vitest";
import {
  joinByLink,
  networkTrouble,
  openApp,
  parts,
  shareNote,
  startProduct,
} from "#tests/support/product.ts";

const trouble = { expectedErrors: networkTrouble };

describe("bad input in the app", () => {
  it("opened over plain http from another host: one sentence, nothing created", async () => {
    await using product = await startProduct();
    const person = await product.person(product.profile("ana"), {
      switches: ["--host-resolver-rules=MAP notes.example 127.0.0.1"],
    });
    await person.page.goto(`http://notes.example:${product.proxy.port}/`);
    const sentence = person.page.getByRole("alert");
    await sentence.waitFor();
    expect(await sentence.innerText()).toMatch(/https:\/\/notes\.example.*localhost/);
    expect(await person.page.getByRole("textbox").count()).toBe(0);
    const made = await person.page.evaluate(async () => ({
      databases: (await indexedDB.databases()).length,
      kept: localStorage.length,
      hasFiles: "getDirectory" in (navigator.storage ?? {}),
      hasServiceWorker: "serviceWorker" in navigator,
    }));
    expect(made).toEqual({ databases: 0, kept: 0, hasFiles: false, hasServiceWorker: false });
  });

  it("a damaged or unknown link is explained and joins nothing", async () => {
    await using product = await startProduct();
    const ana = await product.person(product.profile("ana"), trouble);
    await openApp(ana.page, product.address);
    await parts(ana.page).title.fill("Shared with care");
    const link = await shareNote(ana.page, "Ana");
    const ben = await product.person(product.profile("ben"), trouble);
    const refused = async (bad: string): Promise<string> => {
      await ben.page.goto("about:blank");
      await ben.page.goto(bad);
      const alert = ben.page.getByRole("alert").first();
      await alert.waitFor();
      return alert.innerText();
    };
    expect(await refused(link.slice(0, -4))).toMatch(/damaged/);
    expect(
      await refused(
        link.replace(/#1e\.(.)/, (_, first: string) => `#1e.${first === "A" ? "B" : "A"}`),
      ),
    ).toMatch(/does not open the notebook|damaged/);
    const [head = ""] = link.split("#");
    expect(await refused(`${head}#1e.${"A".repeat(43)}.${"A".repeat(43)}`)).toMatch(
      /not at its relay/,
    );
    // The right link still works, and nothing of the wrong ones is left.
    await ben.page.goto("about:blank");
    await joinByLink(ben.page, link, "Ben", "Shared with care");
    expect(await ben.page.getByText("Shared with care").count()).toBeGreaterThan(0);
  });

  it("wrong words are told apart from words that open nothing here", async () => {
    await using product = await startProduct();
    const ana = await product.person(product.profile("ana"), trouble);
    await openApp(ana.page, product.address);
    await ana.page.getByRole("button", { name: "Settings" }).click();
    await ana.page
      .getByRole("button", { name: /words/i })
      .filter({ hasText: /bring|restore|have/i })
      .first()
      .click();
    const field = ana.page.getByRole("textbox", { name: "Recovery words" });
    const submit = field
      .page()
      .getByRole("dialog")
      .getByRole("button", { name: "Look what they open" });
    const refusalTo = async (words: string): Promise<string> => {
      await field.fill(words);
      await submit.click();
      const alert = ana.page.getByRole("dialog").getByRole("alert");
      await alert.waitFor();
      return alert.innerText();
    };
    const zeros = `${"abandon ".repeat(23)}art`;
    expect(await refusalTo(zeros.replace("art", "zoo"))).toMatch(/do not belong together/);
    expect(await refusalTo(zeros.replace("abandon", "abandonn"))).toMatch(
      /Word 1 .*not in the list/,
    );
    expect(await refusalTo(zeros)).toMatch(/nothing was found/i);
    await ana.page.keyboard.press("Escape");
    await openApp(ana.page, product.address);
    await expect.poll(() => parts(ana.page).status.innerText()).toContain("Up to date");
  });

  it("a relay that is not Sealeaf leaves everything saved here, and says so", async () => {
    await using product = await startProduct();
    const profile = product.profile("ana");
    const ana = await product.person(profile, trouble);
    await openApp(ana.page, product.address);
    await expect.poll(() => parts(ana.page).status.innerText()).toContain("Up to date");
    await product.stopRelay();
    // Something else answers at the relay's address: it echoes what it hears.
    const http = createServer((_, response) => response.end("hello"));
    const echo = new WebSocketServer({ server: http, handleProtocols: () => "sealeaf.v1" });
    echo.on("connection", (socket) => socket.on("message", (data) => socket.send(data)));
    await new Promise<void>((resolve) => {
      http.listen(product.relay().port, "127.0.0.1", resolve);
    });
    await parts(ana.page).body.click();
    await ana.page.keyboard.type("Still mine.");
    await expect
      .poll(() => parts(ana.page).status.innerText(), { timeout: 20_000 })
      .toContain("Offline");
    await parts(ana.page).status.click();
    await ana.page
      .getByText(/not a Sealeaf relay/)
      .first()
      .waitFor();
    for (const socket of echo.clients) socket.terminate();
    http.closeAllConnections();
    await new Promise<void>((resolve) => {
      http.close(() => resolve());
    });
    await product.startRelay();
    await expect
      .poll(() => parts(ana.page).status.innerText(), { timeout: 30_000 })
      .toContain("Up to date");
  });
});
