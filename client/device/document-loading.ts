/** Loads Automerge when a document is first needed on this device, and gives everybody the same documents. */
import type { Compaction } from "./compaction.ts";
import type { Culprits } from "./culprits.ts";
import type { DevicePorts } from "./device-ports.ts";
import { DeviceDocuments } from "./documents.ts";

export interface DocumentLoadingPorts extends DevicePorts {
  readonly culprits: Culprits;
  /** Asked when a document is damaged. */
  readonly compaction: () => Compaction;
}

export class DocumentLoading {
  readonly #ports: DocumentLoadingPorts;
  /** Documents that the process before ended on, until they have been loaded with care. */
  readonly #suspects: Uint8Array[] = [];
  #documents: Promise<DeviceDocuments> | null = null;

  constructor(ports: DocumentLoadingPorts) {
    this.#ports = ports;
  }

  /** These are loaded with care as soon as anything is. */
  suspect(documents: readonly Uint8Array[]): void {
    this.#suspects.push(...documents);
  }

  loaded(): Promise<DeviceDocuments> {
    const damaged = (docId: Uint8Array): void => this.#ports.compaction().recover(docId);
    this.#documents ??= this.#ports.automerge().then((loaded) => {
      const documents = new DeviceDocuments({ ...this.#ports, damaged }, loaded);
      for (const doc of this.#suspects.splice(0)) documents.loadWithCare(doc);
      return documents;
    });
    return this.#documents;
  }
}
