/** The kill storm's own book-keeping: what it takes for acknowledged must have been. */
import * as A from "@automerge/automerge/slim";
import { beforeAll, describe, expect, it } from "vitest";
import { AcknowledgedText } from "#tests/killstorm/acknowledged-text.ts";
import { loadAutomerge } from "#tests/support/automerge.ts";

beforeAll(() => loadAutomerge());

function typing(...texts: readonly string[]): readonly Uint8Array[] {
  let doc = A.from({ body: "" });
  const root = A.getHeads(doc);
  for (const text of texts) {
    doc = A.change(doc, (draft) => A.splice(draft, ["body"], draft.body.length, 0, text));
  }
  return A.getChangesSince(doc, root);
}

const draft = (insert: string) =>
  ({ method: "draft", edits: [{ field: "body", at: 0, remove: 0, insert }] }) as const;

describe("an acknowledged text", () => {
  it("is as long as the answered commits and the draft after them", () => {
    const text = new AcknowledgedText(10);
    text.posted(1, { method: "commit", changes: typing("four", "teen\n") });
    text.posted(2, draft("now"));
    expect(text.length).toBe(10);
    text.answered(1);
    expect(text.length).toBe(19);
    text.answered(2);
    expect(text.length).toBe(22);
  });

  it("counts no draft before the commit that it rests on is answered", () => {
    const text = new AcknowledgedText(0);
    text.posted(1, { method: "commit", changes: typing("four") });
    text.posted(2, draft("now"));
    text.answered(2);
    expect(text.length).toBe(0);
    text.answered(1);
    expect(text.length).toBe(7);
  });

  it("counts a change once, however often it is posted", () => {
    const text = new AcknowledgedText(0);
    const changes = typing("four");
    for (const id of [1, 1, 2]) text.posted(id, { method: "commit", changes });
    text.answered(1);
    text.answered(2);
    expect(text.length).toBe(4);
  });
});
