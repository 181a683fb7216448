import { describe, expect, it } from "vitest";
import { placesInView } from "#client/app/state/list-window.ts";

const pitch = 10;

describe("the rows of a list that are in the page", () => {
  it("are those in sight with some on either side", () => {
    const places = placesInView({ top: 1_000, height: 50 }, pitch, 500, -1);
    expect(places[0]).toBe(80);
    expect(places.at(-1)).toBe(124);
    expect(places).toHaveLength(45);
  });

  it("are all of a short list, and none of an empty one", () => {
    expect(placesInView({ top: 0, height: 0 }, pitch, 3, -1)).toEqual([0, 1, 2]);
    expect(placesInView({ top: 0, height: 0 }, pitch, 0, -1)).toEqual([]);
  });

  it("are its last ones where more was scrolled than it has now", () => {
    expect(placesInView({ top: 10_000, height: 50 }, pitch, 5, -1)).toEqual([0, 1, 2, 3, 4]);
  });

  it("have the one with the keyboard's focus among them, wherever it is, at its place", () => {
    const view = { top: 1_000, height: 50 };
    expect(placesInView(view, pitch, 500, 3)[0]).toBe(3);
    expect(placesInView(view, pitch, 500, 400).at(-1)).toBe(400);
    expect(placesInView(view, pitch, 500, 100)).toHaveLength(45);
    expect(placesInView(view, pitch, 500, 500)).toHaveLength(45);
  });
});
