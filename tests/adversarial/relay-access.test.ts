/** Relays that are not open, over real WebSockets: who gets in, who does not, and what stays possible. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { inviteHash } from "#relay/protocol/access.ts";
import { concat, toHex } from "#relay/protocol/bytes.ts";
import { inDomain } from "#relay/protocol/domain.ts";
import { refusals, type RefusalName } from "#relay/protocol/errors.ts";
import {
  encodeHelloBody,
  encodeWelcomeBody,
  type Auth,
  type Hello,
  type Message,
  type Welcome,
} from "#relay/protocol/messages.ts";
import { openSqliteStore } from "#relay/store/sqlite.ts";
import { RawClient, startTestRelay, type TestRelay } from "#tests/support/relay.ts";
import {
  bytesNamed,
  signerNamed,
  TestDevice,
  TestSpace,
  type Signer,
} from "#tests/support/space-identities.ts";

const noToken = new Uint8Array();

/** A client of which the transcript is known, and what it signs with a key. */
async function greet(
  relay: TestRelay,
  nonce = bytesNamed("client nonce", 16),
): Promise<{
  client: RawClient;
  welcome: Welcome;
  auth: (key: Signer, token?: Uint8Array) => Auth;
}> {
  const client = await RawClient.dial(relay.url);
  const hello: Hello = { type: "hello", version: 1, nonce, origin: relay.url };
  const welcome = await client.ask(hello, "welcome");
  return {
    client,
    welcome,
    auth: (key, token = noToken) => authBy(key, hello, welcome, token),
  };
}

function authBy(key: Signer, hello: Hello, welcome: Welcome, token: Uint8Array): Auth {
  const transcript = concat(encodeHelloBody(hello), encodeWelcomeBody(welcome));
  const signature = key.sign(inDomain("auth", transcript, token));
  return { type: "auth", accessPub: key.pub, token, signature };
}

async function refusalOf(client: RawClient, message: Message): Promise<number> {
  const answer = await client.answerTo(client.send(message));
  if (answer.type !== "error") throw new Error(`${answer.type} instead of a refusal`);
  return answer.code;
}

function code(name: RefusalName): number {
  return refusals[name].code;
}

async function addInvite(dir: string, token: Uint8Array, expiresAt: number | null): Promise<void> {
  const store = await openSqliteStore({ dir, workerUrl: null });
  const tokenHash = inviteHash(token);
  await store.access.addInvite({ tokenHash, label: "test", madeAt: 1, expiresAt });
  await store.close();
}

