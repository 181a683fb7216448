import { describe, expect, it } from "vitest";
import { parseDocumentId } from "#crdt-store/document-id.ts";
import { runCommand } from "#client/cli/commands.ts";
import { setupDevice } from "#tests/unit/device/setup-device.ts";

describe("a change that could not be applied", () => {
  it("is told by cat and status, and the note is whole", async () => {
    await using fixture = await setupDevice();
    const { device, store } = fixture;
    const { id } = await device.createNote({ title: "Soup", body: "Leeks" });
    const run = (command: Parameters<typeof runCommand>[2]) =>
      runCommand(device, Date, command, "");
    expect((await run({ name: "cat", id })).trouble).toBe("");
    expect((await run({ name: "status" })).text).not.toContain("kept aside");

    const doc = parseDocumentId(id) ?? null;
    store.inbox.quarantine({
      space: null,
      pos: null,
      doc,
      entryId: null,
      reason: "a row was damaged",
      bytes: new Uint8Array(3),
      signer: null,
    });
    const cat = await run({ name: "cat", id });
    expect([cat.text, cat.code]).toEqual(["Leeks", 0]);
    expect(cat.trouble).toBe(
      "1 change could not be applied and is kept aside; the rest is whole.\n",
    );
    const status = await run({ name: "status" });
    expect(status.text).toContain("1 change could not be applied");
    expect(status.json).toMatchObject({ setAside: 1 });
  });
});
