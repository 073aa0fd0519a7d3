import { type Static, Type } from "typebox";

/** Asks for the end of an instance's log; answered by `log-chunk` with `replyTo`. */
export const LogGet = Type.Object({
  instance: Type.String({ minLength: 1, maxLength: 320 }),
  container: Type.Optional(Type.String({ maxLength: 63 })),
  tailLines: Type.Integer({ minimum: 1, maximum: 10_000 }),
});
export type LogGet = Static<typeof LogGet>;
