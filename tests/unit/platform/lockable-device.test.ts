/** The device behind its lock, with a real encrypted store and real WebCrypto; only the disk of the key is a fake. */
import { sha256 } from "@noble/hashes/sha2.js";
import { describe, expect, it } from "vitest";
import { nodeRandom } from "#client/cli/node-ports.ts";
import type { Argon2id } from "#client/crypto/passphrase-lock.ts";
import type { DeviceApi } from "#client/device/api.ts";
import { DatabaseKey } from "#client/worker/database-key.ts";
import type { KeyEntry } from "#client/worker/database-key.ts";
import type { KeyKeeper } from "#client/worker/key-keeper.ts";
import type { WorkerEvent } from "#client/worker/lock-api.ts";
import { LockableDevice } from "#client/worker/lockable-device.ts";
import type { LockablePorts } from "#client/worker/lockable-device.ts";
import { concat, toHex, utf8 } from "#relay/protocol/bytes.ts";
import { MemoryFiles } from "#crdt-store/files/memory.ts";
import { loadNodeEngine } from "#crdt-store/files/node.ts";
import { StoreError } from "#crdt-store/store-error.ts";
import { openStore } from "#crdt-store/store.ts";
import { deferred } from "#tests/support/deferred.ts";
import { ManualTimers } from "#tests/support/manual-timers.ts";

const passphrase = "four wet green leaves";
const session = "a".repeat(32);

const quickKdf: Argon2id = async (password, salt, { memoryKiB, passes }) =>
  sha256(concat(utf8(`${memoryKiB} ${passes} `), salt, password));

/** The disk under the key: loses power before or after the write it is told to. */
class Disk implements KeyEntry {
  value: unknown;
  writes = 0;
  #failsAt: number | null = null;
  #isWritten = false;

  /** @param isWritten whether that write still reaches the disk */
  losePowerAt(write: number, isWritten: boolean): void {
    this.#failsAt = write;
    this.#isWritten = isWritten;
  }

  async read(): Promise<unknown> {
    return this.value;
  }

  add(value: unknown): Promise<void> {
    if (this.value !== undefined) return Promise.reject(new Error("there is one already"));
    return this.#write(value);
  }

  replace(value: unknown): Promise<void> {
    return this.#write(value);
  }

  destroy(): Promise<void> {
    return this.#write(undefined);
  }

  async #write(value: unknown): Promise<void> {
    this.writes += 1;
    const fails = this.writes === this.#failsAt;
    if (!fails || this.#isWritten) this.value = value;
    if (fails) await new Promise(() => {});
  }
}

/** What outlives a worker: the disk, the files, the broker. */
class Browser {
  readonly disk = new Disk();
  files = new MemoryFiles();
  held: Uint8Array | null = null;
  readonly timers = new ManualTimers();
  readonly faults: unknown[] = [];
  readonly opened: { key: Uint8Array | null }[] = [];
  readonly closed: unknown[] = [];
  removals = 0;
  /** What the browser does when site data is cleared; null: nobody watches. */
  removeFilesUnderIt: (() => void) | null = null;
  /** Methods of the device that a test wants to hold up or to fail. */
  calls: Partial<DeviceApi> = {};

  readonly keeper: KeyKeeper = {
    ask: async () => this.held?.slice() ?? null,
    keep: (key) => {
      this.held = key?.slice() ?? null;
    },
  };

  async start(ports: Partial<LockablePorts> = {}) {
    const engine = await loadNodeEngine();
    const device = new LockableDevice({
      key: new DatabaseKey(this.disk, globalThis.crypto),
      keeper: this.keeper,
      openFiles: async () => ({ files: this.files, durable: true }),
      openDevice: async ({ files, key }) => {
        const store = openStore({ engine, files, key, clock: Date, random: nodeRandom });
        this.opened.push({ key });
        return {
          // Only what these tests call.
          api: {
            setDisplayName: async (name: string) => store.settings.put("name", utf8(name)),
            status: async () => ({ word: "up-to-date", durable: true }),
            info: async () => ({
              durable: true,
              displayName: new TextDecoder().decode(store.settings.get("name") ?? new Uint8Array()),
            }),
            setOnline: async () => {},
            setVisible: async () => {},
            ...this.calls,
          } as unknown as DeviceApi,
          subscribe: () => () => {},
          tabGone: () => {},
          close: async () => {
            store.close();
            this.closed.push(store);
          },
        };
      },
      removeFiles: async () => {
        this.removals += 1;
        this.files = new MemoryFiles();
      },
      watchFiles: (onGone) => {
        this.removeFilesUnderIt = onGone;
        return () => (this.removeFilesUnderIt = null);
      },
      argon2id: quickKdf,
      random: nodeRandom,
      timers: this.timers,
      clock: { now: () => 0 },
      onFault: (error) => this.faults.push(error),
      ...ports,
    });
    const events: WorkerEvent[] = [];
    device.subscribe((event) => events.push(event));
    return { device, api: device.api, events };
  }