describe("a relay by invitation", () => {
  let relay: TestRelay;
  const owner = signerNamed("owner's access key");
  beforeAll(async () => {
    relay = await startTestRelay({ settings: { access: "invite" } });
  });
  afterAll(() => relay.stop());

  async function admitted(): Promise<RawClient> {
    const { client, auth } = await greet(relay);
    await client.ask(auth(owner, relay.firstInvite ?? noToken), "authOk");
    return client;
  }

  it("[AUTH-1] says how it is to be entered", async () => {
    const { client, welcome } = await greet(relay);
    expect(welcome.access).toBe(1);
    await client.close();
    const closed = await startTestRelay({ settings: { access: "allowlist", guests: "off" } });
    const other = await greet(closed);
    expect(other.welcome.access).toBe(6);
    await other.client.close();
    await closed.stop();
  });

  it("[AUTH-3] the first invitation admits one key, that key again, and no other", async () => {
    const token = relay.firstInvite ?? noToken;
    expect(token).toHaveLength(16);
    await (await admitted()).close();
    await (await admitted()).close();
    const { client, auth } = await greet(relay);
    expect(await refusalOf(client, auth(signerNamed("thief"), token))).toBe(code("TOKEN_SPENT"));
    expect(await refusalOf(client, auth(signerNamed("guesser"), bytesNamed("guess", 16)))).toBe(
      code("TOKEN_SPENT"),
    );
    await client.close();
  });

  it("[AUTH-3] of two keys that race for one token one is admitted (6)", async () => {
    const raced = await startTestRelay({ settings: { access: "invite" } });
    const token = raced.firstInvite ?? noToken;
    const answers = await Promise.all(
      ["one", "two", "three"].map(async (name) => {
        const { client, auth } = await greet(raced);
        const answer = await client.answerTo(client.send(auth(signerNamed(name), token)));
        await client.close();
        return answer.type;
      }),
    );
    expect(answers.toSorted()).toEqual(["authOk", "error", "error"]);
    await raced.stop();
  });

  it("[AUTH-3] an expired token admits nobody, and stays on no disk", async () => {
    const dir = mkdtempSync(join(tmpdir(), "sealeaf-access-"));
    const token = bytesNamed("yesterday's token", 16);
    await addInvite(dir, token, Date.now() - 1000);
    const again = await startTestRelay({ dir, settings: { access: "invite" } });
    expect(again.firstInvite).toBeNull();
    const { client, auth } = await greet(again);
    expect(await refusalOf(client, auth(owner, token))).toBe(code("TOKEN_SPENT"));
    await client.close();
    await again.stop();
    const files = readdirSync(dir).map((name) => readFileSync(join(dir, name)));
    expect(files.some((bytes) => bytes.includes(Buffer.from(inviteHash(token))))).toBe(true);
    expect(files.some((bytes) => bytes.includes(Buffer.from(token)))).toBe(false);
    rmSync(dir, { recursive: true });
  });

  it("[AUTH-2] a signature for another connection, key, token or relay is refused (5)", async () => {
    const { client, welcome, auth } = await greet(relay);
    const before = auth(owner);
    const second = await greet(relay);
    expect(await refusalOf(second.client, before)).toBe(code("AUTH_FAILED"));
    const altered: Auth = { ...second.auth(owner), accessPub: signerNamed("other").pub };
    expect(await refusalOf(second.client, altered)).toBe(code("AUTH_FAILED"));
    const withToken: Auth = { ...second.auth(owner), token: bytesNamed("token", 16) };
    expect(await refusalOf(second.client, withToken)).toBe(code("AUTH_FAILED"));
    const elsewhere: Hello = {
      type: "hello",
      version: 1,
      nonce: bytesNamed("client nonce", 16),
      origin: "wss://another.example/v1",
    };
    const forAnother = authBy(owner, elsewhere, welcome, noToken);
    expect(await refusalOf(client, forAnother)).toBe(code("AUTH_FAILED"));
    // The connection goes on, and the right signature is still taken.
    expect((await client.ask(before, "authOk")).type).toBe("authOk");
    await client.close();
    await second.client.close();
  });

  it("[AUTH-4] a new space needs an admitted key; afterwards it is there for its members (4)", async () => {
    const space = new TestSpace("invited");
    const guest = await RawClient.connect(relay.url);
    expect((await guest.createSpace(space)).status).toBe(code("AUTH_REQUIRED"));
    expect((await guest.subscribe(space)).status).toBe(code("NO_SPACE"));
    const client = await admitted();
    expect((await client.createSpace(space)).status).toBe(0);
    await client.close();
    await guest.close();
  });

  it("[AUTH-5] a guest with a certificate writes and reads in a space that is there (4)", async () => {
    const space = new TestSpace("with guests");
    const client = await admitted();
    await client.createSpace(space);
    const guest = await RawClient.connect(relay.url);
    const device = new TestDevice(space, "guest's laptop");
    expect(await guest.certify(device)).toBe(0);
    expect((await guest.push(device.entry()))[0]?.status).toBe(0);
    expect((await guest.subscribe(space)).status).toBe(0);
    await guest.close();
    await client.close();
  });
});

describe("a relay without guests", () => {
  it("[AUTH-5] answers nothing but PING before AUTH_OK, and everything after", async () => {
    const relay = await startTestRelay({ settings: { access: "invite", guests: "off" } });
    const space = new TestSpace("members only");
    const device = new TestDevice(space, "laptop");
    const { client, auth } = await greet(relay);
    await client.ask({ type: "ping", token: new Uint8Array(8) }, "pong");
    const { genesis, recordBytes: records } = space;
    const answers: unknown[] = [];
    const messages = [
      { type: "controlPush", genesis, records },
      { type: "controlGet", spaceId: space.spaceId, fromSeq: 1 },
      { type: "certPut", certificate: device.certificate },
      { type: "push", entries: [device.entry()] },
      { type: "subscribe", spaces: [] },
    ] as const;
    for (const message of messages) answers.push([message.type, await refusalOf(client, message)]);
    expect(answers).toEqual(messages.map(({ type }) => [type, code("AUTH_REQUIRED")]));
    await client.ask(auth(signerNamed("member"), relay.firstInvite ?? noToken), "authOk");
    expect((await client.createSpace(space)).status).toBe(0);
    expect(await client.certify(device)).toBe(0);
    await client.close();
    await relay.stop();
  });
});

