import { createHash } from "node:crypto";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import {
  aggregatedDiscovery,
  apiGroup,
  apiGroupList,
  apiResourceList,
  apiVersions,
} from "../../domain/openapi/discovery.ts";
import { openApiDocument, openApiPaths } from "../../domain/openapi/openapi-v3.ts";
import type { ServedResource } from "../../domain/openapi/served-resources.ts";
import { sendValue } from "./api-request.ts";
import { negotiateDiscovery } from "./media-types.ts";

/** The version that clients compare themselves with; the oldest Kubernetes whose API this is written after. */
const KUBERNETES_MINOR = "31";

/** `/version`: Kubernetes' form, our own version behind the plus sign. */
export function versionInfo(version: string): Readonly<Record<string, string>> {
  return {
    major: "1",
    minor: KUBERNETES_MINOR,
    gitVersion: `v1.${KUBERNETES_MINOR}.0+flotilla.${version}`,
    gitCommit: "",
    gitTreeState: "clean",
    buildDate: "1970-01-01T00:00:00Z",
    goVersion: "none",
    compiler: "none",
    platform: `${process.platform}/${process.arch}`,
  };
}

/** Discovery and OpenAPI. Made once: nothing here changes while the server runs. */
export function discoveryRoutes(
  app: FastifyInstance,
  resources: readonly ServedResource[],
): (path: string, request: FastifyRequest, reply: FastifyReply) => FastifyReply | undefined {
  const hash = (text: string): string =>
    createHash("sha256").update(text).digest("base64").slice(0, 12);
  for (const path of ["/api", "/apis"] as const)
    app.get(path, (request, reply) => {
      const wanted = negotiateDiscovery(request.headers.accept);
      reply.header("vary", "Accept");
      if (wanted === "plain")
        return sendValue(
          request,
          reply,
          200,
          path === "/api" ? apiVersions() : apiGroupList(resources),
        );
      return reply
        .header(
          "content-type",
          `application/json;g=apidiscovery.k8s.io;v=${wanted};as=APIGroupDiscoveryList`,
        )
        .send(Buffer.from(JSON.stringify(aggregatedDiscovery(resources, path, wanted))));
    });
  openApiRoutes(app, resources);
  return (path, request, reply) => {
    const [root, group = "", version, ...more] = path
      .replace(/^\//, "")
      .replace(/\/$/, "")
      .split("/");
    if (more.length > 0 || request.method !== "GET") return undefined;
    const document = discover({ root, group, version, hash }, resources);
    return document === undefined ? undefined : sendValue(request, reply, 200, document);
  };
}

function discover(
  path: {
    readonly root: string | undefined;
    readonly group: string;
    readonly version: string | undefined;
    readonly hash: (text: string) => string;
  },
  resources: readonly ServedResource[],
): unknown {
  const { root, group, version, hash } = path;
  if (root === "api")
    return version === undefined ? apiResourceList(resources, "", group, hash) : undefined;
  if (group === "") return undefined;
  return version === undefined
    ? apiGroup(resources, group)
    : apiResourceList(resources, group, version, hash);
}

function openApiRoutes(app: FastifyInstance, resources: readonly ServedResource[]): void {
  const documents = new Map(
    openApiPaths(resources).map(({ path, groupVersion }) => {
      const text = Buffer.from(JSON.stringify(openApiDocument(resources, groupVersion)));
      const digest = createHash("sha512").update(text).digest("hex").toUpperCase();
      return [path, { text, digest }] as const;
    }),
  );
  const index = {
    paths: Object.fromEntries(
      [...documents].map(([path, { digest }]) => [
        path,
        { serverRelativeURL: `/openapi/v3/${path}?hash=${digest}` },
      ]),
    ),
  };
  app.get("/openapi/v3", (request, reply) => sendValue(request, reply, 200, index));
  app.get<{ Params: { "*": string } }>("/openapi/v3/*", (request, reply) => {
    const found = documents.get(request.params["*"]);
    if (found === undefined) return reply.callNotFound();
    const etag = `"${found.digest}"`;
    reply.header("etag", etag).header("vary", "Accept");
    if (request.headers["if-none-match"] === etag) return reply.code(304).send();
    return reply.header("content-type", "application/json").send(found.text);
  });
}