  /** Changes with every byte of the files. */
  fingerprint(): string {
    const { main, wal, journal } = this.files.snapshot();
    return [main, wal, journal].map((bytes) => toHex(sha256(bytes))).join(" ");
  }

  /** The worker dies without a word; with `tabs`, so does the broker. */
  crash({ tabs }: { readonly tabs: boolean }): void {
    if (tabs) this.held = null;
  }
}

async function nameOf(api: DeviceApi): Promise<string> {
  return (await api.info()).displayName;
}

/** A browser with a passphrase and one thing written in it. */
async function lockedBrowser(): Promise<Browser> {
  const browser = new Browser();
  const { device, api } = await browser.start();
  await api.setDisplayName("Ana");
  await api.setPassphrase(null, passphrase);
  await device.close();
  browser.crash({ tabs: true });
  return browser;
}

describe("a device without a passphrase", () => {
  it("opens by itself, keeps its key, and says that it has no lock", async () => {
    const browser = new Browser();
    const first = await browser.start();
    expect(await first.api.lockState(session)).toEqual({
      type: "open",
      hasPassphrase: false,
      autoLock: null,
    });
    await first.api.setDisplayName("Ana");
    await expect(first.api.lockNow()).rejects.toMatchObject({ code: "bad-input" });
    await first.device.close();
    expect(browser.held).toBeNull();
    const again = await browser.start();
    expect(await nameOf(again.api)).toBe("Ana");
  });

  it("in a window that keeps nothing has nothing to lock, and can still be emptied", async () => {
    const browser = new Browser();
    const { api, events } = await browser.start({
      openFiles: async () => ({ files: new MemoryFiles(), durable: false }),
    });
    await api.setDisplayName("Ana");
    await expect(api.setPassphrase(null, passphrase)).rejects.toMatchObject({ code: "bad-input" });
    await api.wipe();
    expect(events).toContainEqual({ type: "wiped" });
    expect(await nameOf(api)).toBe("");
    expect(browser.disk.writes).toBe(0);
  });
});

describe("a locked device", () => {
  it("refuses everything until the right passphrase, which changes nothing", async () => {
    const browser = await lockedBrowser();
    const before = browser.disk.value;
    const { api } = await browser.start();
    expect(await api.lockState(session)).toEqual({ type: "locked" });
    await expect(api.info()).rejects.toMatchObject({ code: "locked" });
    await expect(api.setPassphrase(passphrase, null)).rejects.toMatchObject({ code: "locked" });
    await expect(api.unlock("four wet green leavez")).rejects.toMatchObject({
      code: "wrong-passphrase",
    });
    await expect(api.info()).rejects.toMatchObject({ code: "locked" });
    expect(browser.opened).toHaveLength(1);
    expect(browser.disk.value).toBe(before);
    await api.unlock(passphrase);
    expect(await nameOf(api)).toBe("Ana");
    expect(browser.disk.value).toBe(before);
  });

  it("takes no notice of hints, but passes the last one on when it opens", async () => {
    const browser = await lockedBrowser();
    const heard: unknown[] = [];
    browser.calls = { setOnline: async (online) => void heard.push(online) };
    const { api } = await browser.start();
    await api.setOnline(true);
    await api.setOnline(false);
    expect(heard).toEqual([]);
    await api.unlock(passphrase);
    expect(heard).toEqual([false]);
  });

  it("stays locked for another leader, and an open one stays open", async () => {
    const browser = await lockedBrowser();
    const first = await browser.start();
    expect((await first.api.lockState(session)).type).toBe("locked");
    await first.device.close();
    const second = await browser.start();
    expect((await second.api.lockState(session)).type).toBe("locked");
    await second.api.unlock(passphrase);
    await second.device.close();
    const third = await browser.start();
    expect((await third.api.lockState(session)).type).toBe("open");
    // Without a word: the broker has the key while a tab lives, and no longer.
    browser.crash({ tabs: false });
    browser.files = new MemoryFiles(browser.files.snapshot());
    const fourth = await browser.start();
    expect(await nameOf(fourth.api)).toBe("Ana");
    browser.crash({ tabs: true });
    const fifth = await browser.start();
    expect((await fifth.api.lockState(session)).type).toBe("locked");
  });
});

