/** Times as people say them, relative to a given now; all in milliseconds since 1970. */

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;

/** For a list: "now", "5 min", "14:32", "Tue", "3 Mar", "3 Mar 2024". */
export function shortTime(at: number, now: number, locale?: string): string {
  const age = now - at;
  if (age < minuteMs) return "now";
  if (age < hourMs) return `${Math.floor(age / minuteMs)} min`;
  const then = new Date(at);
  const today = new Date(now);
  if (then.toDateString() === today.toDateString()) {
    return then.toLocaleTimeString(locale, { hour: "2-digit", minute: "2-digit" });
  }
  if (age < 6 * 24 * hourMs) return then.toLocaleDateString(locale, { weekday: "short" });
  const sameYear = then.getFullYear() === today.getFullYear();
  return then.toLocaleDateString(locale, {
    day: "numeric",
    month: "short",
    ...(sameYear ? {} : { year: "numeric" }),
  });
}

/** For a sentence: "just now", "5 min ago", "at 14:32", "on 3 March 2024". */
export function timeAgo(at: number, now: number, locale?: string): string {
  const age = now - at;
  if (age < minuteMs) return "just now";
  if (age < hourMs) return `${Math.floor(age / minuteMs)} min ago`;
  const then = new Date(at);
  if (then.toDateString() === new Date(now).toDateString()) {
    return `at ${then.toLocaleTimeString(locale, { hour: "2-digit", minute: "2-digit" })}`;
  }
  return `on ${then.toLocaleDateString(locale, { day: "numeric", month: "long", year: "numeric" })}`;
}

/** A day to come, for a sentence: "today at 14:32", "5 December", "3 March 2027". */
export function dayOf(at: number, now: number, locale?: string): string {
  const then = new Date(at);
  const today = new Date(now);
  if (then.toDateString() === today.toDateString()) {
    return `today at ${then.toLocaleTimeString(locale, { hour: "2-digit", minute: "2-digit" })}`;
  }
  const sameYear = then.getFullYear() === today.getFullYear();
  return then.toLocaleDateString(locale, {
    day: "numeric",
    month: "long",
    ...(sameYear ? {} : { year: "numeric" }),
  });
}
