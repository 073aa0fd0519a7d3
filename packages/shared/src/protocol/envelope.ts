import { type Static, Type } from "typebox";

/** What every message carries around its body. Unknown fields are ignored. */
const Id = Type.String({ minLength: 1, maxLength: 64 });
const Millis = Type.Integer({ minimum: 0, maximum: 8_640_000_000_000_000 });
const Counter = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });

/**
 * Agent to hub. (`epoch`, `seq`) orders a node's messages over its whole life: the epoch grows at each agent start and is
 * durable before the first message, `seq` grows by one with each message of the epoch. The hub keeps the last pair and drops what is not above it.
 */
export const UpEnvelope = Type.Object({
  v: Type.Integer({ minimum: 1 }),
  kind: Type.String({ minLength: 1, maxLength: 64 }),
  id: Id,
  epoch: Counter,
  seq: Counter,
  /** Device wall clock; shown, never decided upon. */
  sentAt: Millis,
  /** Device wall clock. The agent drops what expired before it was sent; the hub does not judge it. */
  expiresAt: Type.Optional(Millis),
  replyTo: Type.Optional(Id),
  body: Type.Unknown(),
});
export type UpEnvelope = Static<typeof UpEnvelope>;

/** Hub to agent. */
export const DownEnvelope = Type.Object({
  v: Type.Integer({ minimum: 1 }),
  kind: Type.String({ minLength: 1, maxLength: 64 }),
  id: Id,
  /** Hub wall clock. */
  sentAt: Millis,
  /** Hub wall clock; judged against the agent's running estimate of the hub's time, not against the device's own clock. */
  expiresAt: Type.Optional(Millis),
  replyTo: Type.Optional(Id),
  body: Type.Unknown(),
});
export type DownEnvelope = Static<typeof DownEnvelope>;
