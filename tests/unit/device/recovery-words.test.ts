/** The words while they wait on a device, and what takes them away. */
import { describe, expect, it } from "vitest";
import { refusalOf, setupDevice } from "./setup-device.ts";

function answersTo(asked: readonly number[], words: readonly string[]): Record<number, string> {
  return Object.fromEntries(asked.map((position) => [position, words[position - 1] ?? ""]));
}

describe("the words of a new device", { timeout: 60_000 }, () => {
  it("are asked for at three positions, the same until they are answered, also after a restart", async () => {
    await using first = await setupDevice();
    const asked = await first.device.wordsCheck();
    expect(asked).toHaveLength(3);
    expect(asked).toEqual([...new Set(asked)].toSorted((a, b) => a - b));
    expect(asked.every((position) => position >= 1 && position <= 24)).toBe(true);
    expect(await first.device.wordsCheck()).toEqual(asked);
    await using again = await setupDevice({ files: first.files });
    expect(await again.device.wordsCheck()).toEqual(asked);
  });

  it("stay while an answer is wrong, which is named, and go with the right ones", async () => {
    await using made = await setupDevice();
    const { device } = made;
    const words = (await device.words()) ?? [];
    const asked = await device.wordsCheck();
    const right = answersTo(asked, words);
    const [first = 0, second = 0] = asked;
    const wrong = (...positions: readonly number[]) => ({
      ...right,
      ...Object.fromEntries(positions.map((position) => [position, "wrong"])),
    });
    await expect(device.confirmWords(wrong(second))).rejects.toThrow(`Word ${second} is not what`);
    await expect(device.confirmWords(wrong(first, second))).rejects.toThrow(
      `Words ${first} and ${second} are not what`,
    );
    expect(await refusalOf(() => device.confirmWords({}))).toBe("bad-words");
    expect(await device.words()).toEqual(words);
    expect((await device.info()).words).toBe("unsaved");

    const typed = Object.entries(right).map(([at, word]) => [at, ` ${word.toUpperCase()} `]);
    await device.confirmWords(Object.fromEntries(typed) as Record<number, string>);
    expect(await device.words()).toBeNull();
    expect((await device.info()).words).toBe("saved");
    expect(await refusalOf(() => device.wordsCheck())).toBe("bad-words");
  });
});
