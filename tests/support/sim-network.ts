/**
 * A network between devices and relays, as TCP behaves: messages of a connection arrive in order
 * or not at all. What goes wrong is that a connection is cut (what was on its way is lost, or its
 * answer is), that it swallows everything without a word, or that it cannot be opened.
 */
import type { Dial, WireEvents } from "#client/sync/ports.ts";
import { parseMessage } from "#relay/protocol/messages.ts";
import type { RelayConnection, RelaySocket } from "#relay/relay.ts";
import type { Chance } from "./sim-chance.ts";
import type { Timeline } from "./sim-timeline.ts";
import type { Trace } from "./sim-trace.ts";

/** Probabilities are per message, times in milliseconds. */
export interface Weather {
  readonly latency: readonly [number, number];
  /** A message that takes `spike` longer, and all after it. */
  readonly spikes: number;
  readonly spike: number;
  /** The connection breaks and the message is lost. */
  readonly losses: number;
  /** The connection breaks right after the message has arrived: its sender will send it again. */
  readonly cuts: number;
  /** From this message on the connection swallows everything and nobody is told. */
  readonly swallows: number;
}

export const calm: Weather = {
  latency: [5, 30],
  spikes: 0,
  spike: 0,
  losses: 0,
  cuts: 0,
  swallows: 0,
};

/** A process at the device's end. When it is gone nothing it sends leaves, nothing reaches it. */
export interface Host {
  readonly name: string;
  isGone: boolean;
}

/** Somebody between a device and the relay who may do to messages what he likes. */
export interface Meddler {
  /** What reaches the relay of a message of the device. @param answer sends the device something as if from the relay */
  toRelay(frame: Uint8Array, answer: (frame: Uint8Array) => void): readonly Uint8Array[];
  /** What reaches the device of a message of the relay. */
  toDevice(frame: Uint8Array): readonly Uint8Array[];
}

interface Link {
  readonly host: Host;
  /** Of the relay that was dialled. */
  readonly relayHost: string;
  readonly events: WireEvents;
  relay: RelayConnection | null;
  /** Each end's view: what it can no longer hear. */
  deviceEnded: boolean;
  relayEnded: boolean;
  swallowing: boolean;
  toRelayAt: number;
  toDeviceAt: number;
  onTheWayToDevice: number;
}

export class Network {
  weather: Weather = calm;
  readonly #timeline: Timeline;
  readonly #chance: Chance;
  readonly #trace: Trace;
  readonly #links = new Set<Link>();
  readonly #meddlers = new Map<string, Meddler>();
  readonly #partitions = new Map<string, "refuse" | "swallow">();
  /** Sees every frame that leaves, whether it arrives or not. */
  readonly #onFrame: (frame: Uint8Array) => void;
  /** By the host of a relay that listens. */
  readonly #accept = new Map<string, (socket: RelaySocket) => RelayConnection>();
  frames = 0;

  constructor(
    timeline: Timeline,
    chance: Chance,
    trace: Trace,
    onFrame: (frame: Uint8Array) => void,
  ) {
    this.#timeline = timeline;
    this.#chance = chance;
    this.#trace = trace;
    this.#onFrame = onFrame;
  }

  /** The relay of this host listens. */
  listen(relayHost: string, accept: (socket: RelaySocket) => RelayConnection): void {
    this.#accept.set(relayHost, accept);
  }

  /** From now on everything between this device and the relay passes through `meddler`; null: nobody. */
  meddle(name: string, meddler: Meddler | null): void {
    if (meddler === null) this.#meddlers.delete(name);
    else this.#meddlers.set(name, meddler);
  }

  dialFrom(host: Host): Dial {
    return (url, events) => {
      const link: Link = {
        host,
        relayHost: new URL(url).host,
        events,
        relay: null,
        deviceEnded: false,
        relayEnded: false,
        swallowing: false,
        toRelayAt: 0,
        toDeviceAt: 0,
        onTheWayToDevice: 0,
      };
      this.#links.add(link);
      this.#trace.add(`${host.name} dials`);
      this.#timeline.after(this.#latency(), () => this.#open(link));
      return {
        send: (bytes) => {
          const meddler = this.#meddlers.get(host.name);
          const answer = (frame: Uint8Array): void => this.#sendToDevice(link, frame);
          for (const frame of meddler?.toRelay(bytes, answer) ?? [bytes]) {
            this.#sendToRelay(link, frame);
          }
        },
        close: () => {
          if (link.deviceEnded) return;
          link.deviceEnded = true;
          this.#trace.add(`${host.name} hangs up`);
          this.#tellRelay(link, this.#latency());
        },
      };
    };
  }

  /** No way between this device and the relay until {@link join}. */
  part(name: string, mode: "refuse" | "swallow"): void {
    this.#trace.add(`${name} is cut off (${mode})`);
    this.#partitions.set(name, mode);
    for (const link of this.#links) {
      if (link.host.name !== name) continue;
      if (mode === "swallow") link.swallowing = true;
      else this.#breakLink(link);
    }
  }

