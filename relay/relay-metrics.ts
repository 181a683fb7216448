/**
 * What the relay counts. Most of it is seen where frames pass (ConnectionMeter), so that nothing below
 * has to know of metrics.
 */
import { refusalName } from "#relay/protocol/errors.ts";
import { messageHeaderBytes, messageTypes, parseMessage } from "#relay/protocol/messages.ts";
import type { MetricsRegistry } from "#relay/metrics.ts";

const secondsBounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

export class RelayMetrics {
  readonly connections;
  readonly appends;
  readonly appendSeconds;
  readonly refusals;
  readonly fanout;
  readonly presence;
  readonly slowConsumers;
  readonly rewinds;
  readonly receivedBytes;
  readonly sentBytes;
  readonly verifySeconds;
  readonly signatureFailures;
  readonly refusedConnections;

  constructor(registry: MetricsRegistry) {
    this.connections = registry.counter(
      "relay_connections_opened_total",
      "WebSockets accepted since the start.",
    );
    this.refusedConnections = registry.counter(
      "relay_connections_refused_total",
      "WebSockets not accepted, by HTTP status.",
    );
    this.appends = registry.counter(
      "relay_appends_total",
      "Entries answered, by result: ok, or why not.",
    );
    this.appendSeconds = registry.histogram(
      "relay_append_duration_seconds",
      "From the last byte of a PUSH to its acknowledgement.",
      secondsBounds,
    );
    this.refusals = registry.counter(
      "relay_refusals_total",
      "Errors answered to requests, by name.",
    );
    this.fanout = registry.counter(
      "relay_fanout_messages_total",
      "DATA messages sent, live and catching up.",
    );
    this.presence = registry.counter(
      "relay_presence_messages_total",
      "Presence messages, by direction.",
    );
    this.slowConsumers = registry.counter(
      "relay_slow_consumers_total",
      "Connections ended because their client did not read.",
    );
    this.rewinds = registry.counter(
      "relay_rewinds_total",
      "Subscriptions whose cursor this relay's log does not know: it was restored, or another's.",
    );
    this.receivedBytes = registry.counter(
      "relay_received_bytes_total",
      "Bytes of frames received.",
    );
    this.sentBytes = registry.counter("relay_sent_bytes_total", "Bytes of frames sent.");
    this.verifySeconds = registry.histogram(
      "relay_signature_verify_duration_seconds",
      "Waiting for and verifying one signature.",
      [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5],
    );
    this.signatureFailures = registry.counter(
      "relay_signature_failures_total",
      "Signatures that did not verify.",
    );
  }
}

/** Reads along at one connection. */
export class ConnectionMeter {
  readonly #metrics: RelayMetrics;
  /** Milliseconds, on a clock that only rises. */
  readonly #now: () => number;
  readonly #pushedAt = new Map<number, number>();

  constructor(metrics: RelayMetrics, now: () => number) {
    this.#metrics = metrics;
    this.#now = now;
  }

  received(frame: Uint8Array): void {
    this.#metrics.receivedBytes.add(frame.length);
    if (frame[0] === messageTypes.push) this.#pushedAt.set(reqIdOf(frame), this.#now());
    else if (frame[0] === messageTypes.presence) {
      this.#metrics.presence.add(1, { direction: "in" });
    }
  }

  sent(frame: Uint8Array): void {
    this.#metrics.sentBytes.add(frame.length);
    switch (frame[0]) {
      case messageTypes.data:
        this.#metrics.fanout.add();
        break;
      case messageTypes.presence:
        this.#metrics.presence.add(1, { direction: "out" });
        break;
      case messageTypes.pushAck:
      case messageTypes.subscribed:
      case messageTypes.error:
      case messageTypes.goaway:
        this.#sentAnswer(frame);
        break;
      case undefined:
        break;
    }
  }

  #sentAnswer(frame: Uint8Array): void {
    const parsed = parseMessage(frame);
    if (!parsed.ok) return;
    const { reqId, message } = parsed.value;
    switch (message.type) {
      case "pushAck": {
        const pushedAt = this.#pushedAt.get(reqId);
        this.#pushedAt.delete(reqId);
        if (pushedAt !== undefined) {
          this.#metrics.appendSeconds.observe((this.#now() - pushedAt) / 1000);
        }
        for (const { status } of message.results) {
          this.#metrics.appends.add(1, { result: status === 0 ? "ok" : nameOf(status) });
        }
        break;
      }
      case "subscribed":
        for (const { status } of message.results) {
          const name = refusalName(status);
          if (name === "CURSOR_AHEAD" || name === "CHAIN_MISMATCH") this.#metrics.rewinds.add();
        }
        break;
      case "error":
        this.#pushedAt.delete(reqId);
        this.#metrics.refusals.add(1, { code: nameOf(message.code) });
        break;
      case "goaway":
        if (refusalName(message.code) === "SLOW_CONSUMER") this.#metrics.slowConsumers.add();
        break;
      default:
        throw new Error("only answers are looked into");
    }
  }
}

function nameOf(code: number): string {
  return (refusalName(code) ?? "other").toLowerCase();
}

function reqIdOf(frame: Uint8Array): number {
  if (frame.length < messageHeaderBytes) return 0;
  return new DataView(frame.buffer, frame.byteOffset, frame.byteLength).getUint32(1);
}
