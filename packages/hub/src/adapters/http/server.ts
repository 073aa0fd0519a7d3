import { createServer, type Server } from "node:https";
import type { Clock } from "@flotilla/shared/kernel/clock";
import type { Log, Metrics } from "@flotilla/shared/kernel/service";
import { type FastifyInstance, fastify } from "fastify";
import type { ArtifactApi } from "../../app/artifact/ports.ts";
import type { EnrolmentApi } from "../../app/enrolment/ports.ts";
import type { LogApi } from "../../app/logs/ports.ts";
import type { ResourceApi, User } from "../../app/resources/ports.ts";
import type { PlacementApi } from "../../app/scheduling/ports.ts";
import { type ServedResource, servedResources } from "../../domain/openapi/served-resources.ts";
import { accessHooks, InFlight } from "./access.ts";
import { pathOf, sendValue } from "./api-request.ts";
import { artifactRoutes } from "./artifact-routes.ts";
import { enrolmentRoutes } from "./enrolment-routes.ts";
import { errorReplies, replyClientError, replyError, replyUnknownPath } from "./error-replies.ts";
import { discoveryRoutes, versionInfo } from "./fixed-routes.ts";
import { healthRoutes, type Readiness } from "./health-routes.ts";
import * as limits from "./limits.ts";
import { answerLog } from "./logs-handler.ts";
import { answerPlacement, PLACEMENT_SUBRESOURCES } from "./placement-handler.ts";
import { Presenter } from "./presenter.ts";
import { RateLimiter } from "./rate-limit.ts";
import { ResourceHandlers } from "./resource-handlers.ts";
import { type ResourcePath, ResourcePaths } from "./resource-path.ts";
import { reviewRoutes } from "./review-routes.ts";
import { sniffConnections } from "./sniffer.ts";
import { WatchStreams } from "./watch-stream.ts";

/** How the API is reached and who may use it. */
export interface HttpServerOptions {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** Private key, PEM. */
  readonly tlsKey: string;
  /** Certificate, PEM; a chain may follow. */
  readonly tlsCertificate: string;
  /** CA certificate, PEM: served at `/ca.pem`, in the clear too. */
  readonly caCertificate: string;
  /** User of a bearer token; see `tokenAuthenticator`. */
  readonly authenticate: (token: string) => User | undefined;
  /** Version of the hub, shown by `/version`. */
  readonly version: string;
  /** Overrides of time limits, for tests. */
  readonly headersTimeoutMs?: number;
  readonly drainMsMax?: number;
}

export interface HttpServerDeps {
  readonly resources: ResourceApi;
  readonly enrolment: EnrolmentApi;
  readonly logs: LogApi;
  readonly placement: PlacementApi;
  readonly artifacts: ArtifactApi;
  /** The whole exposition in Prometheus' text format. */
  readonly metricsText: () => Promise<string>;
  readonly readiness: () => Readiness;
  readonly log: Log;
  readonly clock: Clock;
  readonly metrics: Metrics;
}

/** The running API. */
export interface HttpServer {
  /** Resolves with the port when connections are accepted. */
  listen(): Promise<{ readonly port: number }>;
  /** Takes a new certificate for connections to come. */
  replaceCertificate(tls: { readonly tlsKey: string; readonly tlsCertificate: string }): void;
  /** Ends watches, lets requests under way finish within DRAIN_MS_MAX, then cuts what is left. */
  close(): Promise<void>;
}

/** The hub's API: Kubernetes' paths over HTTPS, enrolment, health and metrics, all on one port. */
export function createHttpServer(options: HttpServerOptions, deps: HttpServerDeps): HttpServer {
  const listeners: Listener[] = [];
  const app = createApp(options, listeners);
  const inFlight = new InFlight();
  const state = { draining: false };
  const presenter = new Presenter({}, deps);
  const watches = new WatchStreams({}, { ...deps, presenter });

  errorReplies(app, deps);
  accessHooks(app, options, { ...deps, inFlight });
  acceptAnyBody(app);
  plainRoutes(app, options, deps);
  healthRoutes(app, () => (state.draining ? drainingReadiness() : deps.readiness()));
  reviewRoutes(app);
  artifactRoutes(app, deps);
  enrolmentRoutes(app, { ...deps, limiter: enrolmentLimiter(deps.clock) });
  resourceRoutes(app, { ...deps, presenter, watches });

  return {
    listen: async () => {
      await app.listen({ host: options.host, port: options.port });
      const address = listeners[0]?.server.address();
      return {
        port: typeof address === "object" && address !== null ? address.port : options.port,
      };
    },
    replaceCertificate: ({ tlsKey, tlsCertificate }) => {
      for (const { server } of listeners)
        server.setSecureContext({ key: tlsKey, cert: tlsCertificate, minVersion: "TLSv1.2" });
    },
    close: async () => {
      state.draining = true;
      watches.drain();
      await drain({
        app,
        listeners,
        inFlight,
        clock: deps.clock,
        msMax: options.drainMsMax ?? limits.DRAIN_MS_MAX,
      });
    },
  };
}

