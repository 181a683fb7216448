/** Whether the relay can serve people now, for whoever balances load or watches over it. */
export interface ReadinessParts {
  /** The store answers. */
  readonly store: boolean;
  /** There is room on the disk. */
  readonly disk: boolean;
  readonly draining: boolean;
}

export interface ReadinessPorts {
  /** Resolves when the store has answered anything at all. */
  readonly probe: () => Promise<unknown>;
  readonly isDiskFull: () => boolean;
  readonly timers: { after(ms: number, run: () => void): () => void };
}

/** A store that has not answered by then is as good as gone. */
const patienceMs = 5000;

export class Readiness {
  readonly #ports: ReadinessPorts;
  isDraining = false;

  constructor(ports: ReadinessPorts) {
    this.#ports = ports;
  }

  async look(): Promise<ReadinessParts & { readonly isReady: boolean }> {
    const store = await this.#doesStoreAnswer();
    const disk = !this.#ports.isDiskFull();
    const draining = this.isDraining;
    return { isReady: store && disk && !draining, store, disk, draining };
  }

  #doesStoreAnswer(): Promise<boolean> {
    return new Promise((resolve) => {
      const cancel = this.#ports.timers.after(patienceMs, () => {
        resolve(false);
      });
      const settle = (isWell: boolean): void => {
        cancel();
        resolve(isWell);
      };
      this.#ports.probe().then(
        () => settle(true),
        () => settle(false),
      );
    });
  }
}
