const units = ["KB", "MB", "GB", "TB"] as const;

/** "0 KB", "12 KB", "3.4 MB": thousands, as disks are sold; rounded up below a kilobyte, so that something is not nothing. */
export function bytesInWords(bytes: number): string {
  let amount = bytes === 0 ? 0 : Math.max(1, bytes / 1000);
  let unit = 0;
  while (amount >= 999.5 && unit < units.length - 1) {
    amount /= 1000;
    unit += 1;
  }
  const digits = amount < 10 && unit > 0 ? 1 : 0;
  return `${amount.toFixed(digits)} ${units[unit] ?? ""}`;
}
