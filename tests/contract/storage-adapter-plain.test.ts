import { runStorageAdapterTests } from "@automerge/automerge-repo/helpers/tests/storage-adapter-tests.js";

import { setupAdapter } from "./storage-adapter-setup.ts";

// One call per file: the suite registers its setup for the whole file.
runStorageAdapterTests(() => setupAdapter(null), "store in clear");
