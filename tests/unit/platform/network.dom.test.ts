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
    const stop = watchPage({
      onOnline: (online) => heard.push(online ? "online" : "offline"),
      onVisible: (visible) => heard.push(visible ? "visible" : "hidden"),
      onAboutToLeave: () => heard.push("about to leave"),
      onLeaving: () => heard.push("leaving"),
      onBack: () => heard.push("back"),
      onGone: () => heard.push("gone"),
    });
    const everything = (): void => {
      dispatchEvent(new Event("offline"));
      dispatchEvent(new Event("online"));
      document.dispatchEvent(new Event("visibilitychange"));
      dispatchEvent(new Event("beforeunload"));
      document.dispatchEvent(new Event("freeze"));
      document.dispatchEvent(new Event("resume"));
      dispatchEvent(transition("pagehide", true));
      dispatchEvent(transition("pageshow", true));
      dispatchEvent(transition("pageshow", false));
      dispatchEvent(transition("pagehide", false));
    };
    everything();
    stop();
    everything();
    expect(heard.join(", ")).toBe(
      "offline, online, visible, about to leave, leaving, back, leaving, back, leaving, gone",
    );
  });
});
