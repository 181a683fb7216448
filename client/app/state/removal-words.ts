/**
 * What a removal would lose for good.
 * @param unsent changes the relay has not got; null where nobody can tell
 */
export function unsentWords(unsent: number | null): string {
  if (unsent === null) {
    return "What has not reached the relay yet is lost. While the notes cannot be opened, nobody can tell how much that is.";
  }
  if (unsent === 0) return "Everything written here is on the relay.";
  const changes = unsent === 1 ? "One change is" : `${unsent} changes are`;
  return `${changes} not on the relay yet and would be lost.`;
}
