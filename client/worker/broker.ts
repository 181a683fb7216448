/**
 * The shared worker that hands message ports of tabs to the current leader: a BroadcastChannel cannot
 * carry ports. It imports nothing, so that its address stays the same from one version of the
 * application to the next and tabs of both find each other.
 */
declare const self: SharedWorkerGlobalScope;

export type ToBroker =
  /** A tab that wants to be told of leaders. */
  | { readonly type: "tab" }
  /** A tab's port for the leader. */
  | { readonly type: "port"; readonly session: string; readonly port: MessagePort }
  /** A worker whose tab has come into sight. */
  | { readonly type: "wanted" }
  /** A tab that will not come back. */
  | { readonly type: "bye" }
  /** A worker that leads from now on. */
  | { readonly type: "lead" }
  /** From the leader: for the next one, if a tab lives on; null: locked. */
  | { readonly type: "keep-key"; readonly key: Uint8Array | null }
  | { readonly type: "key-wanted" };

/** To a tab: there is a (new) leader, send it a port. */
export type BrokerToTab = { readonly type: "leader" };

export type BrokerToLeader =
  | { readonly type: "port"; readonly session: string; readonly port: MessagePort }
  | { readonly type: "wanted" }
  | { readonly type: "key"; readonly key: Uint8Array | null };

const tabs = new Set<MessagePort>();
let leader: MessagePort | null = null;
/** The database's key while notes that have a passphrase are open: closing one of two tabs must not lock. */
let heldKey: Uint8Array | null = null;

function keepKey(key: Uint8Array | null): void {
  heldKey?.fill(0);
  heldKey = key;
}

function receive(from: MessagePort, message: ToBroker): void {
  switch (message.type) {
    case "tab":
      tabs.add(from);
      if (leader !== null) from.postMessage({ type: "leader" } satisfies BrokerToTab);
      return;
    case "port":
      // Without a leader the port is dropped: the next one is announced and sent a fresh port.
      leader?.postMessage(message satisfies BrokerToLeader, [message.port]);
      return;
    case "wanted":
      leader?.postMessage({ type: "wanted" } satisfies BrokerToLeader);
      return;
    case "bye":
      tabs.delete(from);
      if (tabs.size === 0) keepKey(null);
      return;
    case "lead":
      leader = from;
      for (const tab of tabs) tab.postMessage({ type: "leader" } satisfies BrokerToTab);
      return;
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
