/** A command line, run in this process on a device that is open already. */
import { parseLine } from "#client/cli/command-line.ts";
import { runCommand } from "#client/cli/commands.ts";
import type { DeviceFixture } from "../device/setup-device.ts";

/** @param input what stands on standard input */
export async function runOnDevice(
  { device }: DeviceFixture,
  args: readonly string[],
  input = "",
): ReturnType<typeof runCommand> {
  const parsed = parseLine(["--home", "here", ...args]);
  if (parsed.type !== "run") throw new Error(JSON.stringify(parsed));
  const { command } = parsed.line;
  if (
    command.name === "watch" ||
    command.name === "passphrase" ||
    command.name === "doctor" ||
    command.name === "backup" ||
    command.name === "restore-backup"
  ) {
    throw new Error(`${command.name} is not for a device alone`);
  }
  return runCommand(device, Date, command, input);
}
