/** What is asked of one relay outside the spaces' own path: who may open a space, and letting this person in. */
import { equal } from "#relay/protocol/bytes.ts";
import { parseControl } from "#relay/protocol/control.ts";
import { refusals } from "#relay/protocol/errors.ts";
import { spaceIdOf } from "#relay/protocol/genesis.ts";
import type { Message } from "#relay/protocol/messages.ts";
import type { Ed25519 } from "#client/crypto/ed25519.ts";
import { verifyLog, type VerifiedLog } from "#client/crypto/space-keys.ts";
import { refusalWords } from "#client/sync/refusal-words.ts";
import { Unanswered, type SyncSession } from "#client/sync/session.ts";
import type { Progress } from "./progress.ts";
import { refuse } from "./refusal.ts";

/** How long a question waits for a connection. */
const connectWithinMs = 10_000;

/** The control log of a space as a relay told it, from its first record. */
export interface ControlLog {
  readonly genesis: Uint8Array;
  readonly records: readonly { readonly pos: number; readonly bytes: Uint8Array }[];
  readonly certificates: readonly Uint8Array[];
  readonly verified: Extract<VerifiedLog, { ok: true }>;
}

export class RelayQuestions {
  readonly #session: SyncSession;
  readonly #ed: Ed25519;
  readonly #progress: Progress;

  constructor(session: SyncSession, ports: { readonly ed: Ed25519; readonly progress: Progress }) {
    this.#session = session;
    this.#ed = ports.ed;
    this.#progress = ports.progress;
  }

  /** Where the relay listens. */
  get url(): string {
    return this.#session.url;
  }

  /** Waits for the connection. Refuses with `offline`. */
  async reach(): Promise<void> {
    const session = this.#session;
    if (session.connected) return;
    session.setOnline(true);
    const look = (): "connected" | "failing" | null => {
      if (session.connected) return "connected";
      return session.failing ? "failing" : null;
    };
    if ((await this.#progress.until(look, connectWithinMs)) === "connected") return;
    const why = sentence(session.lastFailure ?? "the relay cannot be reached");
    refuse(
      "offline",
      `${why} This step needs it; nothing was changed. Try again when you are online.`,
    );
  }

  /** The answer to one question; connects first. Refuses with `offline`. */
  async ask(message: Message): Promise<Message> {
    await this.reach();
    try {
      return await this.#session.request(message);
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
    await this.reach();
    const { relayPub } = this.#session;
    if (this.#session.isOpenToAll) {
      refuse("refused", "This relay is open to everybody: it needs no invitation.");
    }
    const admission = await this.#session.authenticate(token);
    if (admission === "admitted" && relayPub !== null) return relayPub;
    if (typeof admission === "number") {
      refuse("refused", `The relay did not let this device in: ${refusalWords(admission)}.`);
    }
    return refuse("offline", "The connection to the relay broke. Enter the invitation again.");
  }

  /** Whether this person may make spaces there. */
  async admitsSpaces(): Promise<boolean> {
    await this.reach();
    return this.#session.isOpenToAll || (await this.#session.authenticate(null)) === "admitted";
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
    const verified = verifyLog(this.#ed, genesis, log);
    if (!equal(spaceIdOf(genesis), spaceId) || log.length !== records.length || !verified.ok) {
      refuse(
        "bad-relay",
        "The relay gave a record of access that is not genuine. Nothing was changed here.",
      );
    }
    return verified;
  }

  /** Pushes control records, all or none. */
  async pushRecords(
    genesis: Uint8Array,
    pushed: readonly Uint8Array[],
  ): Promise<
    | { readonly type: "taken"; readonly records: ControlLog["records"] }
    | { readonly type: "refused"; readonly code: number }
  > {
    const answer = await this.ask({ type: "controlPush", genesis, records: pushed });
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
