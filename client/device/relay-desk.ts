/** This device's relay: which one it is, the connection to it, and what is asked of it outside the spaces' own path. */
import { equal } from "#relay/protocol/bytes.ts";
import { parseControl } from "#relay/protocol/control.ts";
import { refusals } from "#relay/protocol/errors.ts";
import { spaceIdOf } from "#relay/protocol/genesis.ts";
import type { Message } from "#relay/protocol/messages.ts";
import { verifyLog, type VerifiedLog } from "#client/crypto/space-keys.ts";
import { refusalWords } from "#client/sync/refusal-words.ts";
import {
  SyncSession,
  Unanswered,
  type SessionListener,
  type SessionPorts,
} from "#client/sync/session.ts";
import type { Space } from "#client/sync/space.ts";
import { loadDisplayName, loadRelay, saveRelay } from "./identity.ts";
import type { Progress } from "./progress.ts";
import { refuse } from "./refusal.ts";
import { sameRelay } from "./relay-address.ts";
import { isWorkingOffline } from "./work-offline.ts";

/** How long a question waits for a connection. */
const connectWithinMs = 10_000;

export interface RelayDeskPorts extends SessionPorts {
  /** Where the relay listens, unless the store remembers another. */
  readonly relayUrl: string | null;
  readonly progress: Progress;
  /** The spaces to synchronise once a connection is wanted. */
  readonly spaces: () => readonly Space[];
}

/** The control log of a space as a relay told it, from its first record. */
export interface ControlLog {
  readonly genesis: Uint8Array;
  readonly records: readonly { readonly pos: number; readonly bytes: Uint8Array }[];
  readonly certificates: readonly Uint8Array[];
  readonly verified: Extract<VerifiedLog, { ok: true }>;
}

export class RelayDesk {
  readonly #ports: RelayDeskPorts;
  readonly #listener: SessionListener;
  #session: SyncSession | null = null;
  #onTrial: string | null = null;

  constructor(ports: RelayDeskPorts, listener: SessionListener) {
    this.#ports = ports;
    this.#listener = listener;
  }

