/**
 * What a session says and asks about a space's control log: own records and certificates go to the relay, the log comes
 * from it, and what it says of this person's access follows.
 */
import { indexOfCapability, roleOf } from "#relay/protocol/authority.ts";
import { equal, toHex } from "#relay/protocol/bytes.ts";
import { parseControl, roles } from "#relay/protocol/control.ts";
import { refusalClass, refusals } from "#relay/protocol/errors.ts";
import { recordsToPush, type PutBack } from "./put-back.ts";
import type { Receiver } from "./receiver.ts";
import type { RelayLink } from "./relay-link.ts";
import type { SessionListener, SessionPorts } from "./session-listener.ts";
import { errorCode, type SpaceRun } from "./space-run.ts";
import type { Space } from "./space.ts";
import type { SpaceEvent } from "./state.ts";

export interface ControlCore {
  readonly ports: SessionPorts;
  readonly listener: SessionListener;
  readonly link: RelayLink;
  readonly receiver: Receiver;
  readonly putBack: PutBack;
  event(run: SpaceRun, event: SpaceEvent): void;
  unsubscribe(run: SpaceRun): void;
  runOf(space: Space): SpaceRun | undefined;
  /** Bodies that passed by, or were set aside, are fetched. */
  fetchLeftOut(): void;
  /** Whether the relay takes spaces of this person, as its answer to records tells. */
  accessAnswered(status: number): void;
}

/** So long an administrator has to let in again whom a relay's loss has put out. */
const letInAgainMs = 60_000;

export class ControlExchange {
  readonly #core: ControlCore;
  /** Spaces, in hex, whose control log this connection has told from its first record to its last. */
  readonly #placesTold = new Set<string>();

  constructor(core: ControlCore) {
    this.#core = core;
  }

  /** Whether this connection has told where each control record of a space stands. */
  hasToldPlaces(space: Space): boolean {
    return this.#placesTold.has(space.hex);
  }

  /** The relay has told the whole control log in answer to a question from elsewhere. */
  placesTold(spaceId: Uint8Array): void {
    this.#placesTold.add(toHex(spaceId));
  }

  disconnected(): void {
    this.#placesTold.clear();
  }

