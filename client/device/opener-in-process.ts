/** An opener's work in this very thread, where no other can be started: nothing stops what hangs here. */
import type { Automerge } from "./index-document.ts";
import { answerTo, type OpenerAnswer } from "./opener-work.ts";
import type { StartOpener } from "./opener.ts";

export function openerInProcess(automerge: () => Promise<Automerge>): StartOpener {
  return (events) => {
    let isKilled = false;
    const tell = (answer: OpenerAnswer): void => {
      if (!isKilled) events.answered(answer);
    };
    const died = (): void => {
      if (!isKilled) events.died();
    };
    const loading = automerge();
    loading.then(() => tell({ type: "ready" }), died);
    return {
      ask: (question) => {
        loading.then((loaded) => answerTo(loaded, question, tell)).catch(died);
      },
      kill: () => {
        isKilled = true;
      },
    };
  };
}
