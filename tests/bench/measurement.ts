/** One row of a bench. Ratios compare rows of one run; bare times mean little on a shared machine. */
export interface Measurement {
  readonly name: string;
  readonly ms?: number;
  readonly perSecond?: number;
  /** Against the row that `note` names. */
  readonly ratio?: number;
  readonly note?: string;
  /** The budget that the row answers, if it answers one. */
  readonly budget?: Budget;
}

/** Both limits are inclusive. */
export interface Budget {
  readonly figure: number;
  readonly must: number;
  readonly aim: number;
  readonly unit: "×" | " ms" | " MB" | " B";
}

/** Whether a budget is met, in words. */
export function verdict({ figure, must, aim, unit }: Budget): string {
  if (figure > must) return `MISSED: must be ≤ ${must}${unit}`;
  return figure > aim
    ? `met: ≤ ${must}${unit}; the aim of ${aim}${unit} is missed`
    : `met, with the aim of ${aim}${unit}`;
}