describe("a relay with a list of keys", () => {
  it("[AUTH-2] admits the keys on it and no others, whatever token they bring", async () => {
    const listed = signerNamed("listed");
    const relay = await startTestRelay({
      settings: { access: "allowlist", "allowed-keys": toHex(listed.pub) },
    });
    expect(relay.firstInvite).toBeNull();
    const { client, auth } = await greet(relay);
    const stranger = auth(signerNamed("stranger"), bytesNamed("token", 16));
    expect(await refusalOf(client, stranger)).toBe(code("AUTH_FAILED"));
    await client.ask(auth(listed), "authOk");
    expect((await client.createSpace(new TestSpace("listed"))).status).toBe(0);
    await client.close();
    await relay.stop();
  });
});

describe("an open relay", () => {
  it("[AUTH-2] takes no AUTH", async () => {
    const relay = await startTestRelay();
    const { client, auth } = await greet(relay);
    expect(await refusalOf(client, auth(signerNamed("anybody")))).toBe(code("BAD_FRAME"));
    expect(await client.closed).toBe(4000 + code("BAD_FRAME"));
    await relay.stop();
  });
});

describe("the room of an access key", () => {
  it("[LIM-6] is shared by its spaces, for guests too; entries known already are still answered", async () => {
    const relay = await startTestRelay({
      settings: { access: "invite", "key-quota": String(1 << 20), "space-quota": "8MiB" },
      limits: { entriesPerSecond: 1000, entryBurst: 1000 },
    });
    const { client, auth } = await greet(relay);
    await client.ask(auth(signerNamed("owner"), relay.firstInvite ?? noToken), "authOk");
    const spaces = [new TestSpace("first"), new TestSpace("second")] as const;
    const devices = spaces.map((space) => new TestDevice(space, "laptop"));
    for (const space of spaces) expect((await client.createSpace(space)).status).toBe(0);
    for (const device of devices) await client.certify(device);
    const [first, second] = devices;
    if (first === undefined || second === undefined) throw new Error("one device for each space");

    const entries = Array.from({ length: 10 }, () => first.entry({ size: 100_000 }));
    const kept = await client.push(...entries);
    expect(kept.map(({ status }) => status)).toEqual(entries.map(() => 0));
    const guest = await RawClient.connect(relay.url);
    const over = second.entry({ size: 100_000 });
    expect((await guest.push(over))[0]?.status).toBe(code("QUOTA_KEY"));
    expect((await guest.push(entries[0] ?? over))[0]?.status).toBe(0);
    await guest.close();
    await client.close();
    await relay.stop();
  });
});

describe("a relay whose disk is nearly full", () => {
  it("[LIM-7] takes records of spaces that are there, and reads; no entries and no new spaces (22)", async () => {
    const dir = mkdtempSync(join(tmpdir(), "sealeaf-access-"));
    const relay = await startTestRelay({ dir });
    const space = new TestSpace("full");
    const device = new TestDevice(space, "laptop");
    const before = await RawClient.connect(relay.url);
    await before.createSpace(space);
    await before.certify(device);
    const known = device.entry();
    await before.push(known);
    await before.close();
    await relay.stop();

    // No disk has so much room.
    const full = await startTestRelay({ dir, settings: { "keep-free": "8000TiB" } });
    const client = await RawClient.connect(full.url);
    const statuses = (await client.push(known, device.entry())).map(({ status }) => status);
    expect(statuses).toEqual([0, code("DISK_FULL")]);
    expect((await client.createSpace(new TestSpace("new"))).status).toBe(code("DISK_FULL"));
    expect((await client.subscribe(space)).status).toBe(0);
    space.rotate([]);
    expect((await client.createSpace(space)).status).toBe(0);
    const ready = await fetch(`${full.httpUrl}/readyz`);
    expect(ready.status).toBe(503);
    expect(await ready.json()).toEqual({ ready: false, store: true, disk: false, draining: false });
    expect(full.log.join()).toContain("only reading goes on");
    await client.close();
    await full.stop();
    rmSync(dir, { recursive: true });
  });
});