describe("a key handed over that is not the right one", () => {
  it("is forgotten, and the passphrase is asked for", async () => {
    const browser = await lockedBrowser();
    browser.held = new Uint8Array(32).fill(1);
    const { api } = await browser.start();
    expect(await api.lockState(session)).toEqual({ type: "locked" });
    expect(browser.held).toBeNull();
    await api.unlock(passphrase);
    expect(await nameOf(api)).toBe("Ana");
  });
});

describe("locking", () => {
  it("lets the tabs save first, closes the store, zeroes the key and tells everybody", async () => {
    const browser = await lockedBrowser();
    const { api, events } = await browser.start();
    await api.unlock(passphrase);
    await Promise.all([api.lockState(session), api.lockState("b".repeat(32))]);
    const { key } = browser.opened.at(-1) ?? { key: null };
    const locked = api.lockNow();
    await expect.poll(() => events.at(-1)).toEqual({ type: "lock", lock: { type: "locking" } });
    // What the tabs had not saved yet arrives and is kept.
    await api.setDisplayName("Typed in the last moment");
    await api.readyToLock(session, true);
    expect(events.at(-1)).toEqual({ type: "lock", lock: { type: "locking" } });
    await api.readyToLock("b".repeat(32), true);
    await locked;
    expect(events.at(-1)).toEqual({ type: "lock", lock: { type: "locked" } });
    expect(browser.held).toBeNull();
    expect(key).toEqual(new Uint8Array(32));
    await expect(api.info()).rejects.toMatchObject({ code: "locked" });
    await api.unlock(passphrase);
    expect(await nameOf(api)).toBe("Typed in the last moment");
  });

  it("does not wait for a tab that is gone or does not answer", async () => {
    const browser = await lockedBrowser();
    const { device, api, events } = await browser.start();
    await api.unlock(passphrase);
    await Promise.all([api.lockState("gone"), api.lockState("frozen")]);
    const locked = api.lockNow();
    await expect.poll(() => events.at(-1)).toEqual({ type: "lock", lock: { type: "locking" } });
    device.tabGone("gone");
    expect(browser.closed).toHaveLength(1);
    browser.timers.advance(3_000);
    await locked;
    expect(browser.closed).toHaveLength(2);
  });

  it("is put off when a tab holds typing that cannot be saved", async () => {
    const browser = await lockedBrowser();
    const { api, events } = await browser.start();
    await api.unlock(passphrase);
    await api.lockState(session);
    const locked = api.lockNow();
    await expect.poll(() => events.at(-1)).toEqual({ type: "lock", lock: { type: "locking" } });
    await api.readyToLock(session, false);
    await expect(locked).rejects.toMatchObject({ code: "storage" });
    expect(events.at(-1)).toMatchObject({ type: "lock", lock: { type: "open" } });
    expect(await nameOf(api)).toBe("Ana");
  });

  it("waits for calls under way, so that none meets a closed store", async () => {
    const browser = await lockedBrowser();
    const slow = deferred();
    browser.calls = { confirmWords: () => slow.promise };
    const { api } = await browser.start();
    await api.unlock(passphrase);
    const call = api.confirmWords();
    const locked = api.lockNow();
    await Promise.resolve();
    expect(browser.closed).toHaveLength(1);
    slow.resolve();
    await Promise.all([call, locked]);
    expect(browser.closed).toHaveLength(2);
  });

  it("comes by itself after the minutes chosen, which outlive the worker", async () => {
    const browser = await lockedBrowser();
    const first = await browser.start();
    await first.api.unlock(passphrase);
    await first.api.setAutoLock(5);
    await first.device.close();
    const { api, events } = await browser.start();
    expect(await api.lockState(session)).toMatchObject({ type: "open", autoLock: 5 });
    for (let seconds = 0; seconds < 290; seconds += 10) browser.timers.advance(10_000);
    await api.noteInput();
    for (let seconds = 0; seconds < 290; seconds += 10) browser.timers.advance(10_000);
    expect(events).toEqual([]);
    browser.timers.advance(10_000);
    await expect.poll(() => events.at(-1)).toEqual({ type: "lock", lock: { type: "locking" } });
    await api.readyToLock(session, true);
    await expect.poll(() => events.at(-1)).toEqual({ type: "lock", lock: { type: "locked" } });
  });
});

