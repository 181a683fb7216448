/** What must not be found at a relay: in its files, its log, or what it tells its operator. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { toBase64url, toHex, utf8 } from "#relay/protocol/bytes.ts";
import { RawClient, startTestRelay } from "#tests/support/relay.ts";
import { bytesNamed, TestDevice, TestSpace } from "#tests/support/space-identities.ts";

describe("a relay's disk and log", () => {
  it("[SUB-3] hold no read token, no secret, and no id in the log (34)", async () => {
    const dir = mkdtempSync(join(tmpdir(), "sealeaf-private-"));
    const relay = await startTestRelay({ dir });
    const client = await RawClient.connect(relay.url);
    const space = new TestSpace("a title that is nobody's business");
    const device = new TestDevice(space, "laptop");
    await client.createSpace(space);
    await client.certify(device);
    const { handle } = await client.subscribe(space);
    const first = device.entry();
    await client.push(first);
    await client.push(device.entry({ size: 300 << 10 }), first.slice(0, -1));
    client.send({ type: "presence", handle, sealed: bytesNamed("here I am", 200) });
    await client.subscribe(space, { readToken: bytesNamed("wrong token", 16) });
    space.rotate([]);
    await client.createSpace(space);
    await client.subscribe(space);
    await client.settle();
    const answers = ["/relay.json", "/healthz", "/readyz"].map(async (path) =>
      (await fetch(`${relay.httpUrl}${path}`)).text(),
    );
    const told = (await Promise.all(answers)).join("\n") + relay.log.join("\n");
    const files = () =>
      readdirSync(dir, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => readFileSync(join(entry.parentPath, entry.name)));
    const whileRunning = files();
    await relay.stop();
    const everything = Buffer.concat([...whileRunning, ...files(), Buffer.from(told)]);
    rmSync(dir, { recursive: true });

    const secrets: Record<string, Uint8Array> = {
      "an old read token": space.readTokenOf(1),
      "a read token": space.readToken,
      "a wrong read token": bytesNamed("wrong token", 16),
      "a device's secret": device.signer.secret,
      "an administrator's secret": space.admin.secret,
      presence: bytesNamed("here I am", 200),
      "a title": utf8(space.name),
    };
    for (const [what, secret] of Object.entries(secrets)) {
      for (const form of [secret, utf8(toHex(secret)), utf8(toBase64url(secret))]) {
        expect({ what, isThere: everything.includes(Buffer.from(form)) }).toEqual({
          what,
          isThere: false,
        });
      }
    }
    // The search would find what is there, and ids are on the disk but never in what is told.
    expect(everything.includes(Buffer.from(first))).toBe(true);
    for (const id of [space.spaceId, device.signer.pub, space.admin.pub]) {
      expect(everything.includes(Buffer.from(id))).toBe(true);
      for (const form of [toHex(id), toBase64url(id)]) expect(told).not.toContain(form);
    }
    expect(told).not.toContain("127.0.0.1");
  });
});
