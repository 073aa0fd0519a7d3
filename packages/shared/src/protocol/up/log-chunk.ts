import { type Static, Type } from "typebox";

/** Answer to `log-get`: the end of a log, cut to LOG_CHUNK_BYTES_MAX. */
export const LogChunk = Type.Object({
  instance: Type.String({ maxLength: 320 }),
  text: Type.String({ maxLength: 131_072 }),
  /** True when the log begins before `text` does. */
  truncated: Type.Boolean(),
  /** Why there is no text, when there is none. */
  error: Type.Optional(Type.String({ maxLength: 256 })),
});
export type LogChunk = Static<typeof LogChunk>;
