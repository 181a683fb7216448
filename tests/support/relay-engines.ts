/** The stores a relay can stand on: what a relay promises is tried on each of them. */
import { startTestRelay, type TestRelay, type TestRelayOptions } from "#tests/support/relay.ts";

export interface RelayEngine {
  readonly name: string;
  readonly start: (options?: TestRelayOptions) => Promise<TestRelay>;
}

export const relayEngines: readonly RelayEngine[] = [{ name: "SQLite", start: startTestRelay }];
