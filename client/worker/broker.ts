/**
 * The shared worker that hands message ports of tabs to the leader: a BroadcastChannel cannot carry
 * ports. It imports nothing, so that its address stays the same from one version of the application
 * to the next and tabs of both find each other. It may die or fall silent at any time: ports handed
 * over before go on working, and the leader takes another (`reception.ts`).
 */
declare const self: SharedWorkerGlobalScope;

export type ToBroker =
  /** A tab: while there is one, the key is kept. */
  | { readonly type: "tab" }
  /** A tab that will not come back. */
  | { readonly type: "bye" }
  /** A worker that leads from now on, and takes ports meant for this reign. */
  | { readonly type: "lead"; readonly reign: string }
  /** A tab's port for the leader. */
  | {
      readonly type: "port";
      readonly reign: string;
      readonly session: string;
      readonly port: MessagePort;
    }
  /** From the leader: for the next one, if a tab lives on; null: locked. */
  | { readonly type: "keep-key"; readonly key: Uint8Array | null }
  | { readonly type: "key-wanted" };

export type BrokerToLeader =
  /** Ports of tabs will come. */
  | { readonly type: "ready" }
  | { readonly type: "port"; readonly session: string; readonly port: MessagePort }
  | { readonly type: "key"; readonly key: Uint8Array | null };

/** To a tab whose port could not be handed over: here nobody leads, or another reign. */
export type BrokerToTab = { readonly type: "undelivered"; readonly reign: string };

const tabs = new Set<MessagePort>();
/** The database's key while notes that have a passphrase are open: closing one of two tabs must not lock. */
let heldKey: Uint8Array | null = null;
let leader: { readonly reign: string; readonly port: MessagePort } | null = null;

function keepKey(key: Uint8Array | null): void {
  heldKey?.fill(0);
  heldKey = key;
}

function receive(from: MessagePort, message: ToBroker): void {
  switch (message.type) {
    case "tab":
      tabs.add(from);
      return;
    case "bye":
      tabs.delete(from);
      if (tabs.size === 0) keepKey(null);
      return;
    case "lead":
      if (leader !== null && leader.port !== from) leader.port.close();
      leader = { reign: message.reign, port: from };
      from.postMessage({ type: "ready" } satisfies BrokerToLeader);
      return;
    case "port": {
      const { reign, session, port } = message;
      if (leader?.reign === reign) {
        leader.port.postMessage({ type: "port", session, port } satisfies BrokerToLeader, [port]);
      } else {
        port.close();
        from.postMessage({ type: "undelivered", reign } satisfies BrokerToTab);
      }
      return;
    }
    case "keep-key":
      keepKey(message.key);
      return;
    case "key-wanted":
      from.postMessage({ type: "key", key: heldKey } satisfies BrokerToLeader);
      return;
  }
}

self.addEventListener("connect", ({ ports: [port] }) => {
  if (port === undefined) return;
  port.addEventListener("message", ({ data }: MessageEvent<ToBroker>) => receive(port, data));
  port.start();
});
