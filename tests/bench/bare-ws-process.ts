/** A WebSocket server that keeps its connections and does nothing else; prints its address. */
import { startBare } from "./relay-load.ts";

const { url } = await startBare(() => undefined);
console.log(url);
