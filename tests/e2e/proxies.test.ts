/** The relay and the app behind nginx and Caddy, as Debian has them and as our files configure them. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { launchPerson } from "#tests/support/browser.ts";
import { caddyServer, nginxServer, requireEngine } from "#tests/support/engines.ts";
import { networkTrouble, openApp, parts } from "#tests/support/product.ts";
import { RawClient, startTestRelay } from "#tests/support/relay.ts";
import {
  startCaddy,
  startNginx,
  type ProxyOptions,
  type ReverseProxy,
} from "#tests/support/reverse-proxies.ts";
import { TestDevice, TestSpace } from "#tests/support/space-identities.ts";

const clientDir = resolve(import.meta.dirname, "../../dist/client");
const idleSeconds = 3;
const pingMs = 1000;

const proxies = [
  { name: "nginx", engine: nginxServer, start: startNginx },
  { name: "Caddy", engine: caddyServer, start: startCaddy },
] as const;

describe.each(proxies)("behind $name", ({ engine, start }) => {
  async function behind(
    options: Omit<ProxyOptions, "upstreamPort">,
    run: (proxy: ReverseProxy, address: string, stopAll: () => Promise<void>) => Promise<void>,
  ): Promise<void> {
    const relay = await startTestRelay({
      clientDir,
      settings: {
        access: "open",
        "trusted-proxies": "127.0.0.1",
        "public-url": `http://localhost${options.path}`,
      },
    });
    const running: (() => Promise<void>)[] = [() => relay.stop()];
    const stopAll = async (): Promise<void> => {
      for (const stop of running.splice(0).toReversed()) await stop();
    };
    try {
      const proxy = await start({ ...options, upstreamPort: relay.port });
      running.push(() => proxy.stop());
      await run(proxy, `http://localhost:${proxy.port}${options.path}`, stopAll);
    } finally {
      await stopAll();
    }
  }

  it("WebSockets are passed on, with the address that was dialled and frames of a mebibyte", async (context) => {
    requireEngine(context, engine);
    await behind({ path: "/" }, async (proxy) => {
      const url = `ws://localhost:${proxy.port}/v1`;
      const client = await RawClient.connect(url);
      const space = new TestSpace("proxied");
      const device = new TestDevice(space, "laptop");
      await client.createSpace(space);
      await client.certify(device);
      const entries = Array.from({ length: 4 }, () => device.entry({ size: 258_000 }));
      const answers = await client.push(...entries);
      expect(answers.map(({ status }) => status)).toEqual([0, 0, 0, 0]);
      const reader = await RawClient.connect(url);
      await reader.subscribe(space);
      const received: Buffer[] = [];
      while (received.length < 4) {
        const { items } = await reader.next("data");
        for (const { kind, bytes } of items)
          if (kind === "entry") received.push(Buffer.from(bytes));
      }
      expect(Buffer.concat(received).equals(Buffer.concat(entries))).toBe(true);
      await reader.close();
      await client.close();
    });
  });

  it("a client that speaks within the proxy's patience stays connected; a silent one does not", async (context) => {
    requireEngine(context, engine);
    await behind({ path: "/", idleSeconds }, async (proxy) => {
      const url = `ws://localhost:${proxy.port}/v1`;
      const [speaking, silent] = [await RawClient.connect(url), await RawClient.connect(url)];
      let hasEnded = false;
      void speaking.closed.then(() => (hasEnded = true));
      const beat = setInterval(() => {
        speaking.send({ type: "ping", token: new Uint8Array(8) });
      }, pingMs);
      await silent.closed;
      const next = await RawClient.connect(url);
      await next.closed;
      clearInterval(beat);
      expect(hasEnded).toBe(false);
      expect((await speaking.settle()).length).toBeGreaterThan(idleSeconds);
      await speaking.close();
    });
  });

  it.for([
    ["passes on", false],
    ["takes away", true],
  ] as const)(
    "the app works below a path that the proxy %s, offline too",
    async ([, stripsPath], context) => {
      requireEngine(context, engine);
      await behind({ path: "/some/notes/", stripsPath }, async (_, address, stopAll) => {
        const about = await fetch(`${address}relay.json`);
        expect(await about.json()).toMatchObject({ name: "sealeaf" });
        const profile = mkdtempSync(join(tmpdir(), "sealeaf-profile-"));
        await using person = await launchPerson(profile, { expectedErrors: networkTrouble });
        await openApp(person.page, address);
        const { body, status } = parts(person.page);
        await body.click();
        await person.page.keyboard.type("Below a path");
        await status.getByText("Up to date").waitFor();
        await person.page.evaluate(() => navigator.serviceWorker.ready.then(() => undefined));
        const scope = await person.page.evaluate(
          async () => (await navigator.serviceWorker.ready).scope,
        );
        expect(scope).toBe(address);
        await stopAll();
        await person.page.reload();
        await body.getByText("Below a path").waitFor();
        await person.context.close();
        rmSync(profile, { recursive: true, force: true, maxRetries: 10 });
      });
    },
  );
});