  join(name: string): void {
    if (this.#partitions.delete(name)) this.#trace.add(`${name} is reachable again`);
  }

  isParted(name: string): boolean {
    return this.#partitions.has(name);
  }

  /** The device's process has ended: its kernel may say so to the relay, or the power is gone. */
  hostGone(host: Host): void {
    for (const link of this.#links) {
      if (link.host !== host) continue;
      link.deviceEnded = true;
      if (this.#chance.happens(0.5)) this.#tellRelay(link, this.#latency());
    }
  }

  /** The relay's process has ended: its clients hear of it soon, or never. */
  relayGone(relayHost: string): void {
    this.#accept.delete(relayHost);
    for (const link of this.#links) {
      if (link.relayHost !== relayHost) continue;
      link.relayEnded = true;
      if (this.#chance.happens(0.7)) this.#tellDevice(link, this.#chance.between(1, 500));
    }
  }

  #open(link: Link): void {
    const mode = this.#partitions.get(link.host.name);
    if (mode === "swallow") return;
    const accept = this.#accept.get(link.relayHost);
    if (mode === "refuse" || accept === undefined) {
      link.relayEnded = true;
      this.#tellDevice(link, 0);
      return;
    }
    if (link.deviceEnded || link.host.isGone) {
      this.#links.delete(link);
      return;
    }
    link.relay = accept({
      send: (bytes) => {
        for (const frame of this.#meddlers.get(link.host.name)?.toDevice(bytes) ?? [bytes]) {
          this.#sendToDevice(link, frame);
        }
      },
      close: (code, reason) => {
        if (link.relayEnded) return;
        this.#trace.add(`relay closes ${link.host.name}: ${code} ${reason}`);
        link.relayEnded = true;
        this.#tellDevice(link, Math.max(this.#latency(), link.toDeviceAt - this.#timeline.now()));
      },
      buffered: () => link.onTheWayToDevice,
      host: link.relayHost,
    });
    link.events.opened();
  }

  #sendToRelay(link: Link, bytes: Uint8Array): void {
    if (link.deviceEnded || link.host.isGone) return;
    const fate = this.#send(`${link.host.name} →`, bytes);
    if (fate === "swallow") link.swallowing = true;
    if (link.swallowing) return;
    const at = Math.max(link.toRelayAt, this.#timeline.now() + this.#latency());
    link.toRelayAt = at;
    const frame = bytes.slice();
    if (fate === "lose") {
      this.#breakLink(link);
      return;
    }
    this.#timeline.after(at - this.#timeline.now(), () => {
      if (link.relayEnded || link.swallowing) return;
      link.relay?.receive(frame);
      if (fate === "cut") this.#breakLink(link);
    });
  }

  #sendToDevice(link: Link, bytes: Uint8Array): void {
    if (link.relayEnded) return;
    const fate = this.#send(`→ ${link.host.name}`, bytes);
    if (fate === "swallow") link.swallowing = true;
    if (link.swallowing) return;
    const at = Math.max(link.toDeviceAt, this.#timeline.now() + this.#latency());
    link.toDeviceAt = at;
    const frame = bytes.slice();
    if (fate === "lose") {
      this.#breakLink(link);
      return;
    }
    link.onTheWayToDevice += frame.length;
    this.#timeline.after(at - this.#timeline.now(), () => {
      link.onTheWayToDevice -= frame.length;
      if (link.deviceEnded || link.host.isGone || link.swallowing) return;
      link.events.received(frame);
      if (fate === "cut") this.#breakLink(link);
    });
  }

  #send(between: string, bytes: Uint8Array): "arrive" | "lose" | "cut" | "swallow" {
    this.frames += 1;
    this.#onFrame(bytes);
    const { losses, cuts, swallows } = this.weather;
    const drawn = this.#chance.next();
    const fate =
      drawn < losses
        ? "lose"
        : drawn < losses + cuts
          ? "cut"
          : drawn < losses + cuts + swallows
            ? "swallow"
            : "arrive";
    const parsed = parseMessage(bytes);
    const what = parsed.ok ? parsed.value.message.type : "?";
    this.#trace.add(
      `${between} ${what} ${bytes.length} B${fate === "arrive" ? "" : ` (${fate})`}`,
      bytes,
    );
    return fate;
  }

  /** Nothing that is on its way arrives any more; both ends hear of it, each in its time. */
  #breakLink(link: Link): void {
    link.swallowing = true;
    this.#tellDevice(link, this.#chance.between(0, 2_000));
    this.#tellRelay(link, this.#chance.between(0, 5_000));
  }

  #tellDevice(link: Link, ms: number): void {
    this.#timeline.after(ms, () => {
      if (link.deviceEnded || link.host.isGone) return;
      link.deviceEnded = true;
      link.events.closed();
      this.#forgetIfOver(link);
    });
  }

  #tellRelay(link: Link, ms: number): void {
    this.#timeline.after(ms, () => {
      if (link.relayEnded) return;
      link.relayEnded = true;
      link.relay?.closed();
      this.#forgetIfOver(link);
    });
  }

  #forgetIfOver(link: Link): void {
    if (link.deviceEnded && link.relayEnded) this.#links.delete(link);
  }

  #latency(): number {
    const { latency, spikes, spike } = this.weather;
    return this.#chance.between(...latency) + (this.#chance.happens(spikes) ? spike : 0);
  }
}
