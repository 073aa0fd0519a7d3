import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { queryOf } from "./api-request.ts";
import { flag } from "./query.ts";

/** Whether the hub can serve, part by part. Names only: what is wrong stands in the log. */
export interface Readiness {
  readonly ready: boolean;
  readonly checks: readonly { readonly name: string; readonly ok: boolean }[];
}

/** `/healthz` and `/livez` say that the process answers, `/readyz` that it can serve; `?verbose` lists the parts. */
export function healthRoutes(app: FastifyInstance, readiness: () => Readiness): void {
  const alive = (name: string) => (request: FastifyRequest, reply: FastifyReply) =>
    answer(request, reply, { name, of: { ready: true, checks: [{ name: "ping", ok: true }] } });
  app.get("/healthz", alive("healthz"));
  app.get("/livez", alive("livez"));
  app.get("/readyz", (request, reply) =>
    answer(request, reply, { name: "readyz", of: readiness() }),
  );
}

function answer(
  request: FastifyRequest,
  reply: FastifyReply,
  state: { readonly name: string; readonly of: Readiness },
): FastifyReply {
  const { ready, checks } = state.of;
  const lines = checks.map((c) =>
    c.ok ? `[+]${c.name} ok` : `[-]${c.name} failed: reason withheld`,
  );
  const verdict = `${state.name} check ${ready ? "passed" : "failed"}`;
  const verbose = !ready || flag(queryOf(request), "verbose");
  return reply
    .code(ready ? 200 : 503)
    .header("content-type", "text/plain; charset=utf-8")
    .send(verbose ? `${[...lines, verdict].join("\n")}\n` : "ok");
}
