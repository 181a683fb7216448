/** automerge-repo 2.5 as it comes: its WebSocket client, documents in memory. */
import * as A from "@automerge/automerge/slim";
import { Repo, type AutomergeUrl, type DocHandle } from "@automerge/automerge-repo/slim";
import { WebSocketClientAdapter } from "@automerge/automerge-repo-network-websocket";
import type { Splice } from "#client/device/api.ts";
import { nodeAutomerge } from "#client/cli/node-ports.ts";
import {
  now,
  type Arrival,
  type EditedText,
  type Invitation,
  type Library,
  type NoteText,
  type Place,
} from "./library.ts";

interface NoteDoc {
  title: string;
  body: string;
}

export class AutomergeRepoClient implements Library {
  #url = "";
  #repo: Repo | null = null;
  #adapter: WebSocketClientAdapter | null = null;
  readonly #handles: DocHandle<NoteDoc>[] = [];

  async begin({ url }: Place): Promise<void> {
    await nodeAutomerge();
    this.#url = url;
  }

  async found(): Promise<void> {
    const adapter = new WebSocketClientAdapter(this.#url);
    this.#adapter = adapter;
    // That it is ready may only mean that it has waited for a second: then nothing would be found.
    const welcomed = new Promise((resolve) => adapter.once("peer-candidate", resolve));
    this.#repo = new Repo({ network: [adapter] });
    await welcomed;
  }

  async join(): Promise<void> {
    await this.found();
  }

  async create(notes: readonly NoteText[]): Promise<readonly string[]> {
    return notes.map((note) => {
      const handle = this.#mustRepo().create<NoteDoc>({ ...note });
      this.#handles.push(handle);
      return handle.url;
    });
  }

  async invite(): Promise<string> {
    return "";
  }

  async settled(): Promise<void> {}

  async arrive({ names }: Invitation): Promise<Arrival> {
    await Promise.all(names.map((name) => this.#find(name)));
    const at = now();
    return { listed: at, opened: at, here: at, searchable: at };
  }

  async open(name: string): Promise<EditedText> {
    const handle = await this.#find(name);
    return {
      length: () => handle.doc().body.length,
      text: () => handle.doc().body,
      edit: ({ at, remove, insert }) => {
        handle.change((doc) => A.splice(doc, ["body"], at, remove, insert));
      },
      pause: () => undefined,
      onChange: (listener) => handle.on("change", listener),
    };
  }

  async typed(groups: Iterable<readonly Splice[]>): Promise<string> {
    let document = A.from<{ title: string; body: string }>({ title: "Long", body: "" });
    for (const edits of groups) {
      document = A.change(document, { time: 0 }, (doc) => {
        for (const { at, remove, insert } of edits) A.splice(doc, ["body"], at, remove, insert);
      });
    }
    const handle = this.#mustRepo().import<NoteDoc>(A.save(document));
    this.#handles.push(handle);
    return handle.url;
  }

  /** Until the socket is closed: the server takes the end of an old one for the end of the one that follows it. */
  async disconnect(): Promise<void> {
    const socket = this.#adapter?.socket;
    const closed = new Promise((resolve) => socket?.addEventListener("close", resolve));
    this.#adapter?.disconnect();
    await closed;
  }

  /**
   * A server to which nothing is new says nothing: notes are up to date when it has been told how each stands, and has
   * answered a ping after that.
   */
  async reconnect(): Promise<void> {
    const adapter = this.#adapter;
    if (adapter === null) throw new Error("not connected yet");
    const waiting = new Set<string>(this.#handles.map((handle) => handle.documentId));
    const send = adapter.send.bind(adapter);
    await new Promise<void>((resolve) => {
      adapter.send = (message) => {
        send(message);
        if (!("documentId" in message) || !waiting.delete(message.documentId ?? "")) return;
        if (waiting.size === 0) resolve();
      };
      adapter.connect(this.#mustRepo().peerId);
    });
    adapter.send = send;
    const { socket } = adapter;
    await new Promise<void>((resolve) => {
      socket?.on("pong", () => resolve());
      socket?.ping();
    });
  }

  async #find(name: string): Promise<DocHandle<NoteDoc>> {
    const known = this.#handles.find(({ url }) => url === name);
    if (known !== undefined) return known;
    // A server that is late with an answer hangs up, and for a moment nobody seems to have the note.
    const handle = await this.#mustRepo().find<NoteDoc>(name as AutomergeUrl, {
      allowableStates: ["ready", "unavailable"],
    });
    await handle.whenReady(["ready"]);
    this.#handles.push(handle);
    return handle;
  }

  #mustRepo(): Repo {
    if (this.#repo === null) throw new Error("not connected yet");
    return this.#repo;
  }
}
