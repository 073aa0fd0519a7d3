import { createServer, type Server } from "node:http";
import { afterEach, expect, test } from "vitest";
import { portOf } from "../../../test/support/tcp-proxy.ts";
import { HttpReloadPoster } from "./http-reload-poster.ts";

let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

async function post(status: number | "silent", signal = new AbortController().signal) {
  const requests: string[] = [];
  server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`);
    if (status !== "silent") response.writeHead(status, { location: "/elsewhere" }).end("text");
  });
  server.listen(0, "127.0.0.1");
  await new Promise((resolve) => server?.once("listening", resolve));
  const poster = new HttpReloadPoster({ host: "127.0.0.1" });
  const outcome = await poster.post(
    { port: portOf(server.address()), path: "/reload?now" },
    signal,
  );
  return { outcome, requests };
}

test("2xx is taken for done, everything else is not, and no redirect is followed", async () => {
  for (const status of [200, 204, 302, 404, 500]) {
    const { outcome, requests } = await post(status);
    expect(outcome).toEqual({ ok: status < 300, message: `status ${status}` });
    expect(requests).toEqual(["POST /reload?now"]);
  }
});

test("no answer and no server are failures with a message", async () => {
  const soon = await post("silent", AbortSignal.timeout(100));
  expect(soon.outcome.ok).toBe(false);
  const nobody = new HttpReloadPoster({ host: "127.0.0.1" });
  const outcome = await nobody.post({ port: 1, path: "/" }, new AbortController().signal);
  expect(outcome).toMatchObject({ ok: false, message: expect.stringContaining("ECONNREFUSED") });
});
