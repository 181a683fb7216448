/** Events of a device as `watch` prints them. */
import type { DeviceEvent } from "#client/device/api.ts";

/** One line of JSON, with its line break: what happened where, never the bytes themselves. */
export function eventLine(event: DeviceEvent): string {
  return `${JSON.stringify(shown(event))}\n`;
}

function shown(event: DeviceEvent): unknown {
  switch (event.type) {
    case "changes":
      return { type: "changes", id: event.id, changes: event.changes.length };
    case "presence":
      return { type: "presence", id: event.id, people: event.peers.map((peer) => peer.name) };
    case "notes":
    case "search":
    case "notebooks":
    case "devices":
    case "status":
    case "fetching":
    case "mended":
    case "notice":
      return event;
  }
}
