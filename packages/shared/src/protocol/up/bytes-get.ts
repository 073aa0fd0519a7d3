import { type Static, Type } from "typebox";
import { BYTES_ANSWER_BYTES_MAX } from "../limits.ts";

/** Asks for bytes of the artifact server over the link, where no other port passes. Answered by `bytes` with `replyTo`. */
export const BytesGet = Type.Object({
  /** Path on the artifact server without `/v1/`: `metadata/timestamp.json`, `payloads/<sha256>`, `manifests/<sha256>`. */
  path: Type.String({ pattern: "^[a-z]+/[A-Za-z0-9._-]+$", maxLength: 256 }),
  offset: Type.Integer({ minimum: 0 }),
  length: Type.Integer({ minimum: 1, maximum: BYTES_ANSWER_BYTES_MAX }),
});
export type BytesGet = Static<typeof BytesGet>;
