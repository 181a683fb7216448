/** Coming into a vault from outside it: by the words, or by the link that one of its devices shows. */
import type { Store } from "#crdt-store/store.ts";
import { admitControl, type Authority } from "#relay/protocol/authority.ts";
import { equal } from "#relay/protocol/bytes.ts";
import { roles, type SignedControl } from "#relay/protocol/control.ts";
import { spaceIdOf } from "#relay/protocol/genesis.ts";
import { boxKey, capabilityFrom, type HeldCapability } from "#client/crypto/capability.ts";
import { rootSecrets } from "#client/crypto/derive.ts";
import type { Ed25519, SigningKey } from "#client/crypto/ed25519.ts";
import { parseLink, type ShareLink } from "#client/crypto/link.ts";
import { parsePhrase } from "#client/crypto/phrase.ts";
import { grant, join, rotate } from "#client/crypto/space-keys.ts";
import { vaultOf } from "#client/crypto/vault.ts";
import type { Clock, Random } from "#client/sync/ports.ts";
import { admitRecords, currentKey, topOf } from "./admitted-records.ts";
import type { Admission } from "./admission.ts";
import type { DeviceRemoval } from "./device-removal.ts";
import { loadRelay, saveBackupKey, saveRelay } from "./identity.ts";
import type { Indices } from "./indices.ts";
import { refuse } from "./refusal.ts";
import type { RelayDesk } from "./relay-desk.ts";
import type { ControlLog, RelayQuestions } from "./relay-questions.ts";
import { deviceGrant, type Shelf } from "./shelf.ts";

export interface VaultAccessPorts {
  readonly store: Store;
  readonly ed: Ed25519;
  readonly clock: Clock;
  readonly random: Random;
  readonly shelf: Shelf;
  readonly indices: Indices;
  readonly desk: RelayDesk;
  readonly admission: Admission;
  readonly removal: DeviceRemoval;
}

/** "another": this device is one of that vault's now; "again": it was removed and is let in again. */
type Entered = "another" | "again" | "was-it-already";

/** What the words lead to. */
export interface WordsRoot {
  readonly vault: Uint8Array;
  readonly genesis: Uint8Array;
  readonly admin: SigningKey;
  readonly box: ReturnType<typeof boxKey>;
  readonly backupKey: Uint8Array;
}

/** The vault as its words open it. */
interface OpenedVault {
  readonly log: ControlLog;
  /** Of the current epoch. */
  readonly key: Uint8Array;
}

export class VaultAccess {
  readonly #ports: VaultAccessPorts;
  readonly #store: Store;

  constructor(ports: VaultAccessPorts) {
    this.#ports = ports;
    this.#store = ports.store;
  }

  /** Makes this device, which holds nothing of its own or was removed from this very vault, one of the words'. */
  async restore(typed: string): Promise<Entered> {
    const { shelf, desk } = this.#ports;
    const root = wordsRoot(this.#ports.ed, typed);
    const isOurs = shelf.vaultId !== null && equal(shelf.vaultId, root.vault);
    if (isOurs && this.#store.spaces.get(root.vault)?.state !== "ended") return "was-it-already";
    if (!isOurs) this.#mustBeReplaceable();
    const capSecret = this.#ports.random(32);
    const admitted = await desk.visitOwn((relay) =>
      admitRecords(
        relay,
        async () => {
          const { log, key } = await openByWords(relay, root);
          return { log, signed: [this.#granted(log, key, root, capSecret)] };
        },
        {
          refused: "The relay did not admit this device",
          tooMany: "Another device is being admitted at this moment. Try again.",
        },
      ),
    );
    if (isOurs) {
      this.#store.transaction(() => this.#takeIn(admitted, capSecret));
      desk.restart(shelf.vault);
      return "again";
    }
    this.#become(
      { genesis: root.genesis, capSecret },
      admitted,
      loadRelay(this.#store),
      root.backupKey,
    );
    return "another";
  }

  /** Makes this device, which holds nothing of its own, one of those that share the vault a link opens. */
  async become(text: string): Promise<Entered> {
    const { shelf, admission, ed, random, clock } = this.#ports;
    const link = mustDeviceLink(text);
    if (shelf.vaultId !== null && equal(shelf.vaultId, link.spaceId)) return "was-it-already";
    this.#mustBeReplaceable();
    const capSecret = random(32);
    const { sign, box } = capabilityFrom(ed, capSecret);
    const capability = capabilityFrom(ed, link.secret);
    const admit = async (relay: RelayQuestions) => {
      const admitted = await admitRecords(
        relay,
        async () => {
          const { log, key } = await openByLink(relay, link, capability);
          const own = { signPub: sign.publicKey, boxPub: box.publicKey, meta: new Uint8Array(0) };
          const signed = join({ ed, random }, topOf(log, clock.now()), capability.sign, key, own);
          return { log, signed: [signed] };
        },
        {
          refused: "The relay did not admit this device",
          tooMany: "Other devices are being admitted at this moment. Try again.",
        },
      );
      return { admitted, url: relay.url };
    };
    const { admitted, url } = await admission.atRelayOf(link, text, admit);
    // What opens backups comes with the vault.
    this.#become({ genesis: admitted.log.genesis, capSecret }, admitted, url, null);
    return "another";
  }

  /**
   * Lets this device, which is one of the words' or was, in by a fresh key, and everybody else out of the vault, whatever
   * they did before: only the words' own key outranks the devices. The notebooks follow.
   */
  async shutOthersOut(typed: string): Promise<void> {
    const { shelf, desk, removal, ed, random, clock } = this.#ports;
    const root = wordsRoot(ed, typed);
    const capSecret = random(32);
    const own = capabilityFrom(ed, capSecret).sign.publicKey;
    const admitted = await desk.visitOwn((relay) =>
      admitRecords(
        relay,
        async () => {
          const { log, key } = await openByWords(relay, root);
          const granted = this.#granted(log, key, root, capSecret);
          const authority = after(log.verified.authority, granted);
          const others = authority.capabilities
            .map(({ signPub }) => signPub)
            .filter((signPub) => !equal(signPub, own) && !equal(signPub, root.admin.publicKey));
          const lowered = others.map((signPub) => ({ signPub, role: roles.none }));
          const place = { ...topOf(log, clock.now()), authority };
          const { signed } = rotate({ ed, random }, place, root.admin, key, lowered);
          return { log, signed: [granted, signed], others };
        },
        {
          refused: "The relay did not renew the vault",
          tooMany: "Others are changing who may open your vault. Try again at once.",
        },
      ),
    );
    this.#store.transaction(() => {
      this.#takeIn(admitted, capSecret);
      removal.expect(admitted.others);
    });
    desk.restart(shelf.vault);
  }

  #granted(
    log: ControlLog,
    key: Uint8Array,
    { admin }: WordsRoot,
    capSecret: Uint8Array,
  ): SignedControl {
    const { ed, random, clock } = this.#ports;
    const device = deviceGrant(capabilityFrom(ed, capSecret));
    return grant({ ed, random }, topOf(log, clock.now()), admin, key, device);
  }

  /** Into the vault that this device holds; in the caller's transaction. */
  #takeIn(
    admitted: { readonly log: ControlLog; readonly records: ControlLog["records"] },
    capSecret: Uint8Array,
  ): void {
    const { shelf } = this.#ports;
    shelf.vault.absorb(admitted.records, admitted.log.certificates);
    shelf.takeAccess(shelf.vault, capSecret);
  }

