import type { EffectiveSetting } from "#relay/config/config.ts";
import { variableOf } from "#relay/config/settings.ts";

/** `config check`: what counts and where it was found, as lines that could stand in the environment. */
export function showConfig(effective: readonly EffectiveSetting[]): void {
  const rows = effective.map(
    ({ name, value, origin }) => [`${variableOf(name)}=${value}`, origin] as const,
  );
  const width = Math.max(...rows.map(([left]) => left.length));
  for (const [left, origin] of rows) console.log(`${left.padEnd(width)}  # ${origin}`);
}
