import { beforeAll, describe, expect, it } from "vitest";
import { nodeAutomerge } from "#client/cli/node-ports.ts";
import {
  notebookIndexGenesis,
  vaultIndexGenesis,
  type Automerge,
} from "#client/device/index-document.ts";
import { indexGeneses } from "#client/sync/index-geneses.ts";

let automerge: Automerge;
beforeAll(async () => {
  automerge = await nodeAutomerge();
});

describe("the first changes of index documents", () => {
  it("are the ones that nobody waits for, the same in every version", () => {
    const heads = [
      ...automerge.getHeads(notebookIndexGenesis(automerge)),
      ...automerge.getHeads(vaultIndexGenesis(automerge)),
    ];
    expect(new Set(heads)).toEqual(indexGeneses);
  });
});
