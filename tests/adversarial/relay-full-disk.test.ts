/** A relay on a volume of its own that runs out of room, by the operator's mark and for real. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, type TestContext } from "vitest";
import { refusals } from "#relay/protocol/errors.ts";
import { RawClient, startTestRelay } from "#tests/support/relay.ts";
import { TestDevice, TestSpace } from "#tests/support/space-identities.ts";

const volumeBytes = 12 << 20;
const full = refusals.DISK_FULL.code;

/** A tmpfs, which needs root. */
class Volume implements Disposable {
  readonly dir = mkdtempSync(join(tmpdir(), "sealeaf-volume-"));
  readonly #filler = join(this.dir, "filler");

  constructor() {
    const options = `size=${volumeBytes},mode=0700`;
    execFileSync("mount", ["-t", "tmpfs", "-o", options, "tmpfs", this.dir], { stdio: "pipe" });
  }

  fill(bytes: number): void {
    writeFileSync(this.#filler, new Uint8Array(bytes));
  }

  get freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.dir);
    return bavail * bsize;
  }

  makeRoom(): void {
    rmSync(this.#filler);
  }

  [Symbol.dispose](): void {
    // Lazily: a test that fails half-way leaves files open.
    execFileSync("umount", ["--lazy", this.dir]);
    rmSync(this.dir, { recursive: true, force: true });
  }
}

function mountVolume(context: TestContext): Volume {
  try {
    return new Volume();
  } catch {
    return context.skip("a small volume can only be mounted by root");
  }
}

describe("a full disk", () => {
  it.for([
    ["below the operator's mark", 4, 6 << 20],
    ["without any room", 0, 9 << 20],
  ] as const)(
    "[LIM-7] %s: entries are refused, what is there is read, and it goes on when there is room",
    { timeout: 30_000 },
    async ([, keepFreeMiB, fillerBytes], context) => {
      const markBytes = keepFreeMiB << 20;
      using volume = mountVolume(context);
      volume.fill(fillerBytes);
      const relay = await startTestRelay({
        dir: join(volume.dir, "data"),
        settings: { "keep-free": `${keepFreeMiB}MiB` },
        limits: { entriesPerSecond: 1000, entryBurst: 1000 },
      });
      const client = await RawClient.connect(relay.url);
      const space = new TestSpace("full");
      const device = new TestDevice(space, "laptop");
      await client.createSpace(space);
      await client.certify(device);

      let kept = -1;
      let refused: Uint8Array = new Uint8Array();
      let status = 0;
      while (status === 0) {
        kept += 1;
        refused = device.entry({ size: 200_000 });
        // It looks at the mark now and then: the volume must not be full before it has.
        if (volume.freeBytes < markBytes) await relay.logged("only reading goes on");
        status = await statusOf(client, refused);
      }
      expect(status).toBe(full);
      expect(kept).toBeGreaterThan(0);
      expect(relay.log.join().includes("only reading goes on")).toBe(markBytes > 0);
      const reader = await RawClient.connect(relay.url);
      const { head } = await reader.subscribe(space);
      expect(head).toBe(2 + kept);
      for (let last = 0; last < head;) {
        last = (await reader.next("data")).items.at(-1)?.pos ?? 0;
        reader.send({ type: "credit", bytes: 1 << 20 });
      }

      volume.makeRoom();
      if (markBytes > 0) await relay.logged("there is room on the disk again");
      // The same bytes, as a client sends them again.
      expect(await statusOf(client, refused)).toBe(0);
      expect((await client.subscribe(space)).head).toBe(head + 1);
      await reader.close();
      await client.close();
      await relay.stop();
    },
  );
});

async function statusOf(client: RawClient, entry: Uint8Array): Promise<number> {
  return (await client.push(entry))[0]?.status ?? 0;
}
