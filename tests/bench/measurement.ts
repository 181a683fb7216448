/** One row of a bench. Ratios compare rows of one run; bare times mean little on a shared machine. */
export interface Measurement {
  readonly name: string;
  readonly ms?: number;
  readonly perSecond?: number;
  /** Against the row that `note` names. */
  readonly ratio?: number;
  readonly note?: string;
}
