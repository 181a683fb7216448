/** Yjs documents in memory over y-websocket (a socket for each) or Hocuspocus (one socket for all). */
import { HocuspocusProvider, HocuspocusProviderWebsocket } from "@hocuspocus/provider";
import { WebSocket } from "ws";
import { WebsocketProvider } from "y-websocket";
import { Doc } from "yjs";
import type { Splice } from "#client/device/api.ts";
import {
  now,
  type Arrival,
  type EditedText,
  type Invitation,
  type Library,
  type NoteText,
  type Place,
} from "./library.ts";

/** What carries the documents of one device. */
export interface YjsTransport {
  attach(name: string, doc: Doc): void;
  disconnect(): Promise<void>;
  connect(): void;
  /** Resolves when every document attached has been compared with the server since it was connected. */
  synced(): Promise<void>;
}

export class YjsClient implements Library {
  readonly #connect: (url: string) => YjsTransport;
  #url = "";
  #transport: YjsTransport | null = null;
  readonly #docs = new Map<string, Doc>();

  constructor(connect: (url: string) => YjsTransport) {
    this.#connect = connect;
  }

  async begin({ url }: Place): Promise<void> {
    this.#url = url;
  }

  async found(): Promise<void> {
    this.#transport = this.#connect(this.#url);
  }

  async join(): Promise<void> {
    await this.found();
  }

  async create(notes: readonly NoteText[]): Promise<readonly string[]> {
    const first = this.#docs.size;
    const names = notes.map(({ title, body }, ix) => {
      const name = `${process.pid}-note-${first + ix}`;
      const doc = this.#doc(name);
      doc.transact(() => {
        doc.getText("title").insert(0, title);
        doc.getText("body").insert(0, body);
      });
      return name;
    });
    await this.#transport?.synced();
    return names;
  }

  async invite(): Promise<string> {
    return "";
  }

  async settled(): Promise<void> {
    await this.#transport?.synced();
  }

  async arrive({ names }: Invitation): Promise<Arrival> {
    const docs = names.map((name) => this.#doc(name));
    await Promise.all(docs.map(arrived));
    const at = now();
    return { listed: at, opened: at, here: at, searchable: at };
  }

  async open(name: string): Promise<EditedText> {
    const isNew = !this.#docs.has(name);
    const doc = this.#doc(name);
    const body = doc.getText("body");
    if (isNew) await this.#transport?.synced();
    return {
      length: () => body.length,
      text: () => body.toJSON(),
      edit: ({ at, remove, insert }) => {
        doc.transact(() => {
          if (remove > 0) body.delete(at, remove);
          if (insert !== "") body.insert(at, insert);
        });
      },
      pause: () => undefined,
      onChange: (listener) => body.observe(listener),
    };
  }

  async typed(groups: Iterable<readonly Splice[]>): Promise<string> {
    const name = `${process.pid}-typed-${this.#docs.size}`;
    const doc = new Doc();
    const body = doc.getText("body");
    for (const edits of groups) {
      doc.transact(() => {
        for (const { at, remove, insert } of edits) {
          if (remove > 0) body.delete(at, remove);
          if (insert !== "") body.insert(at, insert);
        }
      });
    }
    this.#docs.set(name, doc);
    this.#transport?.attach(name, doc);
    await this.#transport?.synced();
    return name;
  }

  async disconnect(): Promise<void> {
    await this.#transport?.disconnect();
  }

  async reconnect(): Promise<void> {
    this.#transport?.connect();
    await this.#transport?.synced();
  }

  #doc(name: string): Doc {
    const known = this.#docs.get(name);
    if (known !== undefined) return known;
    const doc = new Doc();
    this.#docs.set(name, doc);
    this.#transport?.attach(name, doc);
    return doc;
  }
}

function arrived(doc: Doc): Promise<void> {
  const body = doc.getText("body");
  return new Promise((resolve) => {
    const look = (): void => {
      if (body.length === 0) return;
      doc.off("update", look);
      resolve();
    };
    doc.on("update", look);
    look();
  });
}

export function yWebsocket(url: string): YjsTransport {
  // Each provider listens to the end of the process.
  process.setMaxListeners(0);
  const providers: WebsocketProvider[] = [];
  return {
    attach(name, doc) {
      const options = { WebSocketPolyfill: WebSocket as never, disableBc: true };
      providers.push(new WebsocketProvider(url, name, doc, options));
    },
    async disconnect() {
      for (const provider of providers) provider.disconnect();
    },
    connect() {
      for (const provider of providers) provider.connect();
    },
    async synced() {
      await Promise.all(
        providers.map(
          (provider) =>
            new Promise<void>((resolve) => {
              if (provider.synced) resolve();
              else provider.once("sync", () => resolve());
            }),
        ),
      );
    },
  };
}

export function hocuspocus(url: string): YjsTransport {
  const websocketProvider = new HocuspocusProviderWebsocket({
    url,
    WebSocketPolyfill: WebSocket,
  });
  const providers: HocuspocusProvider[] = [];
  return {
    attach(name, document) {
      const provider = new HocuspocusProvider({ websocketProvider, name, document });
      provider.attach();
      providers.push(provider);
    },
    async disconnect() {
      const closed = new Promise((resolve) => websocketProvider.on("disconnect", resolve));
      websocketProvider.disconnect();
      await closed;
    },
    connect() {
      void websocketProvider.connect();
    },
    async synced() {
      await Promise.all(
        providers.map(
          (provider) =>
            new Promise<void>((resolve) => {
              if (provider.isSynced) resolve();
              else provider.on("synced", () => resolve());
            }),
        ),
      );
    },
  };
}