describe("a passphrase", () => {
  it("is changed and removed only with the one before, without a byte of the database changing", async () => {
    const browser = await lockedBrowser();
    const { device, api } = await browser.start();
    await api.unlock(passphrase);
    const before = browser.fingerprint();
    await expect(api.setPassphrase(null, "another passphrase")).rejects.toMatchObject({
      code: "bad-input",
    });
    await expect(api.setPassphrase("not the one", "another passphrase")).rejects.toMatchObject({
      code: "wrong-passphrase",
    });
    await expect(api.setPassphrase(passphrase, "short")).rejects.toMatchObject({
      code: "bad-input",
    });
    await api.setPassphrase(passphrase, "another passphrase");
    // Sent again because its answer was lost: it is done already.
    await api.setPassphrase(passphrase, "another passphrase");
    expect(browser.fingerprint()).toBe(before);
    await api.lockNow();
    await expect(api.unlock(passphrase)).rejects.toMatchObject({ code: "wrong-passphrase" });
    await api.unlock("another passphrase");
    await expect(api.setPassphrase(passphrase, null)).rejects.toMatchObject({
      code: "wrong-passphrase",
    });
    await api.setPassphrase("another passphrase", null);
    await api.setPassphrase("another passphrase", null);
    expect(browser.held).toBeNull();
    await device.close();
    const again = await browser.start();
    expect(await nameOf(again.api)).toBe("Ana");
  });

  it("is not set where there is no memory to work with it", async () => {
    const browser = new Browser();
    const { api } = await browser.start({ argon2id: async () => null });
    await api.lockState(session);
    const before = browser.disk.value;
    await expect(api.setPassphrase(null, passphrase)).rejects.toMatchObject({
      code: "unavailable",
    });
    expect(browser.disk.value).toBe(before);
  });

  const steps: readonly (readonly [string, string | null, string | null])[] = [
    ["set", null, passphrase],
    ["changed", passphrase, "another passphrase"],
    ["removed", passphrase, null],
  ];
  for (const [what, current, next] of steps) {
    it.each([false, true])(
      `being ${what} when the power fails opens as before or as after (written: %s)`,
      async (isWritten) => {
        const browser = current === null ? new Browser() : await lockedBrowser();
        const { api } = await browser.start();
        if (current === null) await api.setDisplayName("Ana");
        else await api.unlock(current);
        const writes = browser.disk.writes;
        browser.disk.losePowerAt(writes + 1, isWritten);
        void api.setPassphrase(current, next);
        await expect.poll(() => browser.disk.writes).toBe(writes + 1);
        browser.crash({ tabs: true });
        browser.files = new MemoryFiles(browser.files.snapshot());

        const valid = isWritten ? next : current;
        const again = await browser.start();
        const { type } = await again.api.lockState(session);
        expect(type).toBe(valid === null ? "open" : "locked");
        if (valid !== null) await again.api.unlock(valid);
        expect(await nameOf(again.api)).toBe("Ana");
      },
    );
  }
});

