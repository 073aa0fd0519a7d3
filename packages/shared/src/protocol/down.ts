import { ArtifactOffer } from "./down/artifact-offer.ts";
import { Bytes } from "./down/bytes.ts";
import { Desired } from "./down/desired.ts";
import { DesiredNotify } from "./down/desired-notify.ts";
import { EpochBehind } from "./down/epoch-behind.ts";
import { LogGet } from "./down/log-get.ts";
import { Rebirth } from "./down/rebirth.ts";
import type { DownEnvelope } from "./envelope.ts";
import type { DownKind } from "./topics.ts";

/** Bodies of down messages by kind. */
export interface DownBodies {
  readonly "desired-notify": DesiredNotify;
  readonly desired: Desired;
  readonly rebirth: Rebirth;
  readonly "epoch-behind": EpochBehind;
  readonly "log-get": LogGet;
  readonly "artifact-offer": ArtifactOffer;
  readonly bytes: Bytes;
}

/** One decoded down message. */
export type DownMessage = {
  readonly [K in DownKind]: Omit<DownEnvelope, "kind" | "body"> & {
    readonly kind: K;
    readonly body: DownBodies[K];
  };
}[DownKind];

/** Schema of each body. */
export const DOWN_SCHEMAS = {
  "desired-notify": DesiredNotify,
  desired: Desired,
  rebirth: Rebirth,
  "epoch-behind": EpochBehind,
  "log-get": LogGet,
  "artifact-offer": ArtifactOffer,
  bytes: Bytes,
} as const satisfies Record<DownKind, unknown>;
