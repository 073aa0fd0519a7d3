import { request } from "node:http";
import type { MetricsPages, PageRequest } from "../../app/usage/ports.ts";

/** Most bytes of a metrics page. */
export const SCRAPE_BYTES_MAX: number = 2 ** 20;

/** Reads metrics pages of instances over HTTP, without following redirects. */
export class HttpMetricsPages implements MetricsPages {
  read(page: PageRequest, stop: AbortSignal): Promise<string | undefined> {
    const { host, port, path, timeoutMs } = page;
    const signal = AbortSignal.any([stop, AbortSignal.timeout(timeoutMs)]);
    return new Promise((resolve) => {
      const failed = (): void => resolve(undefined);
      const asked = request({ host, port, path, signal, agent: false }, (response) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        response.on("data", (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes <= SCRAPE_BYTES_MAX) chunks.push(chunk);
          else {
            failed();
            response.destroy();
          }
        });
        response.once("error", failed);
        response.once("close", failed);
        response.once("end", () =>
          resolve(response.statusCode === 200 ? Buffer.concat(chunks).toString("utf8") : undefined),
        );
      });
      asked.once("error", failed);
      asked.end();
    });
  }
}
