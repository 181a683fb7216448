/** What others saved is opened in a thread of its own, in the product as it is shipped: under its policy, in its bundles. */
import { describe, expect, it } from "vitest";
import { parseDocumentId } from "#crdt-store/document-id.ts";
import { loadAutomerge } from "#tests/support/automerge.ts";
import { documentsIn, ownHeads, putSnapshot, spaceIn } from "#tests/support/bad-snapshot.ts";
import { bombDocument } from "#tests/support/bombs.ts";
import { Home, type ListedNote } from "#tests/support/cli.ts";
import {
  bodyText,
  joinByLink,
  networkTrouble,
  parts,
  startProduct,
} from "#tests/support/product.ts";
import { setupDevice } from "#tests/unit/device/setup-device.ts";

const patienceMs = 30_000;

describe(
  "a notebook with a note that was moved, and one that a bomb was sent for",
  { timeout: 180_000 },
  () => {
    it("is read in a browser and on the command line, and the bomb is set aside", async () => {
      await loadAutomerge();
      await using product = await startProduct();
      const relayUrl = `${product.address.replace("http", "ws")}v1`;
      await using ana = await setupDevice({ relayUrl });
      const settle = async (): Promise<void> => {
        expect(await ana.device.settled(patienceMs)).toBe(true);
      };
      const { id } = await ana.device.createNote({ title: "Tent", body: "Two poles, one rope." });
      const { id: notebook } = await ana.device.createNotebook("Camp");
      const { id: bombed } = await ana.device.createNote({
        notebook,
        title: "Stove",
        body: "Gas for a week.",
      });
      await settle();
      // It begins with a snapshot there.
      await ana.device.moveNote(id, notebook);
      await settle();
      // What says that it stands for all there is keeps whoever opens it busy for long.
      const doc = parseDocumentId(bombed) ?? new Uint8Array();
      const saved = (await documentsIn(ana.store)).save(doc);
      const heads = ownHeads(ana.store, spaceIn(ana.store, doc), doc, saved.changes);
      putSnapshot(ana.store, doc, { ...saved, bytes: bombDocument(4_000_000) }, heads);
      await ana.device.createNote({ notebook, title: "Sent together" });
      await settle();
      const { link } = await ana.device.share(notebook, "edit");
      await settle();

      const ben = await product.person(product.profile("ben"), { expectedErrors: networkTrouble });
      await joinByLink(ben.page, product.address + new URL(link).hash, "Ben", "Tent");
      await expect.poll(() => bodyText(ben.page), { timeout: 20_000 }).toBe("Two poles, one rope.");
      await parts(ben.page).list.getByText("Stove").first().click();
      await expect.poll(() => bodyText(ben.page), { timeout: 20_000 }).toBe("Gas for a week.");
      await parts(ben.page).body.click();
      await ben.page.keyboard.type("Matches. ");
      await expect.poll(() => bodyText(ben.page)).toContain("Matches.");
      // Nothing was against the page's policy, and nothing was reported as a fault.
      expect(ben.unexpectedErrors()).toEqual([]);

      using home = new Home();
      await home.init(relayUrl);
      await home.json(["join", link]);
      await home.json(["sync"]);
      const listed = await home.json<readonly ListedNote[]>(["ls"]);
      const bodyOf = async (title: string): Promise<string> => {
        const note = listed.find((row) => row.title === title);
        if (note === undefined) throw new Error(`${title} is not listed`);
        return (await home.read(note.id)).body;
      };
      expect(await bodyOf("Tent")).toBe("Two poles, one rope.");
      expect(await bodyOf("Stove")).toContain("Gas for a week.");
      const { quarantine } = await home.json<{ quarantine: readonly { reason: string }[] }>([
        "status",
      ]);
      expect(quarantine.map(({ reason }) => reason)).toEqual(["its document cannot be read"]);
    });
  },
);
