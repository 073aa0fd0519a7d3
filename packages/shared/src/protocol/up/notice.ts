import { type Static, Type } from "typebox";

/** Something that happened on the node and that an operator may ask about later; becomes an Event at the hub. */
export const Notice = Type.Object({
  type: Type.Union([Type.Literal("Normal"), Type.Literal("Warning")]),
  reason: Type.String({ minLength: 1, maxLength: 64 }),
  message: Type.String({ maxLength: 1_024 }),
  /** Device wall clock, milliseconds. */
  happenedAt: Type.Integer({ minimum: 0 }),
  /** The instance that it is about; absent: the node. */
  instance: Type.Optional(Type.String({ maxLength: 320 })),
});
export type Notice = Static<typeof Notice>;
