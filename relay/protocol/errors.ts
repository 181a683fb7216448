/**
 * Refusals on the wire: stable numbers, each with a class that tells a client what to do.
 * `retry`: the same request may succeed later. `action`: a client must first do something else
 * (fetch keys, seal anew, ask its person). `final`: the same bytes will never be accepted.
 */
export type RefusalClass = "retry" | "action" | "final";

export const refusals = {
  BAD_FRAME: { code: 100, class: "final" },
  UNSUPPORTED_VERSION: { code: 101, class: "final" },
  FRAME_TOO_BIG: { code: 102, class: "final" },
  UNKNOWN_TYPE: { code: 103, class: "final" },
  HANDSHAKE_REQUIRED: { code: 104, class: "final" },
  AUTH_REQUIRED: { code: 200, class: "action" },
  AUTH_FAILED: { code: 201, class: "action" },
  TOKEN_SPENT: { code: 203, class: "action" },
  NO_SPACE: { code: 300, class: "action" },
  SPACE_DELETED: { code: 302, class: "final" },
  CURSOR_AHEAD: { code: 303, class: "action" },
  CHAIN_MISMATCH: { code: 304, class: "action" },
  BELOW_BASE: { code: 305, class: "action" },
  NO_BLOB: { code: 306, class: "action" },
  BAD_SIGNATURE: { code: 400, class: "final" },
  NOT_A_WRITER: { code: 401, class: "action" },
  STALE_EPOCH: { code: 402, class: "action" },
  CTR_REPLAY: { code: 403, class: "action" },
  BAD_ENTRY: { code: 404, class: "final" },
  BAD_COVER: { code: 405, class: "action" },
  CTRL_CONFLICT: { code: 406, class: "action" },
  NOT_ADMIN: { code: 407, class: "final" },
  LINK_SPENT: { code: 408, class: "final" },
  BAD_CONTROL: { code: 409, class: "final" },
  BAD_GENESIS: { code: 410, class: "final" },
  ENTRY_TOO_BIG: { code: 411, class: "final" },
  BAD_BLOB: { code: 412, class: "final" },
  RATE: { code: 500, class: "retry" },
  QUOTA_SPACE: { code: 501, class: "retry" },
  QUOTA_KEY: { code: 502, class: "retry" },
  SLOW_CONSUMER: { code: 503, class: "retry" },
  TOO_MANY: { code: 504, class: "retry" },
  DISK_FULL: { code: 505, class: "retry" },
  QUOTA_DOCUMENT: { code: 506, class: "retry" },
  QUOTA_MEMBER: { code: 507, class: "retry" },
  INTERNAL: { code: 600, class: "retry" },
  SHUTTING_DOWN: { code: 601, class: "retry" },
} as const satisfies Record<string, { code: number; class: RefusalClass }>;

export type RefusalName = keyof typeof refusals;

const nameByCode = new Map<number, RefusalName>(
  Object.entries(refusals).map(([name, { code }]) => [code, name as RefusalName]), // keys of a literal
);

/** The name of a code, or null for one of a later version. */
export function refusalName(code: number): RefusalName | null {
  return nameByCode.get(code) ?? null;
}

/** What to do about a code: its class, and for an unknown one its hundreds (5xx and 6xx retry). */
export function refusalClass(code: number): RefusalClass {
  const name = refusalName(code);
  if (name !== null) return refusals[name].class;
  return code >= 500 ? "retry" : "final";
}
