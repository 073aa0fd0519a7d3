import { createHash } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { ServedPath } from "../../domain/artifact/served-path.ts";
import type { ServedFile } from "../artifact-store/served-file.ts";
import { PIECE_BYTES } from "./limits.ts";
import type { ServedOutcome } from "./messages.ts";
import type { PieceCache } from "./pieces.ts";
import { type ByteRange, rangeOf } from "./range.ts";

/** Contents have the name of their digest: whoever has one has it for ever. Nobody on the way may change or compress them. */
const FOREVER = "private, max-age=31536000, immutable, no-transform";
const ASK_AGAIN = "private, no-cache, no-transform";

/** An answer that says what is wrong, as enrolment's do. */
export function refuse(
  response: ServerResponse,
  status: number,
  error: { readonly code: string; readonly message: string; readonly mend?: string | undefined },
  headers: Readonly<Record<string, string | number>> = {},
): void {
  const { code, message, mend } = error;
  const body = `${JSON.stringify({ code, message, ...(mend === undefined ? {} : { mend }) })}\n`;
  response.writeHead(status, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
    "cache-control": "no-store",
    ...headers,
  });
  response.end(response.req.method === "HEAD" ? undefined : body);
}

/** What is sent of what. */
interface Sending {
  readonly path: ServedPath;
  readonly file: ServedFile;
}

/** Answers GET and HEAD for a file that is there. Resolves with how it ended and how many bytes of it were sent. */
export async function answerFile(
  exchange: { readonly request: IncomingMessage; readonly response: ServerResponse },
  sending: Sending,
  deps: { readonly cache: PieceCache; readonly pieceMsMax: number },
): Promise<{ readonly outcome: ServedOutcome; readonly bytes: number }> {
  const { request, response } = exchange;
  const totalBytes = sending.file.bytes;
  const etag = `"${await tagOf(sending)}"`;
  const headers = {
    etag,
    "accept-ranges": "bytes",
    "cache-control": sending.path.kind === "metadata" ? ASK_AGAIN : FOREVER,
    "content-type":
      sending.path.kind === "metadata" ? "application/json" : "application/octet-stream",
  };
  if (names(request.headers["if-none-match"], etag)) {
    response.writeHead(304, headers).end();
    return { outcome: "unchanged", bytes: 0 };
  }
  const range = rangeOf(wantedRange(request, etag), totalBytes);
  if (range === "unsatisfiable") {
    const message = `one stretch of the ${totalBytes} bytes can be asked for at a time`;
    const contentRange = { "content-range": `bytes */${totalBytes}` };
    refuse(response, 416, { code: "range-not-satisfiable", message }, contentRange);
    return { outcome: "bad-request", bytes: 0 };
  }
  const whole = { offset: 0, length: totalBytes };
  const stretch = range === "whole" ? whole : range;
  const end = stretch.offset + stretch.length - 1;
  response.writeHead(range === "whole" ? 200 : 206, {
    ...headers,
    "content-length": stretch.length,
    ...(range === "whole"
      ? {}
      : { "content-range": `bytes ${stretch.offset}-${end}/${totalBytes}` }),
  });
  const outcome = range === "whole" ? "whole" : "part";
  if (request.method === "HEAD") {
    response.end();
    return { outcome, bytes: 0 };
  }
  const bytes = await send(response, { ...sending, stretch }, deps);
  return { outcome: bytes === stretch.length ? outcome : "cut", bytes };
}

/** Returns how many bytes the reader took, or at least the kernel for it. */
async function send(
  response: ServerResponse,
  { path, file, stretch }: Sending & { readonly stretch: ByteRange },
  deps: { readonly cache: PieceCache; readonly pieceMsMax: number },
): Promise<number> {
  const name = path.kind === "metadata" ? undefined : `${path.kind} ${path.sha256}`;
  let sent = 0;
  while (sent < stretch.length) {
    const at = stretch.offset + sent;
    const inPiece = at % PIECE_BYTES;
    const wanted = Math.min(PIECE_BYTES - inPiece, stretch.length - sent);
    const bytes =
      name === undefined
        ? await file.read(Buffer.allocUnsafe(wanted), at)
        : (await deps.cache.piece(name, (at - inPiece) / PIECE_BYTES, file)).subarray(
            inPiece,
            inPiece + wanted,
          );
    // The file has become shorter than it was: what was promised cannot be kept.
    const isTaken = bytes.length === wanted && (await write(response, bytes, deps.pieceMsMax));
    if (!isTaken) {
      response.destroy();
      return sent;
    }
    sent += wanted;
  }
  response.end();
  return sent;
}

/** False when the reader went away or took it too slowly. */
function write(response: ServerResponse, bytes: Uint8Array, msMax: number): Promise<boolean> {
  if (response.destroyed) return Promise.resolve(false);
  if (response.write(bytes)) return Promise.resolve(true);
  return new Promise((resolve) => {
    const end = (isTaken: boolean) => () => {
      clearTimeout(timer);
      response.off("drain", drained).off("close", closed);
      resolve(isTaken);
    };
    const drained = end(true);
    const closed = end(false);
    const timer = setTimeout(closed, msMax);
    response.once("drain", drained).once("close", closed);
  });
}

/** Names the bytes: their digest, or that of the manifest which binds them. */
async function tagOf({ path, file }: Sending): Promise<string> {
  if (path.kind !== "metadata") return path.sha256;
  const bytes = await file.read(Buffer.allocUnsafe(file.bytes), 0);
  return createHash("sha256").update(bytes).digest("hex");
}

function names(header: string | undefined, etag: string): boolean {
  return header !== undefined && (header === "*" || header.split(/ *, */).includes(etag));
}

/** With If-Range, a stretch is wanted of these very bytes only. */
function wantedRange({ headers }: IncomingMessage, etag: string): string | undefined {
  const ifRange = headers["if-range"];
  return ifRange === undefined || ifRange === etag ? headers.range : undefined;
}
