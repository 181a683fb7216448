/** A person's words and devices on the command line. */
import { describe, expect, it } from "vitest";
import { hostname } from "node:os";
import { Home } from "#tests/support/cli.ts";
import { startTestRelay, type TestRelay } from "#tests/support/relay.ts";

describe.concurrent("the words of a home", () => {
  it("stay until three of them were typed, and are then gone", async () => {
    using home = new Home();
    const phrase = await home.init();
    expect(await home.json(["words"])).toEqual({ words: phrase.split(" ") });

    const asked = await home.run(["words", "check"]);
    expect(asked).toMatchObject({ code: 1, stdout: "" });
    const [positions = ""] = /\d+, \d+, \d+/.exec(asked.stderr) ?? [];
    const words = positions.split(", ").map((at) => phrase.split(" ")[Number(at) - 1] ?? "");
    const wrong = await home.run(["words", "check"], words.with(1, "wrong").join(" "));
    expect(wrong).toMatchObject({ code: 1, stdout: "" });
    expect(wrong.stderr).toMatch(/\nWord \d+ is not what you saved\. .* still on this device\.\n$/);

    expect(await home.json(["words", "check"], `${words.join(" ")}\n`)).toEqual({ safe: true });
    const gone = await home.run(["words"]);
    expect(gone).toMatchObject({ code: 1, stdout: "" });
    expect(gone.stderr).toMatch(/^Your words are not on this device/);
  });
});

describe.concurrent("devices", () => {
  it("lists this home under its machine's name until it is given one", async () => {
    using home = new Home();
    await home.init();
    const listed = async () =>
      (await home.json<{ name: string; self: boolean }[]>(["devices"])).find(({ self }) => self);
    expect(await listed()).toMatchObject({ name: hostname(), kind: "device" });
    expect(await home.json(["devices", "name", "Kitchen", "laptop"])).toEqual({
      name: "Kitchen laptop",
    });
    expect(await listed()).toMatchObject({ name: "Kitchen laptop" });
    const { stdout } = await home.run(["devices"]);
    expect(stdout).toMatch(/Kitchen laptop {2}this device\n {4}([0-9a-f]{4} ){7}[0-9a-f]{4}\n/);
    expect(stdout).toContain("your 24 words");
  });
});

describe("several homes of one person", { timeout: 300_000 }, () => {
  it("come by the words and by a link, remove each other, and are shut out with the words", async () => {
    await using relay = await setupRelay();
    using desk = new Home();
    using tablet = new Home();
    using phone = new Home();
    const words = await desk.init(relay.httpUrl);
    const note = await desk.write("Tent", "Two poles\n");
    await desk.json(["sync"]);

    const restored = await tablet.run(["--relay", relay.httpUrl, "restore"], words);
    expect(restored.code).toBe(0);
    expect(restored.stderr).toMatch(
      /^Found under these words: 1 notebook, 1 device, last changed /,
    );
    await tablet.json(["sync"]);
    expect((await tablet.read(note)).body).toBe("Two poles\n");

    const { link } = await desk.json<{ link: string }>(["device-link"]);
    expect(await phone.json(["become", link])).toEqual({ restored: true });
    for (const home of [phone, desk, tablet, phone]) await home.json(["sync"]);
    expect((await phone.read(note)).body).toBe("Two poles\n");
    const rows = await desk.json<{ id: string; self: boolean; kind: string }[]>(["devices"]);
    expect(rows.map(({ kind }) => kind).toSorted()).toEqual([
      "device",
      "device",
      "device",
      "words",
    ]);

    const tabletRow = (await tablet.json<typeof rows>(["devices"])).find(({ self }) => self);
    const removed = await desk.json(["devices", "remove", tabletRow?.id ?? ""]);
    expect(removed).toEqual({ notebooks: 1, waiting: [] });
    const told = await tablet.run(["sync"]);
    // A state to be told of, not a failure of this command.
    expect(told.stdout).toContain("This device was removed from your devices.");

    await phone.json(["sync"]);
    expect(await phone.json(["shut-out-others"], words)).toEqual({ notebooks: 1, waiting: [] });
    expect((await desk.run(["sync"])).stdout).toContain("This device was removed");
    await phone.json(["sync"]);
    expect(await phone.json<typeof rows>(["devices"])).toHaveLength(2);
  });
});

async function setupRelay(): Promise<TestRelay & AsyncDisposable> {
  const relay = await startTestRelay();
  return { ...relay, [Symbol.asyncDispose]: () => relay.stop() };
}
