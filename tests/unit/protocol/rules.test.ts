/** docs/protocol.md is the law: its rules are tested, its tables are the code's. */
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { refusalClass, refusalName, refusals } from "#relay/protocol/errors.ts";
import { messageTypes } from "#relay/protocol/messages.ts";

const root = resolve(import.meta.dirname, "../../..");
const page = readFileSync(join(root, "docs/protocol.md"), "utf8");
const declared = new Set([...page.matchAll(/^\*\*([A-Z]+-\d+)\*\*/gm)].map(([, rule]) => rule));

function rulesCitedByTests(): Set<string | undefined> {
  const folder = join(root, "tests");
  const cited = new Set<string | undefined>();
  for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
    if (!name.endsWith(".test.ts")) continue;
    const text = readFileSync(join(folder, name), "utf8");
    for (const [, rule] of text.matchAll(/["'`]\[([A-Z]+-\d+)\] /g)) cited.add(rule);
  }
  return cited;
}

describe("the rules", () => {
  it("[GEN-1] each is cited by a test, and no test cites one that is not there", () => {
    const families = new Set([...declared].map((rule) => rule?.split("-")[0]));
    const cited = [...rulesCitedByTests()].filter((rule) => families.has(rule?.split("-")[0]));
    expect(new Set(cited)).toEqual(declared);
  });

  it("[ERR-1] the table of errors is the code's, and each error's rules are declared", () => {
    const rows = [...page.matchAll(/^\| (\d{3}) \| (\w+) \| (\w+) \| (.+) \|$/gm)];
    const table = Object.fromEntries(
      rows.map(([, code, name, kind]) => [name, { code: Number(code), class: kind }]),
    );
    expect(table).toEqual(refusals);
    for (const [, , , , rules = ""] of rows) {
      for (const rule of rules.split(", ")) expect(declared).toContain(rule);
    }
  });

  it("[ERR-1] a code of a later version is classed by its hundreds", () => {
    expect(refusalName(599)).toBeNull();
    expect([599, 699, 499, 399].map(refusalClass)).toEqual(["retry", "retry", "final", "final"]);
    for (const { code, class: kind } of Object.values(refusals)) {
      expect(refusalClass(code)).toBe(kind);
    }
  });

  it("[SES-1] the table of messages has every type there is, and no other", () => {
    const rows = [...page.matchAll(/^\| ((?:[0-9a-f]{2} ?)+) \| [A-Z]/gm)];
    const codes = rows.flatMap(([, cell = ""]) =>
      cell.split(" ").map((code) => Number.parseInt(code, 16)),
    );
    expect(codes).toEqual(Object.values(messageTypes));
  });
});