describe("removing everything", () => {
  it("destroys the key first, then the files, and starts afresh", async () => {
    const browser = await lockedBrowser();
    const { api, events } = await browser.start({
      removeFiles: async () => {
        browser.removals += 1;
        expect(browser.disk.value).toEqual({ wiping: true });
        browser.files = new MemoryFiles();
      },
    });
    await api.unlock(passphrase);
    await api.wipe();
    expect(events.at(-1)).toEqual({ type: "wiped" });
    expect(browser.held).toBeNull();
    expect(await nameOf(api)).toBe("");
    expect(await api.lockState(session)).toMatchObject({ type: "open", hasPassphrase: false });
  });

  it("works while it is locked", async () => {
    const browser = await lockedBrowser();
    const { api } = await browser.start();
    await api.wipe();
    expect(await nameOf(api)).toBe("");
  });

  // Write 1 destroys the key, write 2 takes the mark away, write 3 is the new device's key.
  it.each([
    [1, false, "Ana", 0],
    [1, true, "", 1],
    [2, false, "", 2],
    [2, true, "", 1],
    [3, false, "", 1],
  ] as const)(
    "cut short by a power failure at write %i (written: %s) is finished by the next start",
    async (write, isWritten, name, removals) => {
      const browser = new Browser();
      const { api } = await browser.start();
      await api.setDisplayName("Ana");
      const writes = browser.disk.writes;
      browser.disk.losePowerAt(writes + write, isWritten);
      void api.wipe();
      await expect.poll(() => browser.disk.writes).toBe(writes + write);
      browser.files = new MemoryFiles(browser.files.snapshot());
      const again = await browser.start();
      expect(await nameOf(again.api)).toBe(name);
      expect(browser.removals).toBe(removals);
    },
  );

  it("says so when the files cannot be removed, and is finished later", async () => {
    const browser = await lockedBrowser();
    const stuck = await browser.start({
      removeFiles: () => Promise.reject(new Error("held by another")),
    });
    await expect(stuck.api.wipe()).rejects.toMatchObject({
      code: "storage",
      message: expect.stringMatching(/key to the notes is destroyed/) as string,
    });
    await expect(stuck.api.info()).rejects.toMatchObject({ code: "storage" });
    const again = await browser.start();
    expect(await nameOf(again.api)).toBe("");
  });
});

describe("sealed notes without their key", () => {
  it("are left alone until somebody decides", async () => {
    const browser = await lockedBrowser();
    browser.disk.value = undefined;
    const before = browser.fingerprint();
    const { api } = await browser.start();
    expect(await api.lockState(session)).toEqual({ type: "keyless" });
    await expect(api.info()).rejects.toMatchObject({ code: "storage" });
    expect(browser.fingerprint()).toBe(before);
    expect(browser.disk.value).toBeUndefined();
    await api.wipe();
    expect(await nameOf(api)).toBe("");
  });
});

describe("files removed under an open device", () => {
  it("are told of, and from then on nothing counts as saved, nor can be locked away", async () => {
    const browser = await lockedBrowser();
    const { api, events } = await browser.start();
    await api.unlock(passphrase);
    expect(await api.status()).toMatchObject({ durable: true });
    browser.removeFilesUnderIt?.();
    await expect
      .poll(() => events.at(-1))
      .toEqual({ type: "status", status: { word: "up-to-date", durable: false } });
    expect(events.at(-2)).toMatchObject({
      type: "notice",
      text: expect.stringMatching(/copy what you need/) as string,
    });
    expect(await api.status()).toMatchObject({ durable: false });
    expect(await api.info()).toMatchObject({ durable: false, displayName: "Ana" });
    await expect(api.lockNow()).rejects.toMatchObject({ code: "storage" });
    await expect(api.setPassphrase(passphrase, null)).rejects.toMatchObject({ code: "storage" });
    expect(browser.closed).toHaveLength(1);
  });

  it("are watched for only while it is open and keeps anything", async () => {
    const browser = await lockedBrowser();
    const { api } = await browser.start();
    await expect(api.info()).rejects.toMatchObject({ code: "locked" });
    expect(browser.removeFilesUnderIt).toBeNull();
    await api.unlock(passphrase);
    expect(browser.removeFilesUnderIt).not.toBeNull();
    await api.lockNow();
    expect(browser.removeFilesUnderIt).toBeNull();
  });
});

describe("a failure of the store", () => {
  it("reaches the tab as its sentence", async () => {
    const browser = new Browser();
    browser.calls = {
      confirmWords: () => Promise.reject(new StoreError("disk-full", "There is no space left.")),
      words: () =>
        Promise.reject(new StoreError("io", "io", new DOMException("closed", "InvalidStateError"))),
    };
    const { api } = await browser.start();
    await expect(api.confirmWords()).rejects.toMatchObject({
      code: "storage",
      message: "There is no space left.",
    });
    await expect(api.words()).rejects.toMatchObject({
      code: "storage",
      message: expect.stringMatching(/browser has closed or removed/) as string,
    });
  });

  it("at the start is what every call is refused with", async () => {
    const browser = new Browser();
    const { api } = await browser.start({
      openFiles: () => Promise.reject(new StoreError("locked", "Another tab holds your notes.")),
    });
    const refusal = { code: "storage", message: "Another tab holds your notes." };
    await expect(api.lockState(session)).rejects.toMatchObject(refusal);
    await expect(api.notes()).rejects.toMatchObject(refusal);
    expect(browser.faults).toHaveLength(1);
  });
});
