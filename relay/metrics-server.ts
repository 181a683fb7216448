/** Metrics on a port of their own: what stands in front of people does not lead there. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export interface MetricsServer {
  readonly port: number;
  stop(): Promise<void>;
}

/** Listens. Rejects with the system's error when the port is taken or not allowed. */
export async function startMetricsServer(options: {
  readonly host: string;
  readonly port: number;
  /** Brings what is read at a scrape up to date, then writes it all. */
  readonly render: () => Promise<string>;
}): Promise<MetricsServer> {
  const http = createServer((request, response) => {
    const path = (request.url ?? "/").split("?")[0];
    if (path !== "/metrics") {
      response.writeHead(404).end();
      return;
    }
    options.render().then(
      (text) => {
        response.writeHead(200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" });
        response.end(text);
      },
      () => response.writeHead(500).end(),
    );
  });
  await new Promise<void>((resolve, reject) => {
    http.once("error", reject);
    http.listen(options.port, options.host, () => {
      http.off("error", reject);
      resolve();
    });
  });
  return {
    port: (http.address() as AddressInfo).port, // listening on TCP, as just asked
    stop: () =>
      new Promise((resolve) => {
        http.close(() => resolve());
        http.closeAllConnections();
      }),
  };
}
