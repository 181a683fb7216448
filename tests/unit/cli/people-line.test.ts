/** What may be typed about people and links. */
import { describe, expect, it } from "vitest";
import { parseLine } from "#client/cli/command-line.ts";

function commandOf(...args: readonly string[]): unknown {
  const parsed = parseLine(["--home", "here", ...args]);
  return parsed.type === "run" ? parsed.line.command : parsed;
}

function complaintAbout(...args: readonly string[]): string {
  const parsed = parseLine(["--home", "here", ...args]);
  return parsed.type === "wrong" ? parsed.message : `not refused: ${JSON.stringify(parsed)}`;
}

const plain = {
  name: "share",
  note: null,
  role: "edit",
  notebook: null,
  expiresInMs: null,
  maxJoins: null,
};

describe("sharing", () => {
  it("is for editing, for ever and for anybody unless something else is said", () => {
    expect(commandOf("share")).toEqual(plain);
    expect(commandOf("share", "--edit")).toEqual(plain);
    expect(commandOf("share", "N", "--role", "read")).toEqual({
      ...plain,
      role: "read",
      notebook: "N",
    });
    expect(commandOf("share", "--read", "--expires", "7d", "--once")).toEqual({
      ...plain,
      role: "read",
      expiresInMs: 7 * 86_400_000,
      maxJoins: 1,
    });
    expect(commandOf("share", "--expires", "90m", "--max-joins", "12")).toEqual({
      ...plain,
      expiresInMs: 5_400_000,
      maxJoins: 12,
    });
  });

  it("is refused in a sentence when it makes no sense", () => {
    expect(complaintAbout("share", "A", "B")).toBe("share takes one notebook.");
    expect(complaintAbout("share", "--role", "admin")).toBe("--role is edit or read.");
    expect(complaintAbout("share", "--read", "--edit")).toContain("say one of");
    expect(complaintAbout("share", "--once", "--max-joins", "3")).toContain("say one of");
    for (const joins of ["0", "-1", "1.5", "x", "", "123456"]) {
      expect(complaintAbout("share", `--max-joins=${joins}`)).toContain("a number of people");
    }
    for (const time of ["7", "d", "0d", "-1d", "7w", "366d", "1e3d", ""]) {
      expect(complaintAbout("share", `--expires=${time}`)).toContain("30m, 12h or 7d");
    }
    expect(complaintAbout("ls", "--once")).toBe("--once does not belong to ls.");
  });
});

describe("people and links", () => {
  it("are named with the notebook, if there could be several", () => {
    for (const name of ["people", "links", "leave"]) {
      expect(commandOf(name)).toEqual({ name, notebook: null });
      expect(commandOf(name, "N")).toEqual({ name, notebook: "N" });
      expect(complaintAbout(name, "N", "M")).toBe(`${name} takes one notebook.`);
    }
    expect(commandOf("remove", "Ben", "N")).toEqual({
      name: "remove",
      person: "Ben",
      notebook: "N",
    });
    expect(commandOf("revoke", "ab12cd")).toEqual({
      name: "revoke",
      link: "ab12cd",
      notebook: null,
    });
    expect(commandOf("role", "Ben", "admin")).toEqual({
      name: "role",
      person: "Ben",
      role: "admin",
      notebook: null,
    });
    expect(complaintAbout("remove")).toContain("see people");
    expect(complaintAbout("revoke")).toContain("see links");
    expect(complaintAbout("role", "Ben")).toContain("read, edit, admin");
    expect(complaintAbout("role", "Ben", "owner")).toContain("read, edit, admin");
  });

  it("has the end of a notebook named in full", () => {
    for (const name of ["delete-notebook", "restore-notebook"]) {
      expect(commandOf(name, "N")).toEqual({ name, notebook: "N" });
      expect(complaintAbout(name)).toContain("see notebooks");
    }
  });
});
