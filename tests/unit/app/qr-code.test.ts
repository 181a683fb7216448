import { describe, expect, it } from "vitest";
import { qrModules, type QrModules } from "#client/app/state/qr-code.ts";

const link = `https://notes.example/#1d.${"s".repeat(43)}.${"i".repeat(43)}`;

/** The pattern in three corners by which a camera finds a code. */
function isFinder(modules: QrModules, top: number, left: number): boolean {
  const rows = [0, 1, 2, 3, 4, 5, 6];
  return rows.every((row) =>
    rows.every((column) => {
      const ring = Math.max(Math.abs(row - 3), Math.abs(column - 3));
      return modules[top + row]?.[left + column] === (ring !== 2);
    }),
  );
}

describe("a text as a QR code", () => {
  it("is a square of one of the sizes there are, with a finder in three corners and not in the fourth", () => {
    const modules = qrModules(link);
    const size = modules.length;
    expect((size - 17) % 4).toBe(0);
    expect(modules.every((row) => row.length === size)).toBe(true);
    const far = size - 7;
    const corners = [isFinder(modules, 0, 0), isFinder(modules, 0, far), isFinder(modules, far, 0)];
    expect(corners).toEqual([true, true, true]);
    expect(isFinder(modules, far, far)).toBe(false);
  });

  it("says the text: another text is another code, and the same text the same", () => {
    expect(qrModules(link)).toEqual(qrModules(link));
    expect(qrModules(link)).not.toEqual(qrModules(link.replace("#1d", "#1e")));
  });

  it("refuses what no code holds", () => {
    expect(() => qrModules("x".repeat(5_000))).toThrow("Data too long");
  });
});
