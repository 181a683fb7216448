import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseLine } from "#client/cli/command-line.ts";
import { relayAddress } from "#client/device/relay-address.ts";

function commandOf(...args: readonly string[]): unknown {
  const parsed = parseLine(["--home", "here", ...args]);
  return parsed.type === "run" ? parsed.line.command : parsed;
}

function complaintAbout(...args: readonly string[]): string {
  const parsed = parseLine(["--home", "here", ...args]);
  return parsed.type === "wrong" ? parsed.message : `not refused: ${JSON.stringify(parsed)}`;
}

describe("a line", () => {
  it("has its options before and behind the command", () => {
    const line = {
      home: "here",
      relay: "ws://localhost:8787/v1",
      json: true,
      passphraseFile: "secret",
      command: { name: "ls" },
    };
    const relay = ["--relay", "http://localhost:8787"];
    const before = ["--home", "here", ...relay, "--json", "--passphrase-file", "secret", "ls"];
    const behind = ["ls", "--json", "--passphrase-file=secret", ...relay, "--home=here"];
    expect(parseLine(before)).toEqual({ type: "run", line });
    expect(parseLine(behind)).toEqual({ type: "run", line });
  });

  it("names a command with its arguments", () => {
    expect(commandOf("new")).toEqual({ name: "new", title: "", notebook: null });
    expect(commandOf("new", "--title", "T", "--notebook", "N")).toEqual({
      name: "new",
      title: "T",
      notebook: "N",
    });
    expect(commandOf("passphrase", "set")).toEqual({ name: "passphrase", action: "set" });
    expect(commandOf("search", "second bed", "tag:garden")).toEqual({
      name: "search",
      query: "second bed tag:garden",
    });
    expect(commandOf("search", "--", "-bed")).toEqual({ name: "search", query: "-bed" });
    expect(complaintAbout("search")).toBe("search needs something to look for.");
    expect(commandOf("cat", "A")).toEqual({ name: "cat", id: "A" });
    expect(commandOf("edit", "A")).toEqual({ name: "edit", id: "A", base: null });
    expect(commandOf("join", "L")).toEqual({ name: "join", link: "L" });
    expect(commandOf("redeem", "I")).toEqual({ name: "redeem", invite: "I", relay: null });
    expect(commandOf("redeem", "I", "https://other.example/notes/")).toEqual({
      name: "redeem",
      invite: "I",
      relay: "wss://other.example/notes/v1",
    });
    expect(commandOf("relays")).toEqual({ name: "relays" });
    expect(commandOf("move-home", "N", "https://other.example")).toEqual({
      name: "move-home",
      notebook: "N",
      relay: "wss://other.example/v1",
    });
    expect(complaintAbout("move-home", "N")).toContain("needs a notebook");
    expect(complaintAbout("move-home", "N", "nowhere")).toContain("not the address of a relay");
    expect(commandOf("name", "Ana", "Lea")).toEqual({ name: "name", displayName: "Ana Lea" });
    expect(commandOf("words")).toEqual({ name: "words", check: false });
    expect(commandOf("words", "check")).toEqual({ name: "words", check: true });
    expect(complaintAbout("words", "check", "abandon")).toContain("never typed on the command");
    expect(commandOf("devices")).toEqual({ name: "devices", act: "list" });
    expect(commandOf("devices", "name", "Ana's", "laptop")).toEqual({
      name: "devices",
      act: "name",
      deviceName: "Ana's laptop",
    });
    expect(complaintAbout("devices", "name")).toBe("devices name needs a name.");
    expect(commandOf("offline", "on")).toEqual({ name: "offline", offline: true });
    expect(complaintAbout("offline", "perhaps")).toBe("offline needs one of on, off.");
    expect(commandOf("conflicts")).toEqual({ name: "conflicts", note: null, reviewed: null });
    expect(commandOf("conflicts", "A")).toEqual({ name: "conflicts", note: "A", reviewed: null });
    expect(commandOf("conflicts", "--reviewed", "0a")).toEqual({
      name: "conflicts",
      note: null,
      reviewed: "0a",
    });
    expect(complaintAbout("conflicts", "A", "--reviewed", "0a")).toContain("takes one note, or");
    expect(commandOf("devices", "remove", "ab")).toEqual({
      name: "devices",
      act: "remove",
      id: "ab",
    });
    expect(complaintAbout("devices", "remove")).toBe("devices remove needs the id of one device.");
    expect(commandOf("device-link")).toEqual({ name: "device-link", act: "show" });
    expect(commandOf("device-link", "cancel")).toEqual({ name: "device-link", act: "cancel" });
    expect(commandOf("restore")).toEqual({ name: "restore", isSure: false });
    expect(commandOf("restore", "--yes")).toEqual({ name: "restore", isSure: true });
    expect(commandOf("become", "L")).toEqual({ name: "become", link: "L" });
    expect(commandOf("shut-out-others")).toEqual({ name: "shut-out-others" });
    expect(complaintAbout("ls", "--yes")).toBe("--yes does not belong to ls.");
    expect(commandOf("sync")).toEqual({ name: "sync", timeoutMs: null });
    expect(commandOf("sync", "--timeout", "0.5")).toEqual({ name: "sync", timeoutMs: 500 });
  });

  it("takes several heads with commas between", () => {
    const [one, two] = ["0a".repeat(32), "ff".repeat(32)];
    expect(commandOf("edit", "A", "--base", `${one},${two}`)).toEqual({
      name: "edit",
      id: "A",
      base: [one, two],
    });
    for (const base of ["", "zz", `${one},`, one.toUpperCase()]) {
      expect(complaintAbout("edit", "A", "--base", base)).toMatch(/^--base takes the heads/);
    }
  });

  it("is asked for what it lacks", () => {
    expect(complaintAbout()).toBe("Which command?");
    expect(parseLine(["ls"])).toMatchObject({
      type: "wrong",
      message: expect.stringMatching(/--home DIR/),
    });
    expect(parseLine(["--home", "", "ls"])).toMatchObject({
      type: "wrong",
      message: expect.stringMatching(/--home DIR/),
    });
    for (const name of ["cat", "rm", "edit", "join", "name", "passphrase"]) {
      expect(complaintAbout(name)).toMatch(new RegExp(`^${name} needs `));
    }
    expect(complaintAbout("passphrase", "forget")).toMatch(/one of set, change, remove/);
    expect(complaintAbout("passphrase", "set", "secret")).toMatch(
      /never typed on the command line/,
    );
  });

  it("may not have more than its command takes", () => {
    for (const name of ["init", "restore", "ls", "notebooks", "watch", "status", "sync", "new"]) {
      expect(complaintAbout(name, "extra")).toMatch(new RegExp(`^${name} takes `));
    }
    for (const name of ["cat", "rm", "edit", "join", "share"]) {
      expect(complaintAbout(name, "one", "two")).toMatch(new RegExp(`^${name} takes one `));
    }
    expect(complaintAbout("ls", "--title", "T")).toBe("--title does not belong to ls.");
    expect(complaintAbout("share", "--timeout", "5")).toBe("--timeout does not belong to share.");
  });

  it("has a finite, positive time limit", () => {
    for (const seconds of ["0", "-1", "soon", "", "Infinity", "1e9", "86401", "0x10"]) {
      expect(complaintAbout("sync", `--timeout=${seconds}`)).toMatch(/number of seconds/);
    }
  });

  it("is complained about in one sentence, whatever is typed", () => {
    const word = fc.oneof(
      fc.constantFrom("--json", "--title", "--relay", "--nope", "-x", "ls", "toString", "--"),
      fc.string({ unit: "binary", maxLength: 8 }),
    );
    fc.assert(
      fc.property(fc.array(word, { maxLength: 5 }), (args) => {
        const parsed = parseLine(args);
        if (parsed.type !== "wrong") return;
        expect(parsed.message).toMatch(/[.?]$/);
      }),
    );
  });
});

describe("a relay's address", () => {
  it("is understood as people have it", () => {
    expect(relayAddress("http://localhost:8787")).toBe("ws://localhost:8787/v1");
    expect(relayAddress("https://notes.example/")).toBe("wss://notes.example/v1");
    expect(relayAddress("wss://notes.example/v1")).toBe("wss://notes.example/v1");
    expect(relayAddress("https://example.org/notes/")).toBe("wss://example.org/notes/v1");
  });

  it("is nothing else", () => {
    for (const typed of ["", "localhost", "localhost:8787", "file:///x", "http://", "mailto:a@b"]) {
      expect(relayAddress(typed)).toBeNull();
    }
  });
});
