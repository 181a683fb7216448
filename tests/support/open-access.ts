import type { AccessControl } from "#relay/access.ts";

/** Anybody, as much as the disk holds: for relays without a network. */
export const openAccess: AccessControl = {
  code: 0,
  access: { mode: "open", guests: true },
  admit: () => Promise.resolve(null),
  refusesMore: () => Promise.resolve(null),
  refusesSpace: () => Promise.resolve(null),
};
