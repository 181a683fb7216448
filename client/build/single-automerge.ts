/**
 * Two copies of Automerge do not know each other's documents, and a stray import of the full package
 * bundles silently. Lint bans the import; this fails the build for what lint cannot see (dependencies).
 */
import type { Plugin } from "vite";

const FULL_ENTRY = /wasm_bindgen_output\/bundler|automerge_wasm_bg_base64|fullfat/;
const AUTOMERGE_WASM = /(^|\/)automerge-[^/]*\.wasm$/;

export function singleAutomerge(): Plugin {
  return {
    name: "sealeaf:single-automerge",
    generateBundle(_options, bundle) {
      for (const output of Object.values(bundle)) {
        if (output.type !== "chunk") continue;
        const stray = Object.keys(output.modules).find((id) => FULL_ENTRY.test(id));
        if (stray !== undefined) {
          this.error(
            `${output.fileName} contains the full Automerge (${stray}): import its slim entry`,
          );
        }
      }
      const copies = Object.keys(bundle).filter((file) => AUTOMERGE_WASM.test(file));
      if (copies.length > 1) this.error(`more than one Automerge: ${copies.join(", ")}`);
    },
  };
}
