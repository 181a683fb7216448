/**
 * Counters, gauges and histograms, and how Prometheus reads them (text format 0.0.4). No label ever
 * holds an id, a key or an address: their values come from lists in this program.
 */

type Labels = Readonly<Record<string, string>>;

interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly lines: () => readonly string[];
}

export class Counter {
  readonly #name: string;
  readonly #valueByLabels = new Map<string, number>();

  constructor(name: string) {
    this.#name = name;
  }

  add(amount = 1, labels: Labels = {}): void {
    const key = labelText(labels);
    this.#valueByLabels.set(key, (this.#valueByLabels.get(key) ?? 0) + amount);
  }

  lines(): readonly string[] {
    return [...this.#valueByLabels].map(([labels, value]) => `${this.#name}${labels} ${value}`);
  }
}

export class Histogram {
  readonly #name: string;
  /** Upper bounds, ascending. */
  readonly #bounds: readonly number[];
  readonly #counts: number[];
  #sum = 0;
  #count = 0;

  constructor(name: string, bounds: readonly number[]) {
    this.#name = name;
    this.#bounds = bounds;
    this.#counts = bounds.map(() => 0);
  }

  observe(value: number): void {
    this.#sum += value;
    this.#count += 1;
    const ix = this.#bounds.findIndex((bound) => value <= bound);
    if (ix >= 0) this.#counts[ix] = (this.#counts[ix] ?? 0) + 1;
  }

  lines(): readonly string[] {
    let below = 0;
    const buckets = this.#bounds.map((bound, ix) => {
      below += this.#counts[ix] ?? 0;
      return `${this.#name}_bucket{le="${bound}"} ${below}`;
    });
    return [
      ...buckets,
      `${this.#name}_bucket{le="+Inf"} ${this.#count}`,
      `${this.#name}_sum ${this.#sum}`,
      `${this.#name}_count ${this.#count}`,
    ];
  }
}

export class MetricsRegistry {
  readonly #families: Family[] = [];

  counter(name: string, help: string): Counter {
    const counter = new Counter(name);
    this.#families.push({ name, help, type: "counter", lines: () => counter.lines() });
    return counter;
  }

  /** @param read asked at every scrape; nothing is told while it answers null */
  gauge(name: string, help: string, read: () => number | null, labels: Labels = {}): void {
    const lines = (): readonly string[] => {
      const value = read();
      return value === null ? [] : [`${name}${labelText(labels)} ${value}`];
    };
    this.#families.push({ name, help, type: "gauge", lines });
  }

  /** A count that somebody else keeps. */
  counted(name: string, help: string, read: () => number): void {
    this.#families.push({ name, help, type: "counter", lines: () => [`${name} ${read()}`] });
  }

  /** @param bounds upper bounds of the buckets, ascending, in the unit of the name */
  histogram(name: string, help: string, bounds: readonly number[]): Histogram {
    const histogram = new Histogram(name, bounds);
    this.#families.push({ name, help, type: "histogram", lines: () => histogram.lines() });
    return histogram;
  }

  /** What a scrape is answered. */
  render(): string {
    const lines = this.#families.flatMap(({ name, help, type, lines: samples }) => [
      `# HELP ${name} ${help}`,
      `# TYPE ${name} ${type}`,
      ...samples(),
    ]);
    return `${lines.join("\n")}\n`;
  }
}

function labelText(labels: Labels): string {
  const parts = Object.entries(labels).map(
    ([name, value]) => `${name}="${value.replace(/["\\\n]/g, "_")}"`,
  );
  return parts.length === 0 ? "" : `{${parts.join(",")}}`;
}
