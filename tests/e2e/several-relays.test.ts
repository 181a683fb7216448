/**
 * The app from one relay, a notebook on another below a path: both live at once, one goes on without the other, and in the
 * end the notebook comes home.
 */
import { describe, expect, it } from "vitest";
import { Home, Watch } from "#tests/support/cli.ts";
import {
  bodyText,
  networkTrouble,
  openApp,
  parts,
  startProduct,
  typeAfter,
} from "#tests/support/product.ts";
import { startTestRelay, type TestRelay } from "#tests/support/relay.ts";

const trouble = { expectedErrors: networkTrouble };

/** A relay that is reached below a path, as behind a proxy that passes the path on. */
async function startBelowPath(dir: string, port = 0): Promise<TestRelay & { address: string }> {
  const settings = (at: number) => ({
    access: "open",
    "public-url": `http://localhost:${at}/some/notes/`,
  });
  const first = await startTestRelay({ dir, port, settings: settings(port === 0 ? 1 : port) });
  if (port !== 0) return { ...first, address: `http://localhost:${port}/some/notes/` };
  await first.stop();
  return startBelowPath(dir, first.port);
}

describe("a notebook on another relay than the app's", { timeout: 240_000 }, () => {
  it("lives beside one's own, is missed alone when its relay is down, and comes home", async () => {
    await using product = await startProduct();
    const dir = product.profile("other-relay");
    let other = await startBelowPath(dir);
    using ben = new Home();
    await ben.init(other.address);
    await ben.json(["name", "Ben"]);
    const { id: shared } = await ben.json<{ id: string }>(
      ["new", "--title", "Shared at another relay"],
      "Two poles. ",
    );
    const { link } = await ben.json<{ link: string }>(["share"]);
    expect(link.startsWith(other.address)).toBe(true);

    const ana = await product.person(product.profile("ana"), trouble);
    const { page } = ana;
    const { title, body, list, status, newNote } = parts(page);
    await openApp(page, product.address);
    await title.fill("My own");
    await body.click();
    await page.keyboard.type("At my relay. ");
    await status.getByText("Up to date").waitFor();

    // The link's fragment, opened in the app of one's own relay.
    await page.goto(`${product.address}${link.slice(link.indexOf("#"))}`);
    await page.getByRole("textbox", { name: "Your name, for the others" }).fill("Ana");
    await page.getByRole("button", { name: /^Join/ }).click();
    await list.getByText("Shared at another relay").first().click();
    await expect.poll(() => bodyText(page)).toContain("Two poles.");
    await typeAfter(page, "Two poles.", " And pegs.");
    await status.getByText("Up to date").waitFor();
    await ben.json(["sync"]);
    expect((await ben.read(shared)).body).toContain("And pegs.");

    await other.stop();
    await expect.poll(() => status.innerText()).toContain("Saved here");
    await newNote.click();
    await title.fill("While it was down");
    await status.click();
    await page.getByText(/^localhost:\d+ cannot be reached right now/).waitFor();
    await page.keyboard.press("Escape");
    await list.getByText("Shared at another relay").first().click();
    await typeAfter(page, "And pegs.", " And rope.");
    await expect.poll(() => status.innerText()).toMatch(/Offline, \d+ waiting/);

    other = await startBelowPath(dir, other.port);
    await expect.poll(() => status.innerText(), { timeout: 90_000 }).toContain("Up to date");
    await ben.json(["sync"]);
    expect((await ben.read(shared)).body).toContain("And rope.");

    // Ben gives the notebook a new home: Ana's relay.
    const [row] = await ben.json<readonly { id: string }[]>(["notebooks"]);
    const home = product.address.replace(/\/$/, "");
    const { notebook } = await ben.json<{ notebook: string }>(["move-home", row?.id ?? "", home]);
    expect(notebook).not.toBe(row?.id);
    await expect
      .poll(() => list.getByText("Shared at another relay").count(), { timeout: 30_000 })
      .toBe(1);
    await other.stop();
    await using watch = await Watch.start(ben);
    expect(watch.stderr).toBe("");
    await list.getByText("Shared at another relay").first().click();
    await expect.poll(() => bodyText(page)).toContain("And rope.");
    await typeAfter(page, "And rope.", " And home.");
    await expect
      .poll(
        async () => {
          const [note] = await ben.list();
          return note === undefined ? "" : (await ben.read(note.id)).body;
        },
        { timeout: 30_000 },
      )
      .toContain("And home.");
  });
});
