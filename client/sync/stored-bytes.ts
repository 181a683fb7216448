/** How much a relay holds of some spaces, as it lists them. */
import { encodeMessage, type Message } from "#relay/protocol/messages.ts";

export interface ListingPorts {
  /** Null when the connection broke. */
  readonly ask: (message: Message) => Promise<Message | null>;
  /** Bytes of a message were taken in. */
  readonly credit: (bytes: number) => void;
}

/**
 * Of each document its newest snapshot, what follows it, and its card. Null if the relay did not list all of them.
 * @param handles of subscriptions
 */
export async function storedBytes(
  handles: readonly number[],
  ports: ListingPorts,
): Promise<number | null> {
  let sum = 0;
  for (const handle of handles) {
    const bytes = await bytesOf(handle, ports);
    if (bytes === null) return null;
    sum += bytes;
  }
  return sum;
}

async function bytesOf(handle: number, { ask, credit }: ListingPorts): Promise<number | null> {
  let sum = 0;
  let afterDocId = new Uint8Array(16);
  for (;;) {
    const page = await ask({ type: "list", handle, afterDocId });
    if (page?.type !== "listed") return null;
    credit(encodeMessage(0, page).length);
    for (const { snapshotSize, tailBytes, card } of page.documents) {
      sum += snapshotSize + tailBytes + card.length;
    }
    const last = page.documents.at(-1);
    if (!page.more || last === undefined) return sum;
    afterDocId = new Uint8Array(last.docId);
  }
}