  /** Where the relay of this device listens, null if it knows none. */
  get url(): string | null {
    return loadRelay(this.#ports.store) ?? this.#ports.relayUrl ?? this.#onTrial;
  }

  /** Null before the first {@link connect}. */
  get session(): SyncSession | null {
    return this.#session;
  }

  /** Uses this relay from now on; refuses with `bad-relay` where another is in use. */
  use(url: string): void {
    const before = this.url;
    if (before !== null && !sameRelay(before, url)) {
      refuse(
        "bad-relay",
        `This device already uses ${before}. Several relays on one device come later.`,
      );
    }
    saveRelay(this.#ports.store, url);
    this.connect();
  }

  /** For a device that knows no relay: connects to this one; only {@link use} remembers it. */
  tryOut(url: string): void {
    this.#onTrial = url;
    this.connect();
  }

  /** Starts synchronising, if a relay is known and nobody has chosen to work offline; again is harmless. */
  connect(): void {
    const { url } = this;
    if (url === null || this.#session !== null || isWorkingOffline(this.#ports.store)) return;
    const session = new SyncSession(url, this.#ports, this.#listener);
    this.#session = session;
    this.tellName();
    for (const space of this.#ports.spaces()) session.add(space);
    session.start();
  }

  /** Stops synchronising; {@link connect} begins anew, with nothing remembered. */
  disconnect(): void {
    this.#session?.stop();
    this.#session = null;
    this.#onTrial = null;
  }

  /** Synchronises a space from now on; again is harmless. */
  add(space: Space): void {
    this.#session?.add(space);
  }

  /** Seals what waits, in the caller's transaction, if it can go at once. */
  sealAhead(space: Space): void {
    this.#session?.sealAhead(space);
  }

  /** Something of this space waits to be sent. */
  poke(space: Space): void {
    this.#session?.poke(space);
  }

  /** The cursor of this space was set back: its log is to be read from there. */
  readAgain(space: Space): void {
    this.#session?.readAgain(space);
  }

  /** The others here see the name this person has now. */
  tellName(): void {
    if (this.#session !== null) this.#session.displayName = loadDisplayName(this.#ports.store);
  }

  /** The answer to one question; connects first. Refuses with `offline` or `bad-relay`. */
  async ask(message: Message): Promise<Message> {
    const session = this.#mustHaveSession();
    await this.#connected(session);
    try {
      return await session.request(message);
    } catch (error) {
      if (!(error instanceof Unanswered)) throw error;
      return refuse(
        "offline",
        "The connection to the relay broke. Nothing was changed; try again.",
      );
    }
  }

  /** Redeems an invitation; answers the relay's key. Refuses where the relay does not take it. */
  async redeem(token: Uint8Array): Promise<Uint8Array> {
    const session = this.#mustHaveSession();
    await this.#connected(session);
    const { relayPub } = session;
    if (session.isOpenToAll) {
      refuse("refused", "This relay is open to everybody: it needs no invitation.");
    }
    const admission = await session.authenticate(token);
    if (admission === "admitted" && relayPub !== null) return relayPub;
    if (typeof admission === "number") {
      refuse("refused", `The relay did not let this device in: ${refusalWords(admission)}.`);
    }
    return refuse("offline", "The connection to the relay broke. Enter the invitation again.");
  }

  /** An access key has come from another device: shows it, if it is for the relay that is connected. */
  accessKeyCame(): void {
    void this.#session?.authenticate(null);
  }

  /** Refuses with `offline` or `bad-relay`. */
  #mustHaveSession(): SyncSession {
    this.connect();
    if (this.#session !== null) return this.#session;
    return isWorkingOffline(this.#ports.store)
      ? refuse(
          "offline",
          "You chose to work offline, and this step needs the relay. Nothing was changed. Go online again, then repeat it.",
        )
      : refuse("bad-relay", "This device knows no relay. Give it one first.");
  }

  async #connected(session: SyncSession): Promise<void> {
    if (session.connected) return;
    session.setOnline(true);
    const look = (): "connected" | "failing" | null => {
      if (session.connected) return "connected";
      return session.failing ? "failing" : null;
    };
    if ((await this.#ports.progress.until(look, connectWithinMs)) === "connected") return;
    const why = sentence(session.lastFailure ?? "the relay cannot be reached");
    refuse(
      "offline",
      `${why} This step needs it; nothing was changed. Try again when you are online.`,
    );
  }

  /**
   * The whole control log of a space, verified.
   *
   * @param absent what a person is told when the relay has no such space (`bad-link`)
   */
  async controlLog(spaceId: Uint8Array, absent: string): Promise<ControlLog> {
    const records: { readonly pos: number; readonly bytes: Uint8Array }[] = [];
    const certificates: Uint8Array[] = [];
    for (;;) {
      const answer = await this.ask({ type: "controlGet", spaceId, fromSeq: records.length + 1 });
      if (answer.type !== "controlData") {
        const code = refusalCode(answer);
        if (code === refusals.NO_SPACE.code) refuse("bad-link", absent);
        refuse("refused", `The relay did not answer as expected: ${refusalWords(code)}.`);
      }
      records.push(...answer.records);
      certificates.push(...answer.certificates);
      if (!answer.more || answer.records.length === 0) {
        const { genesis } = answer;
        const verified = this.#verified(genesis, spaceId, records);
        return { genesis, records, certificates, verified };
      }
    }
  }

  #verified(
    genesis: Uint8Array,
    spaceId: Uint8Array,
    records: ControlLog["records"],
  ): ControlLog["verified"] {
    const log = records.flatMap(({ pos, bytes }) => {
      const parsed = parseControl(bytes);
      return parsed.ok ? [{ signed: parsed.value, pos }] : [];
    });
    const verified = verifyLog(this.#ports.ed, genesis, log);
    if (!equal(spaceIdOf(genesis), spaceId) || log.length !== records.length || !verified.ok) {
      refuse(
        "bad-relay",
        "The relay gave a record of access that is not genuine. Nothing was changed here.",
      );
    }
    return verified;
  }

  /** Pushes one control record. */
  async pushRecord(
    genesis: Uint8Array,
    record: Uint8Array,
  ): Promise<
    | { readonly type: "taken"; readonly records: ControlLog["records"] }
    | { readonly type: "refused"; readonly code: number }
  > {
    const answer = await this.ask({ type: "controlPush", genesis, records: [record] });
    if (answer.type !== "controlAck") return { type: "refused", code: refusalCode(answer) };
    return answer.status === 0
      ? { type: "taken", records: answer.records }
      : { type: "refused", code: answer.status };
  }
}

function refusalCode(message: Message): number {
  return message.type === "error" ? message.code : refusals.INTERNAL.code;
}

function sentence(words: string): string {
  return `${words.charAt(0).toUpperCase()}${words.slice(1)}.`;
}
