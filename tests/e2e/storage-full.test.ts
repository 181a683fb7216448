/** No room left on a real volume: nothing saved is lost, and writing goes on. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, statfsSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Home } from "#tests/support/cli.ts";

/** A small volume of its own, where this machine lets us have one. */
class Volume implements Disposable {
  readonly dir: string;

  private constructor(dir: string) {
    this.dir = dir;
  }

  static mount(bytes: number): Volume | null {
    const dir = mkdtempSync(join(tmpdir(), "sealeaf-volume-"));
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", `size=${bytes}`, "tmpfs", dir], {
        stdio: "ignore",
      });
      return new Volume(dir);
    } catch {
      rmSync(dir, { recursive: true });
      return null;
    }
  }

  fill(): void {
    const { bavail, bsize } = statfsSync(this.dir);
    writeFileSync(join(this.dir, "ballast"), Buffer.alloc(bavail * bsize));
  }

  empty(): void {
    unlinkSync(join(this.dir, "ballast"));
  }

  [Symbol.dispose](): void {
    execFileSync("umount", [this.dir]);
    rmSync(this.dir, { recursive: true, force: true });
  }
}

const volume = Volume.mount(8 << 20);

describe("a home on a full volume", { timeout: 120_000 }, () => {
  it.runIf(volume !== null)(
    "can be read, refuses writing in words, and goes on later",
    async () => {
      if (volume === null) throw new Error("unreachable: not run without a volume");
      using mounted = volume;
      using home = new Home(join(mounted.dir, "home"));
      await home.init();
      const id = await home.write("Tent", "Pegs and poles.");
      const before = await home.json<{ storage: { bytes: number; free: number } }>(["status"]);
      expect(before.storage.bytes).toBeGreaterThan(10_000);
      expect(before.storage.free).toBeLessThan(8 << 20);

      mounted.fill();
      expect((await home.read(id)).body).toBe("Pegs and poles.");
      expect((await home.list()).map(({ title }) => title)).toEqual(["Tent"]);
      const refused = await home.run(["new", "--title", "Stove"], "Gas. ".repeat(50_000));
      expect(refused).toMatchObject({ code: 1, stdout: "" });
      expect(refused.stderr).toMatch(/no space left/);
      expect((await home.run(["status"])).stdout).toMatch(/On disk: .* 0 KB free/);

      mounted.empty();
      const second = await home.write("Stove", "Gas.");
      expect((await home.read(second)).body).toBe("Gas.");
      expect((await home.read(id)).body).toBe("Pegs and poles.");
      expect((await home.run(["doctor"])).code).toBe(0);
    },
  );
});
