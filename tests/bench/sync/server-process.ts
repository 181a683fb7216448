/** The server of one library. Started with its name and a directory of its own; answers {@link SyncServer}. */
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { DatabaseSync } from "@photostructure/sqlite";
import { WebSocketServer } from "ws";
import { nodeAutomerge } from "#client/cli/node-ports.ts";
import { startTestRelay } from "#tests/support/relay.ts";
import { serve } from "./calls.ts";

interface Listening {
  readonly url: string;
  /** How many documents it holds the text of; null where the clients know what it has. */
  documents(): number | null;
}

export class SyncServer {
  readonly #listening: Listening;
  #cpu = process.cpuUsage();

  constructor(listening: Listening) {
    this.#listening = listening;
  }

  url(): string {
    return this.#listening.url;
  }

  documents(): number | null {
    return this.#listening.documents();
  }

  /** Milliseconds of processor time on all threads since the last call. */
  cpu(): number {
    const { user, system } = process.cpuUsage(this.#cpu);
    this.#cpu = process.cpuUsage();
    return (user + system) / 1000;
  }
}

/** With a disk, every acknowledged entry flushed to it; in a worker, as the program runs it. */
async function sealeaf(directory: string): Promise<Listening> {
  const workerUrl = process.env["SEALEAF_BENCH_RELAY_WORKER"];
  const relay = await startTestRelay({
    dir: directory,
    ...(workerUrl === undefined ? {} : { workerUrl: new URL(workerUrl) }),
    // Filling it with ten thousand notes would else take minutes; what is measured never comes near the limit.
    limits: { entriesPerSecond: 1_000_000, entryBurst: 1_000_000 },
  });
  return { url: relay.url, documents: () => null };
}

/** As its own sync server is set up: it stores what comes, and offers nobody what they did not ask for. */
async function automergeRepo(directory: string): Promise<Listening> {
  await nodeAutomerge();
  const { Repo } = await import("@automerge/automerge-repo/slim");
  const { WebSocketServerAdapter } = await import("@automerge/automerge-repo-network-websocket");
  const { NodeFSStorageAdapter } = await import("@automerge/automerge-repo-storage-nodefs");
  const { server, url } = await listen();
  const repo = new Repo({
    network: [new WebSocketServerAdapter(server as never)],
    storage: new NodeFSStorageAdapter(directory),
    sharePolicy: async () => false,
  });
  const hasText = (doc: unknown): boolean =>
    typeof doc === "object" && doc !== null && "body" in doc;
  return {
    url,
    documents: () =>
      Object.values(repo.handles).filter((handle) => handle.isReady() && hasText(handle.doc()))
        .length,
  };
}

/** With YPERSISTENCE in the environment in LevelDB, else in memory. */
async function yWebsocket(): Promise<Listening> {
  const { docs, setupWSConnection } = await import("@y/websocket-server/utils");
  const { server, url } = await listen();
  server.on("connection", (socket, request) => setupWSConnection(socket as never, request));
  return {
    url,
    documents: () => [...docs.values()].filter((doc) => doc.getText("body").length > 0).length,
  };
}

async function hocuspocus(directory: string): Promise<Listening> {
  const { Server } = await import("@hocuspocus/server");
  const { Database } = await import("@hocuspocus/extension-database");
  const table = new DocumentTable(join(directory, "documents.sqlite"));
  const server = new Server({
    address: "127.0.0.1",
    port: 0,
    quiet: true,
    stopOnSignals: false,
    // By default it hangs up on a client that opens more than a hundred documents at once.
    maxPendingDocuments: Infinity,
    maxUnauthenticatedQueueMessages: Infinity,
    maxUnauthenticatedQueueSize: Infinity,
    extensions: [
      new Database({
        fetch: async ({ documentName }) => table.read(documentName),
        store: async ({ documentName, state }) => table.write(documentName, state),
      }),
    ],
  });
  await server.listen();
  return {
    url: server.webSocketURL.replace("0.0.0.0", "127.0.0.1"),
    documents: () =>
      [...server.hocuspocus.documents.values()].filter((doc) => doc.getText("body").length > 0)
        .length,
  };
}

/** The table and the statements of Hocuspocus's own SQLite extension, whose driver has to be compiled or downloaded. */
class DocumentTable {
  readonly #database: InstanceType<typeof DatabaseSync>;

  constructor(file: string) {
    this.#database = new DatabaseSync(file);
    this.#database.exec(
      'CREATE TABLE documents ("name" varchar(255) NOT NULL, "data" blob NOT NULL, UNIQUE(name))',
    );
  }

  read(name: string): Uint8Array | null {
    const select = this.#database.prepare('SELECT data FROM "documents" WHERE name = ?');
    return (select.get(name) as { data: Uint8Array } | undefined)?.data ?? null; // of the table above
  }

  write(name: string, data: Uint8Array): void {
    this.#database
      .prepare(
        'INSERT INTO "documents" ("name", "data") VALUES (?, ?) ON CONFLICT(name) DO UPDATE SET data = excluded.data',
      )
      .run(name, data);
  }
}

async function listen(): Promise<{ server: WebSocketServer; url: string }> {
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
  await once(server, "listening");
  const { port } = server.address() as AddressInfo; // it listens on TCP
  return { server, url: `ws://127.0.0.1:${port}` };
}

const [name = "", directory = ""] = process.argv.slice(2);
mkdirSync(directory, { recursive: true });
const start = { sealeaf, "automerge-repo": automergeRepo, hocuspocus }[name] ?? yWebsocket;
serve(new SyncServer(await start(directory)));
