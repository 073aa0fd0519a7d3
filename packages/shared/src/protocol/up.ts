import type { UpEnvelope } from "./envelope.ts";
import type { UpKind } from "./topics.ts";
import { ArtifactGet } from "./up/artifact-get.ts";
import { Birth } from "./up/birth.ts";
import { BytesGet } from "./up/bytes-get.ts";
import { Death } from "./up/death.ts";
import { DesiredGet } from "./up/desired-get.ts";
import { LogChunk } from "./up/log-chunk.ts";
import { Notice } from "./up/notice.ts";
import { Report } from "./up/report.ts";

/** Bodies of up messages by kind. */
export interface UpBodies {
  readonly birth: Birth;
  readonly report: Report;
  readonly notice: Notice;
  readonly "desired-get": DesiredGet;
  readonly "log-chunk": LogChunk;
  readonly "artifact-get": ArtifactGet;
  readonly "bytes-get": BytesGet;
  readonly death: Death;
}

/** One decoded up message. */
export type UpMessage = {
  readonly [K in UpKind]: Omit<UpEnvelope, "kind" | "body"> & {
    readonly kind: K;
    readonly body: UpBodies[K];
  };
}[UpKind];

/** Schema of each body. */
export const UP_SCHEMAS = {
  birth: Birth,
  report: Report,
  notice: Notice,
  "desired-get": DesiredGet,
  "log-chunk": LogChunk,
  "artifact-get": ArtifactGet,
  "bytes-get": BytesGet,
  death: Death,
} as const satisfies Record<UpKind, unknown>;
