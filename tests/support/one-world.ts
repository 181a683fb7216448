import { afterEach } from "vitest";
import type { World } from "./world.ts";

/** For a file whose tests each have a world: keeps the one that it is given, and ends it after the test. */
export function oneWorld(): (world: World) => void {
  let kept: World | null = null;
  afterEach(async () => {
    await kept?.end();
    kept = null;
  });
  return (world) => {
    kept = world;
  };
}
