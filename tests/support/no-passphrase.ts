import type { KeyReader } from "#client/cli/home-key.ts";

/** For homes that have no passphrase: whoever asks for one all the same is mistaken. */
export const noPassphrase: KeyReader = {
  passphrase: () => Promise.reject(new Error("this home has no passphrase")),
  warn: (sentence) => {
    throw new Error(sentence);
  },
};
