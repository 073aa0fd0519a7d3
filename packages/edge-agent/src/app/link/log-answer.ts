import type { LogGet } from "@flotilla/shared/protocol/down/log-get";
import { LOG_CHUNK_BYTES_MAX } from "@flotilla/shared/protocol/limits";
import type { LogChunk } from "@flotilla/shared/protocol/up/log-chunk";

/**
 * The end of a log as an answer to `log-get`, cut to LOG_CHUNK_BYTES_MAX at the beginning of a line where there is one: a
 * reader wants the newest lines whole.
 */
export function logAnswer(
  request: LogGet,
  tail: { readonly text: string; readonly truncated: boolean } | undefined,
): LogChunk {
  if (tail === undefined) {
    return {
      instance: request.instance,
      text: "",
      truncated: false,
      error: "this node has no log of it",
    };
  }
  const bytes = new TextEncoder().encode(tail.text);
  if (bytes.length <= LOG_CHUNK_BYTES_MAX) return { instance: request.instance, ...tail };
  const end = new TextDecoder().decode(bytes.subarray(bytes.length - LOG_CHUNK_BYTES_MAX));
  const lineEnd = end.indexOf("\n");
  return { instance: request.instance, text: end.slice(lineEnd + 1), truncated: true };
}
