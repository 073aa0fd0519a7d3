import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";

/**
 * A workload that serves a model: `model-server-child <port>`. Reads the model at its start, at SIGHUP and at `POST /reload`; answers
 * `GET /` with the model that it has and its pid. A model that says `crash` ends it, one that says `stubborn` is not taken live.
 */
const path = join(process.env["FLOTILLA_ARTIFACTS"] ?? "", "detector", "model.txt");
const load = (): string => readFileSync(path, "utf8").trim();

let model = load();
if (model.includes("crash")) process.exit(1);
process.on("SIGHUP", () => {
  model = load();
});
createServer((request, response) => {
  if (request.method === "POST" && request.url === "/reload") {
    const next = load();
    if (next.includes("stubborn")) {
      response.writeHead(500).end();
      return;
    }
    model = next;
  }
  response.end(JSON.stringify({ model, pid: process.pid }));
}).listen(Number(process.argv[2]), "127.0.0.1");
