/**
 * Where a leader takes the ports of other tabs: a broker that it has heard from in this reign. One
 * that does not answer (its process was killed, or hangs) is replaced by another under a new name.
 */
import type { BrokerToLeader, ToBroker } from "#client/worker/broker.ts";
import type { Bulletin } from "#client/worker/bulletin.ts";
import type { Timers } from "#client/worker/rpc.ts";

/** A broker answers within a millisecond, a new one within fifty; longer than this it is taken for dead. */
const BROKER_LIMIT_MS = 500;

export interface ReceptionPorts {
  readonly bulletin: Bulletin;
  readonly timers: Timers;
  /** Asks the leader's own tab for a connection to the broker of this name: see {@link Reception.use}. */
  wantBroker(name: string): void;
  onPort(session: string, port: MessagePort): void;
}

export class Reception {
  readonly #reign: string;
  readonly #ports: ReceptionPorts;
  readonly #stopHearing: () => void;
  #broker: { readonly name: string; readonly port: MessagePort } | null = null;
  #isReady = false;
  /** There are no brokers here: only the leader's own tab is served. */
  #isAlone = false;
  #replaced = 0;
  #cancelAlarm: (() => void) | null = null;

  constructor(reign: string, ports: ReceptionPorts) {
    this.#reign = reign;
    this.#ports = ports;
    this.#stopHearing = ports.bulletin.listen((notice) => {
      if (notice.type === "who-leads") this.#asked(notice.suspect);
    });
  }

  /** Takes ports through this broker from now on. */
  use(name: string, port: MessagePort): void {
    this.#broker?.port.close();
    this.#broker = { name, port };
    port.addEventListener("message", ({ data }: MessageEvent<BrokerToLeader>) => {
      if (this.#broker?.port !== port) return;
      if (data.type === "ready") this.#ready(name);
      else if (data.type === "port") this.#ports.onPort(data.session, data.port);
    });
    port.start();
    this.#check();
  }

  /** Says from now on that no other tab can be served. */
  useNone(): void {
    this.#isAlone = true;
    this.#announce(null);
  }

  close(): void {
    this.#stopHearing();
    this.#cancelAlarm?.();
    this.#broker?.port.close();
    this.#broker = null;
  }

  #asked(suspect: string | null): void {
    if (this.#isAlone) return this.#announce(null);
    // An answer is on its way, from this broker or the next.
    if (this.#broker === null || this.#cancelAlarm !== null) return;
    if (this.#isReady && suspect !== this.#broker.name) this.#announce(this.#broker.name);
    else this.#check();
  }

  #check(): void {
    this.#isReady = false;
    this.#broker?.port.postMessage({ type: "lead", reign: this.#reign } satisfies ToBroker);
    this.#cancelAlarm?.();
    this.#cancelAlarm = this.#ports.timers.after(BROKER_LIMIT_MS, () => this.#replace());
  }

  #ready(name: string): void {
    this.#cancelAlarm?.();
    this.#cancelAlarm = null;
    this.#isReady = true;
    this.#announce(name);
  }

  #replace(): void {
    // Until the own tab has connected the new one, a question asks the old one once more.
    this.#cancelAlarm = null;
    this.#replaced += 1;
    this.#ports.wantBroker(`${this.#reign}-${this.#replaced}`);
  }

  #announce(broker: string | null): void {
    this.#ports.bulletin.post({ type: "leads", reign: this.#reign, broker });
  }
}
