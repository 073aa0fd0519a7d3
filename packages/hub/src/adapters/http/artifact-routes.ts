import { CodedError } from "@flotilla/shared/kernel/errors";
import { TrustError } from "@flotilla/shared/trust/refusal";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { Type } from "typebox";
import { Compile } from "typebox/compile";
import type { ArtifactApi } from "../../app/artifact/ports.ts";
import { badRequest, serviceUnavailable, tooLarge } from "../../domain/resources/api-error.ts";
import { bodyOf, queryOf, sendValue } from "./api-request.ts";
import { decodeJson } from "./bodies.ts";
import { METADATA_BODY_BYTES_MAX, METADATA_UPLOAD_BYTES_MAX } from "./limits.ts";

const SHA256 = /^[0-9a-f]{64}$/;
/** Files that are published were judged by nobody: a refusal of the trust is the upload's fault. */
const REFUSED_STATUS = 422;

/** Body of POST /artifacts/v1/metadata: base64 by file name. */
const MetadataBody = Type.Object({
  files: Type.Record(
    Type.String({ maxLength: 128 }),
    Type.String({ pattern: "^[A-Za-z0-9+/]*={0,2}$" }),
    { minProperties: 1, maxProperties: 1_024 },
  ),
});

/** What administrators ask about artifacts beyond objects: where to upload, what is trusted, what an update costs. */
export function artifactRoutes(
  app: FastifyInstance,
  deps: { readonly artifacts: ArtifactApi },
): void {
  const { artifacts } = deps;
  const checker = Compile(MetadataBody);
  app.get("/artifacts/v1", (request, reply) => sendValue(request, reply, 200, artifacts.status()));
  app.get("/artifacts/v1/deltas", (request, reply) => {
    const query = queryOf(request);
    const [from, to] = ["from", "to"].map((name) => {
      const value = query.get(name) ?? "";
      if (!SHA256.test(value)) throw badRequest(`${name} must be the SHA-256 of a content`);
      return value;
    });
    const report = artifacts.delta(from ?? "", to ?? "");
    if (report.retryAfterMs !== undefined)
      reply.header("retry-after", String(Math.ceil(report.retryAfterMs / 1_000)));
    return sendValue(request, reply, 200, report);
  });
  app.post(
    "/artifacts/v1/metadata",
    { bodyLimit: METADATA_BODY_BYTES_MAX },
    async (request, reply) => {
      const body: unknown = decodeJson(bodyOf(request) ?? new Uint8Array());
      if (!checker.Check(body)) {
        const error = checker.Errors(body)[0];
        throw badRequest(`${error?.instancePath || "body"}: ${error?.message ?? "invalid"}`);
      }
      return publish(artifacts, filesOf(body.files), request, reply);
    },
  );
}

function filesOf(files: Readonly<Record<string, string>>): ReadonlyMap<string, Uint8Array> {
  const decoded = Object.entries(files).map(
    ([name, text]) => [name, new Uint8Array(Buffer.from(text, "base64"))] as const,
  );
  const bytes = decoded.reduce((sum, [, file]) => sum + file.byteLength, 0);
  if (bytes > METADATA_UPLOAD_BYTES_MAX)
    throw tooLarge(`${bytes} bytes of metadata, at most ${METADATA_UPLOAD_BYTES_MAX}`);
  return new Map(decoded);
}

async function publish(
  artifacts: ArtifactApi,
  files: ReadonlyMap<string, Uint8Array>,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  try {
    return sendValue(request, reply, 200, await artifacts.publish(files));
  } catch (error) {
    if (error instanceof TrustError) {
      const { code, subject, message, mend } = error;
      return sendValue(request, reply, REFUSED_STATUS, { code, subject, message, mend });
    }
    if (
      error instanceof CodedError &&
      (error.code === "disk-full" || error.code === "not-writable")
    )
      throw serviceUnavailable(error.message);
    throw error;
  }
}
