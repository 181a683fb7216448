/** Loads Automerge when a document is first needed on this device, and gives everybody the same documents. */
import type { Compaction } from "./compaction.ts";
import type { Culprits, Suspect } from "./culprits.ts";
import type { DevicePorts } from "./device-ports.ts";
import { DeviceDocuments } from "./documents.ts";
import type { Trials } from "./trials.ts";

export interface DocumentLoadingPorts extends DevicePorts {
  readonly culprits: Culprits;
  /** Asked when a document is damaged. */
  readonly compaction: () => Compaction;
  /** Asked for what an earlier process ended on. */
  readonly trials: () => Trials;
}

export class DocumentLoading {
  readonly #ports: DocumentLoadingPorts;
  /** Documents that the process before ended on, until they have been tried. */
  readonly #suspects: Suspect[] = [];
  #documents: Promise<DeviceDocuments> | null = null;

  constructor(ports: DocumentLoadingPorts) {
    this.#ports = ports;
  }

  /** These are tried where that can be stopped, as soon as anything is to be loaded. */
  suspect(documents: readonly Suspect[]): void {
    this.#suspects.push(...documents);
  }

  loaded(): Promise<DeviceDocuments> {
    const damaged = (docId: Uint8Array): void => this.#ports.compaction().recover(docId);
    this.#documents ??= this.#ports.automerge().then(async (loaded) => {
      for (const suspect of this.#suspects.splice(0)) await this.#ports.trials().care(suspect);
      return new DeviceDocuments({ ...this.#ports, damaged }, loaded);
    });
    return this.#documents;
  }
}
