import type { DeviceRefusal } from "#client/device/api.ts";

/** What a person is told about a failure: the device's own sentence, or a general one that promises nothing false. */
export function sentenceOf(error: unknown): string {
  return isRefusal(error)
    ? error.message
    : "Something went wrong in this window, and the step was not carried out. What you wrote is kept. Try it again.";
}

export function isRefusal(error: unknown): error is DeviceRefusal {
  if (typeof error !== "object" || error === null) return false;
  const { code, message } = error as Partial<Record<"code" | "message", unknown>>;
  return typeof code === "string" && typeof message === "string";
}
