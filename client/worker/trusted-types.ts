/**
 * The page runs under `require-trusted-types-for 'script'`: the only script addresses it can load are
 * those this policy lets through.
 */

interface TrustedTypesFactory {
  createPolicy(
    name: string,
    rules: { createScriptURL(url: string): string },
  ): { createScriptURL(url: string): string };
}

/** `url` as something `new Worker` and `serviceWorker.register` accept; throws for another origin. */
export function scriptUrl(url: string): string {
  return policy.createScriptURL(url);
}

function sameOriginOnly(url: string): string {
  const absolute = new URL(url, location.href);
  if (absolute.origin !== location.origin) {
    throw new TypeError(`a script may come only from ${location.origin}, not ${absolute.origin}`);
  }
  return absolute.href;
}

// Typed as text because TypeScript's own `Worker` knows no TrustedScriptURL; at run time it is one.
const rules = { createScriptURL: sameOriginOnly };
const factory = (globalThis as { trustedTypes?: TrustedTypesFactory }).trustedTypes;
const policy = factory?.createPolicy("sealeaf-script", rules) ?? rules;
