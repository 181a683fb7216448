/** Composition root of a tab. The order matters: see each step. */
import automergeUrl from "@automerge/automerge/automerge.wasm?url";
import { initializeWasm } from "@automerge/automerge-repo/slim";
import { mount, unmount } from "svelte";

import { withoutSecrets } from "#client/device/report-words.ts";
import type { NoteTimers } from "#client/notes/open-note.ts";
import { browserTimers } from "#client/worker/browser-timers.ts";

import { adoptEditorStyles } from "./editor/theme.ts";
import { connectDevice } from "./platform/device-connection.ts";
import { watchInput } from "./platform/input.ts";
import { watchPage } from "./platform/network.ts";
import { insecureAddress } from "./platform/secure-context.ts";
import { browserStoragePromise } from "./platform/storage-promise.ts";
import { watchForUpdates } from "./platform/update.ts";
import type { AppParts, Preferences } from "./state/app-parts.ts";
import { App } from "./state/app.svelte.ts";
import { linkIn } from "./state/navigation.svelte.ts";
import { createNoteDocuments } from "./state/note-documents.ts";
import { isRefusal } from "./state/refusal.ts";
import { StartState } from "./state/start.svelte.ts";
import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/controls.css";
import Root from "./ui/Root.svelte";
import StartFailure from "./ui/StartFailure.svelte";

// First of all, before any request: a link's fragment is a key and must not stay in the address.
const link = takeLink();
const insecure = insecureAddress({
  isSecureContext,
  hostname: location.hostname,
  host: location.host,
});
if (insecure === null) startSafely();
else showFailure({ title: "This address is not safe", sentence: insecure, report: null });

function startSafely(): void {
  const state = new StartState();
  // Before and independent of the app: a version that cannot start must still be replaceable.
  watchForUpdates({
    onReady: (apply) => state.updateReady(apply),
    beforeReload: () => state.app?.current.flush() ?? Promise.resolve(),
    onUnavailable: (error) => console.warn("offline use is not available", error),
  });
  start(state).catch((error: unknown) => {
    console.error(error);
    showFailure({ ...startFailure(error), update: state });
  });
}

async function start(state: StartState): Promise<void> {
  adoptEditorStyles();
  const [connection] = await Promise.all([connectDevice(), initializeWasm(automergeUrl)]);
  const app = new App({
    device: connection.api,
    lock: connection.api,
    session: connection.session,
    documents: createNoteDocuments(),
    timers: noteTimers,
    preferences: browserPreferences,
    storagePromise: browserStoragePromise,
    copyText: (text) => navigator.clipboard.writeText(text),
    saveTextFile,
    reload: () => location.reload(),
    onFault: (error) => console.error(error),
  } satisfies AppParts);
  state.begin(app);

  app.device.reachability = connection.state;
  connection.onState((reachability) => (app.device.reachability = reachability));
  connection.onEvent((event) => app.receive(event));
  connection.onRestart(() => app.restarted());
  watchPage({
    onVisible: (visible) => {
      if (!visible) void app.current.flush();
    },
    // Once the page leaves, its own worker has no time left.
    onAboutToLeave: () => {
      void app.current.flush();
      return app.holdsUnsaved;
    },
    onLeaving: () => void app.current.flush(),
  });
  watchInput(() => app.lock.noteInput());
  addEventListener("hashchange", () => {
    app.navigation.link = takeLink() ?? app.navigation.link;
  });

  app.navigation.link = link;
  const screen = mount(Root, { target: root(), props: { app } });
  try {
    await app.start({ opensNote: link === null });
  } catch (error) {
    await unmount(screen);
    throw error;
  }
}

function takeLink(): string | null {
  const taken = linkIn(location.href);
  if (taken !== null) history.replaceState(null, "", location.pathname + location.search);
  return taken;
}

interface Failure {
  readonly title: string;
  readonly sentence: string;
  readonly report: string | null;
  readonly update?: { readonly apply: (() => void) | null };
}

function showFailure(failure: Failure): void {
  mount(StartFailure, {
    target: root(),
    props: {
      update: { apply: null },
      copyText: (text: string) => navigator.clipboard.writeText(text),
      ...failure,
    },
  });
}

function startFailure(error: unknown): Failure {
  const reason = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return {
    title: "Sealeaf could not start",
    sentence: isRefusal(error)
      ? error.message
      : "Notes saved before are safe on this device. Reload this page; if that does not help, the report says what went wrong.",
    report: withoutSecrets(
      [reason, `Browser: ${navigator.userAgent}`, `Page: ${location.host}`].join("\n"),
    ),
  };
}

function root(): HTMLElement {
  const element = document.getElementById("app");
  if (element === null) throw new Error("index.html has no element with the id app");
  return element;
}

const noteTimers: NoteTimers = {
  ...browserTimers,
  now: () => performance.timeOrigin + performance.now(),
};

// Storage may be forbidden altogether; the looks of a window are not worth failing for.
const preferencePrefix = "sealeaf.";
const browserPreferences: Preferences = {
  get: (name) => {
    try {
      return localStorage.getItem(preferencePrefix + name);
    } catch {
      return null;
    }
  },
  set: (name, value) => {
    try {
      localStorage.setItem(preferencePrefix + name, value);
    } catch {
      // The choice holds until the window closes.
    }
  },
  clear: () => {
    try {
      const names = Object.keys(localStorage).filter((name) => name.startsWith(preferencePrefix));
      for (const name of names) localStorage.removeItem(name);
    } catch {
      // Nothing could be kept, so nothing is there.
    }
  },
};

function saveTextFile(name: string, text: string): void {
  const address = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  const anchor = document.createElement("a");
  anchor.href = address;
  anchor.download = name;
  anchor.click();
  URL.revokeObjectURL(address);
}
