/**
 * The first changes of index documents, of a notebook's and of the vault's, by their hashes in hex. They are the same
 * everywhere and never travel (client/device/index-document.ts makes them), so nobody waits for them.
 */
export const indexGeneses: ReadonlySet<string> = new Set([
  "7278ba0cd0d795a723cd8518dde54ee114ef2c11d1e7d723e1b284bae2e8ec36",
  "d123bf28e97a8615d16d1be9d56aad280551d13612e5f238a679bcecd5dc95ac",
]);
