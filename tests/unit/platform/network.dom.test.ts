// @vitest-environment happy-dom
import { describe, expect, it } from "vitest";
import { watchPage } from "#client/app/platform/network.ts";

/** happy-dom has no PageTransitionEvent. */
function transition(type: string, persisted: boolean): Event {
  return Object.assign(new Event(type), { persisted });
}

describe("what the browser says about the page", () => {
  it("is forwarded until the watcher is stopped", () => {
    const heard: string[] = [];
    const asked: boolean[] = [];
    const stop = watchPage({
      onOnline: (online) => heard.push(online ? "online" : "offline"),
      onVisible: (visible) => heard.push(visible ? "visible" : "hidden"),
      onAboutToLeave: () => heard.push("about to leave") > 0,
      onLeaving: () => heard.push("leaving"),
      onBack: () => heard.push("back"),
      onLeft: () => heard.push("left"),
      onReturned: () => heard.push("returned"),
    });
    const everything = (): void => {
      dispatchEvent(new Event("offline"));
      dispatchEvent(new Event("online"));
      document.dispatchEvent(new Event("visibilitychange"));
      const question = new Event("beforeunload", { cancelable: true });
      dispatchEvent(question);
      asked.push(question.defaultPrevented);
      document.dispatchEvent(new Event("freeze"));
      document.dispatchEvent(new Event("resume"));
      dispatchEvent(new Event("pagehide"));
      dispatchEvent(transition("pageshow", true));
      dispatchEvent(transition("pageshow", false));
    };
    everything();
    stop();
    everything();
    expect(heard.join(", ")).toBe(
      "offline, online, visible, about to leave, leaving, back, leaving, left, returned",
    );
    expect(asked).toEqual([true, false]);
  });
});
