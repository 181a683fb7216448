/** What lies beside the program. */
export interface Program {
  readonly version: string;
  /** Null where it runs from source and no worker is built. */
  readonly workerUrl: URL | null;
  readonly clientDir: string;
}

/** A mistake of the operator's, in a sentence: the program says it and ends with 1. */
export class OperatorError extends Error {
  constructor(sentence: string) {
    super(sentence);
    this.name = "OperatorError";
  }
}
