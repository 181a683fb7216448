/** What Prometheus' own clients tell of a process, by the same names. */
import { monitorEventLoopDelay } from "node:perf_hooks";
import type { MetricsRegistry } from "#relay/metrics.ts";

/** Measures from now on; the function ends that. */
export function observeProcess(registry: MetricsRegistry, version: string): () => void {
  const delay = monitorEventLoopDelay({ resolution: 10 });
  delay.enable();
  const startedAt = Math.round(Date.now() / 1000 - process.uptime());
  registry.gauge("relay_build_info", "Which relay this is.", () => 1, { version });
  registry.gauge(
    "process_start_time_seconds",
    "Start time of the process since unix epoch in seconds.",
    () => startedAt,
  );
  registry.gauge("process_resident_memory_bytes", "Resident memory size in bytes.", () =>
    process.memoryUsage.rss(),
  );
  registry.counted(
    "process_cpu_seconds_total",
    "Total user and system CPU time spent in seconds.",
    () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1e6;
    },
  );
  registry.gauge(
    "nodejs_eventloop_lag_p99_seconds",
    "The 99th percentile of the event loop's delay since the last scrape.",
    () => {
      const seconds = delay.percentile(99) / 1e9;
      delay.reset();
      return seconds;
    },
  );
  return () => {
    delay.disable();
  };
}
