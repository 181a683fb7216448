/**
 * Adding a device by a link that another one shows: a link into the vault, for one device and ten minutes. While it
 * lives it opens the vault, so it ends as soon as it was used, is not wanted any more, or its time is over.
 */
import type { Store } from "#crdt-store/store.ts";
import type { Capability } from "#relay/protocol/authority.ts";
import { equal } from "#relay/protocol/bytes.ts";
import { capabilityKinds, roles } from "#relay/protocol/control.ts";
import { capabilityFrom } from "#client/crypto/capability.ts";
import type { Ed25519 } from "#client/crypto/ed25519.ts";
import { formatLink } from "#client/crypto/link.ts";
import type { Clock, Random, Timers } from "#client/sync/ports.ts";
import { mayAdminister, type Membership } from "./membership.ts";
import type { Progress } from "./progress.ts";
import { refuse } from "./refusal.ts";
import { appOf } from "./relay-address.ts";
import type { RelayDesk } from "./relay-desk.ts";
import type { Shelf } from "./shelf.ts";

export interface DeviceLinksPorts {
  readonly store: Store;
  readonly ed: Ed25519;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly shelf: Shelf;
  readonly desk: RelayDesk;
  readonly membership: Membership;
  readonly progress: Progress;
}

const livesMs = 10 * 60_000;
/** A link that another device shows is that device's to end; this one does it if it has not come to it by then. */
const patienceMs = 2 * 60_000;
/** So long a link that is to be opened at once waits for the relay to know it. */
const publishWithinMs = 10_000;
/** The key of the link that this device shows. */
const shownSetting = "device/link";

export class DeviceLinks {
  readonly #ports: DeviceLinksPorts;
  readonly #store: Store;
  #lookDue: (() => void) | null = null;
  #closed = false;

  constructor(ports: DeviceLinksPorts) {
    this.#ports = ports;
    this.#store = ports.store;
  }

  /** A link in place of the one that was shown before. Needs the relay: another device opens it at once. */
  async show(): Promise<{ readonly link: string; readonly expiresAt: number }> {
    const { desk, shelf, membership, progress, ed, random, clock } = this.#ports;
    await desk.visitOwn((relay) => relay.reach());
    const { vault } = shelf;
    const relay = desk.url;
    if (relay === null || !mayAdminister(vault)) refuse("no-access", wasRemoved);
    const secret = random(32);
    const { sign, box } = capabilityFrom(ed, secret);
    const expiresAt = clock.now() + livesMs;
    this.cancel();
    this.#store.transaction(() => {
      membership.grant(vault, {
        signPub: sign.publicKey,
        boxPub: box.publicKey,
        role: roles.admin,
        kind: capabilityKinds.link,
        notAfter: expiresAt,
        maxJoins: 1,
        meta: new Uint8Array(0),
      });
      this.#store.settings.put(shownSetting, sign.publicKey);
    });
    membership.send(vault);
    const published = (): true | null =>
      this.#store.spaces.hasUnconfirmedControl(vault.id) ? null : true;
    if ((await progress.until(published, publishWithinMs)) === null) {
      this.cancel();
      refuse(
        "offline",
        "The relay did not answer in time, so no device can be added now. Try again.",
      );
    }
    this.moved();
    const link = { role: "device" as const, secret, spaceId: vault.id, relay };
    return { link: formatLink(appOf(relay), link), expiresAt };
  }

  /** The link that is shown opens nothing any more. Again is harmless. */
  cancel(): void {
    const shown = this.#store.settings.get(shownSetting);
    if (shown === null) return;
    this.#store.settings.remove(shownSetting);
    this.#end(this.#live().filter(({ signPub }) => equal(signPub, shown)));
  }

  /** The vault's log has moved, or time has passed: ends what is to end, and looks again when the next is. */
  moved(): void {
    this.#lookDue?.();
    this.#lookDue = null;
    const { clock, timers } = this.#ports;
    if (this.#closed) return;
    const now = clock.now();
    const live = this.#live();
    this.#end(live.filter((link) => this.#endsAt(link) <= now));
    const next = Math.min(...live.map((link) => this.#endsAt(link)).filter((at) => at > now));
    if (next < Infinity) this.#lookDue = timers.after(next - now, () => this.moved());
  }

  close(): void {
    this.#closed = true;
    this.#lookDue?.();
  }

  #live(): readonly Capability[] {
    const { capabilities } = this.#ports.shelf.vault.authority;
    return capabilities.filter(
      ({ kind, role }) => kind === capabilityKinds.link && role !== roles.none,
    );
  }

  #endsAt({ signPub, notAfter, maxJoins, joins }: Capability): number {
    const shown = this.#store.settings.get(shownSetting);
    if (shown === null || !equal(shown, signPub)) return notAfter + patienceMs;
    return maxJoins !== 0 && joins >= maxJoins ? 0 : notAfter;
  }

  #end(links: readonly Capability[]): void {
    const { shelf, membership } = this.#ports;
    const { vault } = shelf;
    if (links.length === 0 || !mayAdminister(vault)) return;
    const lowered = links.map(({ signPub }) => ({ signPub, role: roles.none }));
    this.#store.transaction(() => membership.renewKeys(vault, lowered));
    membership.send(vault);
  }
}

const wasRemoved = "This device was removed from your devices, so it can add no other.";
