/** A person in a browser and one on the command line write the same note. */
import { spawn, execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { describe, expect, it } from "vitest";
import {
  bodyText,
  networkTrouble,
  openApp,
  parts,
  shareNote,
  startProduct,
  typeAfter,
} from "#tests/support/product.ts";

const program = resolve(import.meta.dirname, "../../dist/sealeaf.js");

describe("a browser and `sealeaf watch`", () => {
  it("write one note together, go apart, and come back to one text", async () => {
    await using product = await startProduct();
    const home = mkdtempSync(join(tmpdir(), "sealeaf-home-"));
    const ana = await product.person(product.profile("ana"), { expectedErrors: networkTrouble });
    await openApp(ana.page, product.address);
    await parts(ana.page).title.fill("Packing list");
    await parts(ana.page).body.click();
    await ana.page.keyboard.type("Tent and stove for the trip.");
    await expect.poll(() => parts(ana.page).status.innerText()).toContain("Up to date");
    const link = await shareNote(ana.page, "Ana");

    await sealeaf(home, ["--relay", product.address, "init"]);
    await sealeaf(home, ["name", "Ben"]);
    await sealeaf(home, ["join", link]);
    const watch = spawn("node", [program, "--home", home, "watch"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    try {
      const lines = createInterface({ input: watch.stdout });
      await once(lines, "line");
      const note = await waitFor(async () => {
        const rows = JSON.parse(await sealeaf(home, ["--json", "ls"])) as {
          id: string;
          title: string;
        }[];
        return rows.find((row) => row.title === "Packing list");
      });
      const read = async (): Promise<{ body: string; heads: string[] }> =>
        JSON.parse(await sealeaf(home, ["--json", "cat", note.id])) as {
          body: string;
          heads: string[];
        };
      const edit = (body: string, heads: readonly string[]): Promise<string> =>
        sealeaf(home, ["edit", note.id, "--base", heads.join(",")], body);

      // Together.
      const first = await read();
      await edit(first.body.replace("Tent", "Big tent"), first.heads);
      await expect.poll(() => bodyText(ana.page)).toBe("Big tent and stove for the trip.");

      // Apart: both change the same sentence.
      product.proxy.setMode("cut");
      await expect.poll(() => parts(ana.page).status.innerText()).toContain("Offline");
      const apart = await read();
      await typeAfter(ana.page, "stove", " and gas");
      await edit(apart.body.replace("the trip", "our trip"), apart.heads);
      // Stale input never deletes somebody's newer text.
      await edit(apart.body.replace("Big", "Small"), apart.heads);
      expect((await read()).body).toBe("Small tent and stove for our trip.");

      // Together again.
      product.proxy.setMode("pass");
      const both = "Small tent and stove and gas for our trip.";
      await expect.poll(() => bodyText(ana.page), { timeout: 30_000 }).toBe(both);
      await expect.poll(async () => (await read()).body, { timeout: 30_000 }).toBe(both);
    } finally {
      watch.kill("SIGTERM");
      const [code] = (await once(watch, "exit")) as [number | null];
      expect(code).toBe(0);
      rmSync(home, { recursive: true, force: true });
    }
  }, 120_000);
});

function sealeaf(home: string, args: readonly string[], input = ""): Promise<string> {
  return new Promise((done, fail) => {
    const child = execFile("node", [program, "--home", home, ...args], (error, stdout, stderr) => {
      if (error === null) done(stdout);
      else fail(new Error(`sealeaf ${args.join(" ")}: ${stderr}`));
    });
    child.stdin?.end(input);
  });
}

/** Polls until there is something. */
async function waitFor<T>(look: () => Promise<T | undefined>): Promise<T> {
  let found: T | undefined;
  await expect.poll(async () => (found = await look()), { timeout: 20_000 }).toBeDefined();
  if (found === undefined) throw new Error("unreachable: the poll above has failed");
  return found;
}
