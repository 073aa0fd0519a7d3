import { type Static, Type } from "typebox";

/** Answer to `bytes-get`: as many of the bytes that were asked for as there are. */
export const Bytes = Type.Object({
  /** Base64; at most BYTES_ANSWER_BYTES_MAX bytes. Empty with an error. */
  data: Type.String({ maxLength: 131_072 }),
  /** Length of the whole. */
  totalBytes: Type.Integer({ minimum: 0 }),
  error: Type.Optional(
    Type.Union([Type.Literal("not-found"), Type.Literal("busy"), Type.Literal("failed")]),
  ),
});
export type Bytes = Static<typeof Bytes>;
