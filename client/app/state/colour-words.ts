/** The eight hues of people and notebooks, as `--peer-0` … `--peer-7` have them. */
export const colourNames = [
  "Red",
  "Orange",
  "Olive",
  "Green",
  "Teal",
  "Blue",
  "Violet",
  "Pink",
] as const;
