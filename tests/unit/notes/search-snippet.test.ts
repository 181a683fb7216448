import { describe, expect, it } from "vitest";
import { plainSnippet } from "#client/notes/search-snippet.ts";

/** What is in brackets was looked for. */
function shown(marked: string): string {
  const parts = marked
    .split(/[⟦⟧]/)
    .map((text, ix) => ({ text, match: ix % 2 === 1 }))
    .filter((part) => part.text !== "");
  return plainSnippet(parts)
    .map(({ text, match }) => (match ? `⟦${text}⟧` : text))
    .join("");
}

describe("a snippet", () => {
  it("reads as text, without the marks of Markdown around what was found", () => {
    expect(shown("# The ⟦bed⟧\n\n- [ ] order **⟦seeds⟧**\n- [x] *dig*\n> quoted `code`")).toBe(
      "The ⟦bed⟧ order ⟦seeds⟧ dig quoted code",
    );
    expect(shown("see [the ⟦bed⟧](https://example.org/a?b) and ![it](x.png)")).toBe(
      "see [the ⟦bed⟧ and it",
    );
    expect(shown("…middle # of a line\n1. one ⟦bed⟧ *⟦two⟧*")).toBe(
      "…middle # of a line one ⟦bed⟧ ⟦two⟧",
    );
    expect(shown("```js\nlet snake_case = ⟦2⟧ * 3\n```")).toBe("let snake_case = ⟦2⟧ * 3 ");
  });

  it("keeps what was found as it stands there", () => {
    expect(shown("a ⟦**b** #c⟧ d")).toBe("a ⟦**b** #c⟧ d");
  });
});
