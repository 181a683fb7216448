/** `sealeaf passphrase set|change|remove`: what it changes, and what it prints. */
import type { CommandLine } from "./command-line.ts";
import { exitCodes, type Outcome } from "./failure.ts";
import { changeHomePassphrase, type PassphraseChange } from "./home-key.ts";

const results = {
  set: "From now on this home opens with the passphrase. Nobody can recover it: keep it safe.\n",
  change: "The passphrase is changed.\n",
  remove: "The passphrase is removed: whoever can read the key file can open this home.\n",
};

/** The caller holds the home's lock or has the home open. Failures are refusals. */
export async function changePassphrase(
  line: CommandLine,
  change: PassphraseChange,
): Promise<Outcome> {
  await changeHomePassphrase(line.home, change);
  const answer = { hasPassphrase: change.action !== "remove" };
  const stdout = line.json ? `${JSON.stringify(answer)}\n` : results[change.action];
  return { code: exitCodes.done, stdout, stderr: "" };
}