interface Listener {
  readonly server: Server;
  readonly destroyAll: () => void;
}

function createApp(options: HttpServerOptions, listeners: Listener[]): FastifyInstance {
  const headersTimeoutMs = options.headersTimeoutMs ?? limits.HEADERS_TIMEOUT_MS;
  const app = fastify({
    logger: false,
    bodyLimit: limits.BODY_BYTES_MAX,
    requestTimeout: limits.REQUEST_TIMEOUT_MS,
    keepAliveTimeout: limits.KEEP_ALIVE_TIMEOUT_MS,
    exposeHeadRoutes: false,
    forceCloseConnections: false,
    clientErrorHandler: replyClientError,
    frameworkErrors: (error, request, reply) => {
      void replyError(error, request, reply, SILENT);
    },
    serverFactory: (handler) => {
      const server = createServer(
        {
          key: options.tlsKey,
          cert: options.tlsCertificate,
          minVersion: "TLSv1.2",
          handshakeTimeout: limits.HANDSHAKE_TIMEOUT_MS,
          headersTimeout: headersTimeoutMs,
          requestTimeout: limits.REQUEST_TIMEOUT_MS,
          connectionsCheckingInterval: Math.min(1_000, headersTimeoutMs),
        },
        handler,
      );
      server.maxConnections = limits.CONNECTIONS_MAX;
      // `close` calls this, and it cuts connections whose answer has ended but is still on its way out: the end of a watch,
      // the answer to a write. `drain` cuts what is left, later.
      server.closeIdleConnections = () => undefined;
      server.on("tlsClientError", (_error, socket) => socket.destroy());
      listeners.push({ server, ...sniffConnections(server, options) });
      return server;
    },
  });
  return app;
}

/** Bad URLs are the client's fault and not worth a line. */
const SILENT: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => SILENT,
};

/** Every body arrives as bytes; handlers decode it, so that a wrong type is answered as Kubernetes does. */
function acceptAnyBody(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", { parseAs: "buffer" }, (_request, body, done) => done(null, body));
}

function plainRoutes(app: FastifyInstance, options: HttpServerOptions, deps: HttpServerDeps): void {
  app.get("/version", (request, reply) =>
    sendValue(request, reply, 200, versionInfo(options.version)),
  );
  app.get("/ca.pem", (_request, reply) =>
    reply.header("content-type", "application/x-pem-file").send(options.caCertificate),
  );
  app.get("/metrics", async (_request, reply) =>
    reply
      .header("content-type", "text/plain; version=0.0.4; charset=utf-8")
      .send(await deps.metricsText()),
  );
}

function resourceRoutes(
  app: FastifyInstance,
  deps: HttpServerDeps & { readonly presenter: Presenter; readonly watches: WatchStreams },
): void {
  const served: readonly ServedResource[] = servedResources();
  const discover = discoveryRoutes(app, served);
  const paths = new ResourcePaths(served);
  const handlers = new ResourceHandlers({}, deps);
  for (const url of ["/api/*", "/apis/*"])
    app.route({
      method: ["GET", "POST", "PUT", "PATCH", "DELETE"],
      url,
      handler: async (request, reply) => {
        const path = paths.parse(pathOf(request));
        if (path === undefined)
          return discover(pathOf(request), request, reply) ?? replyUnknownPath(reply);
        if (path.subresource === "log" && path.name !== undefined && request.method === "GET")
          return answerLog(
            { namespace: path.namespace, name: path.name },
            deps.logs,
            request,
            reply,
          );
        if (isPlacementQuestion(path)) return answerPlacement(path, deps, request, reply);
        return handlers.handle(path, request, reply);
      },
    });
}

function isPlacementQuestion(path: ResourcePath): path is ResourcePath & { readonly name: string } {
  return (
    path.name !== undefined && PLACEMENT_SUBRESOURCES.some((name) => name === path.subresource)
  );
}

function enrolmentLimiter(clock: Clock): RateLimiter {
  return new RateLimiter(
    {
      burst: limits.ENROLMENT_BURST,
      perSecond: limits.ENROLMENT_PER_SECOND,
      addressesMax: limits.RATE_LIMITED_ADDRESSES_MAX,
    },
    { clock },
  );
}

function drainingReadiness(): Readiness {
  return { ready: false, checks: [{ name: "not-draining", ok: false }] };
}

/** After the last answer, what its socket still holds may take this long to leave. */
const FLUSH_MS = 50;

async function drain(of: {
  readonly app: FastifyInstance;
  readonly listeners: readonly Listener[];
  readonly inFlight: InFlight;
  readonly clock: Clock;
  readonly msMax: number;
}): Promise<void> {
  const closed = of.app.close();
  const giveUp = new AbortController();
  const limit = of.clock.sleep(of.msMax, giveUp.signal).catch(() => undefined);
  await Promise.race([of.inFlight.none(), limit]);
  giveUp.abort();
  await of.clock.sleep(FLUSH_MS);
  for (const { destroyAll } of of.listeners) destroyAll();
  await closed;
}
