/** Calls back whenever somebody types, points, scrolls or touches in this window; often. */
export function watchInput(onInput: () => void): void {
  for (const type of ["keydown", "pointerdown", "pointermove", "wheel", "touchmove"]) {
    addEventListener(type, onInput, { capture: true, passive: true });
  }
}
