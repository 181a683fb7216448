import type { DeviceApi } from "#client/device/api.ts";
import type { WorkerApi } from "#client/worker/lock-api.ts";
import type { MethodNames } from "#client/worker/rpc.ts";

/** What a tab may call; the type keeps it complete. */
export const DEVICE_METHODS: MethodNames<DeviceApi> = {
  info: true,
  setDisplayName: true,
  redeemInvite: true,
  status: true,
  notes: true,
  notebooks: true,
  createNote: "named",
  openNote: true,
  closeNote: true,
  draft: true,
  commit: true,
  trashNote: true,
  restoreNote: true,
  trash: true,
  purgeNote: true,
  emptyTrash: true,
  retention: true,
  setRetention: true,
  freeSpace: true,
  search: true,
  pinNote: true,
  createNotebook: "named",
  renameNotebook: true,
  setNotebookColour: true,
  nestNotebook: true,
  moveNote: "named",
  share: true,
  previewLink: true,
  join: true,
  words: true,
  confirmWords: true,
  restore: true,
  setCursor: true,
  setOnline: true,
  setVisible: true,
  storage: true,
  tryStorage: true,
  relayInfo: true,
  syncLog: true,
};

/** The same with the lock's. */
export const WORKER_METHODS: MethodNames<WorkerApi> = {
  ...DEVICE_METHODS,
  lockState: true,
  unlock: true,
  lockNow: true,
  readyToLock: true,
  setPassphrase: true,
  setAutoLock: true,
  noteInput: true,
  wipe: true,
};
