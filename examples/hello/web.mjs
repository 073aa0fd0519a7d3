// A small HTTP service. It listens on the node's workload address and on the port that its manifest names.
import { createServer } from "node:http";

const host = process.env.FLOTILLA_NODE_ADDRESS ?? "127.0.0.1";
const port = process.env.GREETING === undefined ? 18080 : 18081;
const startedAt = new Date().toISOString();

const server = createServer((request, response) => {
  if (request.url === "/healthz") {
    response.end("ok\n");
    return;
  }
  response.setHeader("content-type", "application/json");
  response.end(
    `${JSON.stringify({
      greeting: process.env.GREETING ?? "hello",
      instance: process.env.FLOTILLA_INSTANCE,
      node: process.env.FLOTILLA_NODE,
      pid: process.pid,
      startedAt,
    })}\n`,
  );
});
server.listen(port, host, () => console.log(`listening on ${host}:${port}`));
process.on("SIGTERM", () => {
  server.close(() => process.exit(0));
  server.closeAllConnections();
});
