import { runStorageAdapterTests } from "@automerge/automerge-repo/helpers/tests/storage-adapter-tests.js";

import { setupAdapter } from "./storage-adapter-setup.ts";

runStorageAdapterTests(() => setupAdapter(new Uint8Array(32).fill(7)), "encrypted store");