  /** @param relay where the vault is kept, null for where this app came from */
  #become(
    vault: { readonly genesis: Uint8Array; readonly capSecret: Uint8Array },
    admitted: { readonly log: ControlLog; readonly records: ControlLog["records"] },
    relay: string | null,
    backupKey: Uint8Array | null,
  ): void {
    const { shelf, indices, desk } = this.#ports;
    // The relay took its time: something may have been written meanwhile.
    this.#mustBeReplaceable();
    desk.disconnect();
    this.#store.transaction(() => {
      this.#store.clear();
      if (relay !== null) saveRelay(this.#store, relay);
      if (backupKey !== null) saveBackupKey(this.#store, backupKey);
      indices.forget();
      const space = shelf.beginIn({ ...vault, relay: null });
      space.absorb(admitted.records, admitted.log.certificates);
      space.certifyDevice();
    });
  }

  /** Only a device that holds nothing of its own may become another one. */
  #mustBeReplaceable(): void {
    const { notes, spaces, drafts } = this.#store;
    const rows = [...notes.list(), ...notes.list({ trashed: true })];
    const written = rows.some((row) => row.title !== "" || row.preview !== "");
    const shared = spaces.list().filter((row) => row.kind === "notebook").length > 1;
    if (written || shared || drafts.all().length > 0) {
      refuse(
        "refused",
        "This device already has notes, and they would be replaced. Use another browser profile or another home directory.",
      );
    }
  }
}

/** Refused with `bad-words`, saying what is wrong with them. */
export function wordsRoot(ed: Ed25519, typed: string): WordsRoot {
  const phrase = parsePhrase(typed);
  if (!phrase.ok) refuse("bad-words", phrase.message);
  const root = rootSecrets(phrase.entropy);
  const { admin, genesis } = vaultOf(ed, root);
  const box = boxKey(root.recoveryBox);
  return { vault: spaceIdOf(genesis), genesis, admin, box, backupKey: root.backup };
}

/** Refused with `bad-link` where nothing is to be found under the words. */
export async function openByWords(relay: RelayQuestions, root: WordsRoot): Promise<OpenedVault> {
  const log = await relay.controlLog(
    root.vault,
    "These words are well formed, but nothing was found under them at this relay. Is it the right relay? Nothing was created.",
  );
  const key = currentKey(log, root.admin.publicKey, root.box);
  if (key === null) {
    refuse("bad-relay", "The relay's record of your vault cannot be opened with these words.");
  }
  return { log, key };
}

async function openByLink(
  relay: RelayQuestions,
  link: ShareLink,
  { sign, box }: HeldCapability,
): Promise<OpenedVault> {
  const log = await relay.controlLog(
    link.spaceId,
    "Nothing was found under this link at its relay: it may be damaged. Make a new one on your other device.",
  );
  if (log.verified.authority.kind !== "vault") refuse("bad-link", noDeviceLink);
  const key = currentKey(log, sign.publicKey, box);
  if (key === null) {
    refuse(
      "link-spent",
      "This link was used or withdrawn, or its ten minutes are over. Make a new one on your other device.",
    );
  }
  return { log, key };
}

const noDeviceLink =
  "This link opens a notebook and adds no device. The link that does is shown by another device of yours, under Devices.";

function mustDeviceLink(text: string): ShareLink {
  const parsed = parseLink(text);
  if (!parsed.ok) refuse("bad-link", parsed.message);
  return parsed.link.role === "device" ? parsed.link : refuse("bad-link", noDeviceLink);
}

function after(authority: Authority, signed: SignedControl): Authority {
  const verdict = admitControl(authority, signed, Number.MAX_SAFE_INTEGER, null);
  if (!verdict.ok) refuse("refused", `This device cannot be admitted: ${verdict.why}.`);
  return verdict.authority;
}
