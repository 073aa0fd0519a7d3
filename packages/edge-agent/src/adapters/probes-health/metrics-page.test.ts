import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import { afterEach, expect, test } from "vitest";
import { HttpMetricsPages, SCRAPE_BYTES_MAX } from "./metrics-page.ts";

let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

async function serve(answer: RequestListener): Promise<number> {
  server = createServer(answer).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  return typeof address === "object" ? (address?.port ?? 0) : 0;
}

const read = (port: number, signal = new AbortController().signal, timeoutMs = 30_000) =>
  new HttpMetricsPages().read({ host: "127.0.0.1", port, path: "/metrics", timeoutMs }, signal);

test("a page is read; an error, a page that is too long, and nobody there are no page", async () => {
  const port = await serve((req, res) => {
    if (req.url === "/metrics") res.end("m 1\n");
  });
  expect(await read(port)).toBe("m 1\n");
  server?.removeAllListeners("request");
  server?.on("request", (_req, res) => res.writeHead(500).end("m 1\n"));
  expect(await read(port)).toBeUndefined();
  server?.removeAllListeners("request");
  server?.on("request", (_req, res) => res.end("x".repeat(SCRAPE_BYTES_MAX + 1)));
  expect(await read(port)).toBeUndefined();
  expect(await read(1)).toBeUndefined();
});

test("a page that does not come ends with the signal, or with its time", async () => {
  const stop = new AbortController();
  const port = await serve(() => stop.abort());
  expect(await read(port, stop.signal)).toBeUndefined();
  expect(await read(port, undefined, 20)).toBeUndefined();
});
