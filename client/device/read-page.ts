/** Reads small pages of a relay with the platform's fetch. */
import type { ReadPage } from "./relay-enquiry.ts";

/** No page of a relay is longer; of one that is, so much is read. */
const mostBytes = 64 << 10;

/** @param fetchPage gives up after a few seconds, and keeps nothing */
export function pageReader(fetchPage: (url: string) => Promise<Response>): ReadPage {
  return async (url) => {
    const response = await fetchPage(url);
    // A gateway whose relay is away answers 502 to 504.
    if (response.status >= 500) throw new Error(`answered ${response.status}`);
    if (!response.ok || response.body === null) return null;
    return readStart(response.body);
  };
}

async function readStart(body: ReadableStream<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  const reader = body.getReader();
  let text = "";
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    size += value.length;
    text += decoder.decode(value, { stream: true });
    if (size < mostBytes) continue;
    await reader.cancel();
    return text;
  }
}
