// @vitest-environment happy-dom
import { describe, expect, it } from "vitest";
import { watchPage } from "#client/app/platform/network.ts";

describe("what the browser says about the page", () => {
  it("is forwarded until the watcher is stopped", () => {
    const heard: string[] = [];
    const stop = watchPage({
      onOnline: (online) => heard.push(online ? "online" : "offline"),
      onVisible: (visible) => heard.push(visible ? "visible" : "hidden"),
      onLeaving: () => heard.push("leaving"),
    });
    const everything = (): void => {
      dispatchEvent(new Event("offline"));
      dispatchEvent(new Event("online"));
      document.dispatchEvent(new Event("visibilitychange"));
      dispatchEvent(new Event("pagehide"));
      document.dispatchEvent(new Event("freeze"));
    };
    everything();
    stop();
    everything();
    expect(heard).toEqual(["offline", "online", "visible", "leaving", "leaving"]);
  });
});
