/** A person's words and devices on the command line. */
import { describe, expect, it } from "vitest";
import { hostname } from "node:os";
import { Home } from "#tests/support/cli.ts";

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
    expect(wrong.stderr).toMatch(/^Word \d+ is not what you saved\. .* still on this device\.\n$/);

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