  push(run: SpaceRun): void {
    const { space } = run;
    const { start, waiting } = space.unconfirmed;
    const unpushed = this.#core.putBack.isOpen(space) ? space.unpushedCertificates() : [];
    const records = recordsToPush(start, waiting, unpushed).map(({ bytes }) => bytes);
    this.#core.link.ask({ type: "controlPush", genesis: space.genesis, records }, (reply) => {
      if (reply?.type !== "controlAck") {
        if (reply === null) return;
        this.#core.accessAnswered(errorCode(reply));
        const status = errorCode(reply);
        this.#core.event(run, { type: "control-acked", status, told: false });
        return;
      }
      this.#core.receiver.absorb(space, reply.records, []);
      if (reply.status === 0 && start.ctrlSeq === 0) this.#placesTold.add(space.hex);
      const isUnvouched =
        reply.status === refusals.LINK_SPENT.code && this.#core.putBack.isOpen(space);
      if (isUnvouched) this.#core.listener.unvouched(space);
      this.#core.listener.members(space);
      this.#core.accessAnswered(reply.status);
      const told = reply.records.length > 0;
      this.#core.event(run, { type: "control-acked", status: reply.status, told });
    });
  }

  putCertificate(run: SpaceRun): void {
    const { store } = this.#core.ports;
    const { start, waiting: records } = run.space.unconfirmed;
    // Whom a record lets in that waits, too, the relay does not know yet: what ends others' rights may stand before it.
    const isKnown = (cap: Uint8Array): boolean =>
      records.length === 0 || indexOfCapability(start, cap) !== null;
    const waiting = store.spaces
      .certificates(run.space.id)
      .filter(({ pushed, cap }) => !pushed && isKnown(cap));
    const [first] = waiting;
    if (first === undefined) {
      this.#core.event(run, { type: "certificate-acked", status: 0 });
      return;
    }
    this.#core.link.ask({ type: "certPut", certificate: first.bytes }, (reply) => {
      if (reply === null) return;
      const status = reply.type === "certAck" ? reply.status : errorCode(reply);
      // What a capability may not certify any more, somebody else's or a former one of ours, is not to be insisted on.
      const inUse = run.space.capability?.sign.publicKey;
      const isOurs = inUse !== undefined && equal(first.cap, inUse);
      // Of one whose record is on its way the relay will know, as of a space that it has lost.
      const isAwaited =
        status === refusals.NO_SPACE.code ||
        (status === refusals.NOT_A_WRITER.code &&
          roleOf(run.space.authority, first.cap) > roles.none);
      const isOwn = isOurs && equal(first.dev, run.space.device.publicKey);
      const isGivenUp = status !== 0 && !isOwn && !isAwaited;
      if (status === 0 || (isGivenUp && refusalClass(status) !== "retry")) {
        store.spaces.markCertificatePushed(run.space.id, first.dev, first.cap);
        if (waiting.length > 1) {
          this.putCertificate(run);
          return;
        }
        this.#core.event(run, { type: "certificate-acked", status: 0 });
        return;
      }
      this.#core.event(run, { type: "certificate-acked", status });
    });
  }

  /** @param isWhole from the first record on, to be compared with what is held here */
  get(run: SpaceRun, fromSeq: number, isWhole = fromSeq === 1): void {
    const { space } = run;
    this.#core.link.ask({ type: "controlGet", spaceId: space.id, fromSeq }, (reply) => {
      if (reply === null) return;
      if (reply.type !== "controlData") {
        const isLost = errorCode(reply) === refusals.NO_SPACE.code;
        // What was deleted long ago has been forgotten there, and is not brought back by who was only away.
        const isOver = isLost && space.authority.deleted;
        this.#core.event(
          run,
          isLost
            ? { type: "control-received", found: isOver, keyed: !isOver }
            : { type: "control-refused" },
        );
        return;
      }
      const { confirmedSeq } = space;
      const told = reply.records.flatMap(({ bytes }) => {
        const parsed = parseControl(bytes);
        return parsed.ok ? [parsed.value.record.ctrlSeq] : [];
      });
      this.#core.receiver.absorb(space, reply.records, reply.certificates);
      this.#core.fetchLeftOut();
      const end = told.at(-1) ?? fromSeq - 1;
      const next = (isWhole ? end : space.confirmedSeq) + 1;
      if (reply.more && next > fromSeq) {
        this.get(run, next, isWhole);
        return;
      }
      if (!isWhole && fromSeq === confirmedSeq && !space.agreesAt(fromSeq, reply.records)) {
        // Its log is shorter, or another: read from the beginning it tells which.
        this.get(run, 1);
        return;
      }
      if (isWhole) this.#placesTold.add(space.hex);
      if (isWhole && end < space.confirmedSeq) this.#core.putBack.controlLost(space, end);
      this.#core.listener.members(space);
      this.doubtAccess(run);
      this.#core.event(run, this.#accessIn(run));
    });
  }

  /** Somebody has joined whose certificate is not here yet: fetch it, then ask who is here. */
  meetStranger(space: Space): void {
    const question = {
      type: "controlGet" as const,
      spaceId: space.id,
      fromSeq: space.confirmedSeq + 1,
    };
    this.#core.link.ask(question, (reply) => {
      if (reply?.type !== "controlData" || reply.more) return;
      this.#core.receiver.absorb(space, reply.records, reply.certificates);
      this.#core.fetchLeftOut();
      this.#core.listener.members(space);
      const run = this.#core.runOf(space);
      if (run?.state.subscribed === true) run.presence.open();
    });
  }

  /**
   * A relay that lost its log may have another record where this person was let in, and no rotation says so. An administrator
   * may let them in again meanwhile; else access has ended.
   */
  doubtAccess(run: SpaceRun): void {
    const { clock, timers } = this.#core.ports;
    if (!isPutOut(run.space)) {
      run.outSince = null;
      return;
    }
    run.outSince ??= clock.now();
    run.doubtDue ??= timers.after(letInAgainMs, () => {
      run.doubtDue = null;
      if (!isPutOut(run.space) || !run.state.subscribed) return;
      this.#core.unsubscribe(run);
      this.#core.link.attempt(() => this.#core.event(run, { type: "rekeyed" }));
    });
  }

  /** What the control log of a space, read to its end, means for this device. */
  #accessIn({ space, outSince }: SpaceRun): SpaceEvent {
    const { isMiskeyed, authority, role } = space;
    if (isMiskeyed) {
      this.#core.listener.miskeyed(space);
      return { type: "control-refused" };
    }
    if (authority.deleted && role !== roles.none) return { type: "control-closed" };
    // Whoever ended their own access knows the key, having made it.
    const mayComeBack = outSince !== null && this.#core.ports.clock.now() - outSince < letInAgainMs;
    // Without a key there is nothing to read meanwhile.
    if (mayComeBack && space.readToken === null) return { type: "control-refused" };
    return { type: "control-received", found: true, keyed: role !== roles.none || mayComeBack };
  }
}

/** Whether the log neither has this person nor says that they were removed. */
function isPutOut({ capability, authority }: Space): boolean {
  return capability !== null && indexOfCapability(authority, capability.sign.publicKey) === null;
}
