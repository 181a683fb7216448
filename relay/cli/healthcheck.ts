/** `healthcheck`: asks the relay at the configured address, so that an image needs no other tool. */
import type { Config } from "#relay/config/config.ts";
import { OperatorError } from "./program.ts";

const patienceMs = 5000;
const anywhere: ReadonlyMap<string, string> = new Map([
  ["0.0.0.0", "127.0.0.1"],
  ["::", "[::1]"],
]);

/** Resolves when it is ready; else an OperatorError says what is wrong. */
export async function askHealth({ host, port }: Config): Promise<void> {
  const name = anywhere.get(host) ?? (host.includes(":") ? `[${host}]` : host);
  let answer: Response;
  try {
    answer = await fetch(`http://${name}:${port}/readyz`, {
      signal: AbortSignal.timeout(patienceMs),
    });
  } catch {
    throw new OperatorError(`No relay answers at ${name}:${port}.`);
  }
  if (answer.status === 200) return;
  const parts: unknown = await answer.json().catch(() => null);
  throw new OperatorError(`The relay is not ready: ${whyNot(parts)}.`);
}

function whyNot(parts: unknown): string {
  if (typeof parts !== "object" || parts === null) return "what answers is no relay";
  if ("store" in parts && parts.store === false) return "its store does not answer";
  if ("disk" in parts && parts.disk === false) return "its disk has no room";
  return "it is stopping";
}
