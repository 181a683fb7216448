/** What decides whether the browser gives this page storage, encryption and offline use. */
export interface PageAddress {
  readonly isSecureContext: boolean;
  readonly hostname: string;
  /** With the port, as in the address bar. */
  readonly host: string;
}

/** A sentence for the person when the page was opened in a way that cannot keep notes safe, else null. */
export function insecureAddress(address: PageAddress): string | null {
  if (address.isSecureContext) return null;
  return (
    `Sealeaf cannot keep notes safe at http://${address.host}: browsers allow encryption and storage ` +
    `only over a secure connection. Open https://${address.hostname} instead, or http://localhost on ` +
    `the computer that runs the relay.`
  );
}
