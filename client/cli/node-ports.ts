/** The platform's side of a device on Node: chance, time, sockets, signatures, Automerge. */
import {
  createPrivateKey,
  createPublicKey,
  randomBytes,
  sign,
  verify,
  type KeyObject,
} from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { WebSocket } from "ws";
import type { Ed25519 } from "#client/crypto/ed25519.ts";
import type { Automerge } from "#client/device/index-document.ts";
import type { Dial, Timers } from "#client/sync/ports.ts";
import { maxMessageBytes, subprotocol } from "#relay/protocol/limits.ts";

export function nodeRandom(length: number): Uint8Array {
  return new Uint8Array(randomBytes(length));
}

export const nodeTimers: Timers = {
  after: (ms, callback) => {
    const timer = setTimeout(callback, ms);
    return () => clearTimeout(timer);
  },
};

/** PKCS #8 and SPKI prefixes of Ed25519 keys (RFC 8410). */
const privatePrefix = Buffer.from("302e020100300506032b657004220420", "hex");
const publicPrefix = Buffer.from("302a300506032b6570032100", "hex");

/** Keys seen last: parsing one costs more than verifying with it. */
const mostKeys = 1_000;

/** OpenSSL's Ed25519, some twenty times faster than portable code; as strict where it matters. */
export function nodeEd25519(): Ed25519 {
  const publicKeys = new Map<string, KeyObject>();
  const privateKeys = new Map<string, KeyObject>();
  const remember = (
    keys: Map<string, KeyObject>,
    bytes: Uint8Array,
    make: () => KeyObject,
  ): KeyObject => {
    const name = Buffer.from(bytes).toString("latin1");
    const known = keys.get(name);
    if (known !== undefined) return known;
    if (keys.size >= mostKeys) keys.clear();
    const key = make();
    keys.set(name, key);
    return key;
  };
  const privateKeyOf = (seed: Uint8Array): KeyObject =>
    remember(privateKeys, seed, () =>
      createPrivateKey({
        key: Buffer.concat([privatePrefix, seed]),
        format: "der",
        type: "pkcs8",
      }),
    );
  return {
    publicKey: (seed) => {
      const exported = createPublicKey(privateKeyOf(seed)).export({ format: "der", type: "spki" });
      return new Uint8Array(exported.subarray(publicPrefix.length));
    },
    sign: (seed, message) => new Uint8Array(sign(null, message, privateKeyOf(seed))),
    verify: (publicKey, message, signature) => {
      if (publicKey.length !== 32 || signature.length !== 64) return false;
      const key = remember(publicKeys, publicKey, () =>
        createPublicKey({
          key: Buffer.concat([publicPrefix, publicKey]),
          format: "der",
          type: "spki",
        }),
      );
      return verify(null, message, key, signature);
    },
  };
}

/** The `ws` package as a wire. */
export const dialNode: Dial = (url, events) => {
  const socket = new WebSocket(url, subprotocol, {
    perMessageDeflate: false,
    maxPayload: maxMessageBytes,
  });
  let over = false;
  const finish = (): void => {
    if (over) return;
    over = true;
    events.closed();
  };
  socket.on("open", () => events.opened());
  // What answers otherwise than a WebSocket with our subprotocol is, to the session, a peer who
  // opened and then did not speak our language; without this it would look like no answer at all.
  const answeredOtherwise = (): void => {
    if (over) return;
    events.opened();
    if (!over) events.received(new Uint8Array(0));
    finish();
  };
  socket.on("unexpected-response", (request, { statusCode = 0 }) => {
    request.destroy();
    // A gateway whose relay is away answers 502 to 504.
    if (statusCode >= 500) finish();
    else answeredOtherwise();
  });
  socket.on("message", (data: Buffer, isBinary: boolean) => {
    if (!over) events.received(isBinary ? new Uint8Array(data) : new Uint8Array(0));
  });
  socket.on("close", finish);
  socket.on("error", (error: NodeJS.ErrnoException) => {
    const isNoHandshake = socket.readyState !== WebSocket.OPEN && isOfProtocol(error);
    if (isNoHandshake) answeredOtherwise();
    else finish();
  });
  return {
    send: (bytes) => {
      if (socket.readyState === WebSocket.OPEN) socket.send(bytes);
    },
    close: () => {
      over = true;
      // A socket that swallows everything would keep the process alive for a close handshake.
      if (socket.readyState === WebSocket.OPEN) socket.close();
      const cancel = nodeTimers.after(500, () => socket.terminate());
      socket.once("close", cancel);
    },
  };
};

const longestFetchMs = 5_000;

export function fetchPage(url: string): Promise<Response> {
  return fetch(url, { signal: AbortSignal.timeout(longestFetchMs) });
}

/** Failures of the network have a code of the system; HTTP that cannot be parsed has one of the parser. */
function isOfProtocol({ code }: NodeJS.ErrnoException): boolean {
  return code === undefined || code.startsWith("HPE_");
}

let automerge: Promise<Automerge> | null = null;

/** Automerge from the installed package, loaded once. */
export function nodeAutomerge(): Promise<Automerge> {
  automerge ??= load();
  return automerge;
}

async function load(): Promise<Automerge> {
  const loaded = await import("@automerge/automerge/slim");
  const path = createRequire(import.meta.url).resolve("@automerge/automerge/automerge.wasm");
  await loaded.initializeWasm(readFileSync(path));
  return loaded;
}
