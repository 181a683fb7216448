/** What is known of how synchronising goes, as plain data that may be shown to anybody. */
import type { Store } from "#crdt-store/store.ts";
import type { LogLine, NoteRow, SyncReport, SyncStatus } from "./api.ts";
import { hostOf } from "./relay-address.ts";
import { quarantineWords, withoutSecrets } from "./report-words.ts";

/** @param notes those outside the trash */
export function makeSyncReport(
  store: Store,
  status: SyncStatus,
  notes: readonly Pick<NoteRow, "state" | "waiting">[],
): SyncReport {
  const { metrics, inbox } = store;
  const inState = (state: NoteRow["state"]): number =>
    notes.filter((note) => note.state === state).length;
  return {
    ...status,
    madeAt: store.now(),
    detail: withoutSecrets(status.detail),
    relay: status.relay === null ? null : hostOf(status.relay),
    relays: status.relays.map((relay) => ({
      ...relay,
      relay: hostOf(relay.relay),
      detail: withoutSecrets(relay.detail),
    })),
    waitingNotes: notes.filter(({ waiting }) => waiting > 0).length,
    notes: {
      "saved-here": inState("saved-here"),
      "on-relay": inState("on-relay"),
      "seen-elsewhere": inState("seen-elsewhere"),
    },
    pushes: { taken: metrics.counted("pushed"), refused: metrics.counted("push-refused") },
    retries: metrics.retries(),
    times: {
      push: metrics.measured("push"),
      pull: metrics.measured("pull"),
      upToDate: metrics.measured("up-to-date"),
      acknowledged: metrics.measured("acknowledged"),
      shown: metrics.measured("shown"),
    },
    divergence: {
      checks: metrics.counted("divergence-checks"),
      found: metrics.counted("divergences"),
    },
    conflicts: { found: metrics.counted("conflicts"), ...store.conflicts.counts() },
    quarantine: inbox.quarantined().map(({ at, reason, bytes }) => ({
      at,
      reason: quarantineWords(reason),
      bytes: bytes.length,
    })),
    log: logLines(store),
  };
}

/** The sync log, oldest first. */
export function logLines({ syncLog }: Store): readonly LogLine[] {
  return syncLog.all().map((row) => ({
    at: row.at,
    level: row.level === "warning" ? "warn" : row.level,
    text: withoutSecrets(row.text),
  }));
}
