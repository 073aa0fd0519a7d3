import { randomUUID } from "node:crypto";
import type { Clock } from "@flotilla/shared/kernel/clock";
import type { Metrics } from "@flotilla/shared/kernel/service";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { User } from "../../app/resources/ports.ts";
import { unauthorized } from "../../domain/resources/api-error.ts";
import { pathOf } from "./api-request.ts";
import { bearerToken } from "./bearer-tokens.ts";

/** Paths that need no token. What they answer helps nobody who has none. */
const OPEN_GETS: readonly string[] = ["/healthz", "/livez", "/readyz", "/version", "/ca.pem"];
const OPEN_POSTS: readonly string[] = ["/enrolment/v1/join", "/enrolment/v1/renew"];
/** An audit id that a client may choose, so that it finds its own request in our log. */
const AUDIT_ID = /^[A-Za-z0-9-]{1,64}$/;

/** Counts requests that are under way, so that a drain knows when the last has been answered. */
export class InFlight {
  #count = 0;
  #whenNone: (() => void)[] = [];

  begin(): void {
    this.#count++;
  }

  end(): void {
    if (--this.#count > 0) return;
    for (const resolve of this.#whenNone.splice(0)) resolve();
  }

  /** Resolves when nothing is under way. */
  none(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#count === 0) resolve();
      else this.#whenNone.push(resolve);
    });
  }
}

/** Common headers, metrics and authentication of every request, before anything of its body is read. */
export function accessHooks(
  app: FastifyInstance,
  options: { readonly authenticate: (token: string) => User | undefined },
  deps: { readonly clock: Clock; readonly metrics: Metrics; readonly inFlight: InFlight },
): void {
  app.decorateRequest("user", undefined);
  app.decorateRequest("verb", "other");
  app.decorateRequest("startedMs", 0);
  app.addHook("onRequest", async (request, reply) => {
    begin(request, reply, deps);
    const given = request.headers["audit-id"];
    const auditId = typeof given === "string" && AUDIT_ID.test(given) ? given : randomUUID();
    reply.header("audit-id", auditId).header("cache-control", "no-cache, private");
    const token = bearerToken(request.headers.authorization);
    request.user = token === undefined ? undefined : options.authenticate(token);
    if (request.user === undefined && !isOpen(request)) throw unauthorized();
  });
}

function begin(
  request: FastifyRequest,
  reply: FastifyReply,
  deps: { readonly clock: Clock; readonly metrics: Metrics; readonly inFlight: InFlight },
): void {
  const { clock, metrics, inFlight } = deps;
  request.startedMs = clock.bootMs();
  inFlight.begin();
  reply.raw.once("close", () => {
    inFlight.end();
    const { verb } = request;
    const statusClass = `${Math.trunc(reply.raw.statusCode / 100)}xx`;
    metrics.count("flotilla_hub_http_requests_total", { verb, class: statusClass });
    if (verb !== "watch")
      metrics.observe(
        "flotilla_hub_http_request_seconds",
        (clock.bootMs() - request.startedMs) / 1000,
        {
          verb,
        },
      );
  });
}

function isOpen(request: FastifyRequest): boolean {
  const path = pathOf(request);
  if (request.method === "POST") return OPEN_POSTS.includes(path);
  if (request.method !== "GET") return false;
  return OPEN_GETS.includes(path) || (path === "/metrics" && isLoopback(request.ip));
}

/** Prometheus on the same machine needs no token. */
function isLoopback(address: string): boolean {
  return /^(?:::ffff:)?127\.\d+\.\d+\.\d+$/.test(address) || address === "::1";
}
