import type { IncomingMessage, ServerResponse } from "node:http";
import { CodedError, messageOf } from "@flotilla/shared/kernel/errors";
import { fileError } from "@flotilla/shared/platform/files";
import { SHA256_PATTERN } from "../../domain/artifact/served-path.ts";
import { UPLOAD_BYTES_MAX, type Upload, type UploadStore } from "../artifact-store/upload-store.ts";
import { refuse } from "./answer.ts";
import type { Counters } from "./counters.ts";

const TUS_VERSION = "1.0.0";
const OFFSET_TYPE = "application/offset+octet-stream";
/** tus' answer for bytes that are not those of their checksum. */
const CHECKSUM_MISMATCH = 460;

/** Status of each code that an upload is refused with; what is not here is 500. */
const STATUS: Readonly<Record<string, number>> = {
  "upload-too-long": 413,
  "upload-too-many": 429,
  "upload-altered": CHECKSUM_MISMATCH,
  "upload-conflict": 409,
  "upload-invalid": 400,
  "upload-unknown": 404,
  "upload-busy": 423,
  "artifact-quota": 507,
  "disk-full": 507,
  "not-writable": 503,
};

/** Codes of uploads that are judged here, before the store is asked. */
export type TusErrorCode = "upload-invalid" | "upload-unknown" | "upload-busy";

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

/**
 * Uploads by tus 1.0 (https://tus.io/protocols/resumable-upload): core, creation, termination, expiration. The upload's address
 * ends in the SHA-256 of its content, so a client needs to remember nothing: it asks how far the content is and goes on.
 */
export class TusUploads {
  readonly #idleMsMax: number;
  readonly #deps: { readonly uploads: UploadStore; readonly counters: Counters };
  /** One request at a time writes an upload. */
  readonly #busy = new Set<string>();

  constructor(
    options: { readonly idleMsMax: number },
    deps: { readonly uploads: UploadStore; readonly counters: Counters },
  ) {
    this.#idleMsMax = options.idleMsMax;
    this.#deps = deps;
  }

  /** `name` is what follows `/v1/uploads/`; undefined for `/v1/uploads` itself. */
  async answer(exchange: Exchange, name: string | undefined): Promise<void> {
    const { request, response } = exchange;
    response.setHeader("tus-resumable", TUS_VERSION);
    response.setHeader("cache-control", "no-store");
    if (request.method === "OPTIONS") return describe(response);
    try {
      checkVersion(request);
      if (name === undefined) await this.#create(exchange);
      else await this.#locked(name, () => this.#onUpload(exchange, name));
    } catch (error) {
      this.#refuse(exchange, error);
    }
  }

  /** An upload that this machine makes itself, in the way of no client's. */
  async takeIn(path: string, bytesMax: number) {
    const { isNew, ...found } = await this.#deps.uploads.takeIn(path, bytesMax);
    if (isNew) {
      this.#deps.counters.uploaded("stored");
      this.#deps.counters.received(found.length);
    }
    return found;
  }

  async #create({ request, response }: Exchange): Promise<void> {
    if (request.method !== "POST") throw invalid("uploads are begun with POST");
    if (request.headers["upload-defer-length"] !== undefined)
      throw invalid("the length must be known when the upload is begun");
    const length = numberOf(request, "upload-length");
    const sha256 = digestOf(request);
    const upload = await this.#locked(sha256, async () =>
      this.#completed(await this.#deps.uploads.create(sha256, length)),
    );
    response
      .writeHead(201, {
        location: `/v1/uploads/${sha256}`,
        "upload-offset": upload.offset,
        ...expiry(upload),
        "content-length": 0,
      })
      .end();
  }

  async #onUpload({ request, response }: Exchange, sha256: string): Promise<void> {
    const { uploads, counters } = this.#deps;
    const found = SHA256_PATTERN.test(sha256) ? await uploads.find(sha256) : undefined;
    if (found === undefined) throw unknown(sha256);
    switch (request.method ?? "") {
      case "HEAD": {
        const upload = await this.#completed(found);
        const { offset, length } = upload;
        response
          .writeHead(200, { "upload-offset": offset, "upload-length": length, ...expiry(upload) })
          .end();
        return;
      }
      case "PATCH": {
        const offset = await this.#append(request, found);
        const upload = await this.#completed({ ...found, offset });
        response.writeHead(204, { "upload-offset": offset, ...expiry(upload) }).end();
        return;
      }
      case "DELETE":
        if (found.isStored) throw unknown(sha256);
        await uploads.remove(sha256);
        counters.uploaded("cut");
        response.writeHead(204).end();
        return;
      default:
        throw invalid("an upload takes HEAD, PATCH and DELETE");
    }
  }

  async #append(request: IncomingMessage, upload: Upload): Promise<number> {
    if (request.headers["content-type"] !== OFFSET_TYPE)
      throw invalid(`the body of PATCH is ${OFFSET_TYPE}`);
    const offset = numberOf(request, "upload-offset");
    if (offset !== upload.offset) throw wrongOffset(offset, upload.offset);
    if (upload.isStored) return upload.offset;
    const announced = Number(request.headers["content-length"] ?? 0);
    if (offset + announced > upload.length)
      throw invalid(`${offset + announced} bytes are more than Upload-Length`);
    return this.#deps.uploads.append(upload, this.#pieces(request));
  }

  /** What comes in; ends the request when nothing comes for too long. */
  async *#pieces(request: IncomingMessage): AsyncGenerator<Uint8Array> {
    const timer = setTimeout(() => request.destroy(new Error("nothing came")), this.#idleMsMax);
    try {
      const pieces: AsyncIterable<Buffer> = request;
      for await (const piece of pieces) {
        this.#deps.counters.received(piece.length);
        yield piece;
        timer.refresh();
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** When its last byte is there, it becomes a content: now, or after a kill that came in between. */
  async #completed(upload: Upload): Promise<Upload> {
    if (upload.isStored || upload.offset < upload.length) return upload;
    await this.#deps.uploads.finish(upload);
    this.#deps.counters.uploaded("stored");
    return { ...upload, isStored: true };
  }

  async #locked<T>(sha256: string, work: () => Promise<T>): Promise<T> {
    if (this.#busy.has(sha256)) throw busy(sha256);
    this.#busy.add(sha256);
    try {
      return await work();
    } finally {
      this.#busy.delete(sha256);
    }
  }

  #refuse({ request, response }: Exchange, error: unknown): void {
    const { counters } = this.#deps;
    if (request.destroyed && !request.complete) {
      counters.uploaded("cut");
      response.destroy();
      return;
    }
    const told = fileError(error, "artifacts");
    const code = told instanceof CodedError ? told.code : "failed";
    const status = STATUS[code] ?? 500;
    counters.uploaded(
      code === "upload-altered" ? "altered" : status === 500 ? "failed" : "refused",
    );
    const mend = told instanceof CodedError ? told.mend : undefined;
    // What is still coming of the body is not read.
    const headers = { connection: "close", "tus-max-size": UPLOAD_BYTES_MAX };
    refuse(response, status, { code, message: messageOf(told), mend }, headers);
    if (status === 500) throw error;
  }
}

function describe(response: ServerResponse): void {
  response
    .writeHead(204, {
      "tus-version": TUS_VERSION,
      "tus-extension": "creation,termination,expiration",
      "tus-max-size": UPLOAD_BYTES_MAX,
    })
    .end();
}

function checkVersion({ headers }: IncomingMessage): void {
  if (headers["tus-resumable"] !== TUS_VERSION)
    throw invalid(`the header Tus-Resumable must be ${TUS_VERSION}`);
}

function numberOf({ headers }: IncomingMessage, name: string): number {
  const value = headers[name];
  if (typeof value !== "string" || !/^\d{1,15}$/.test(value))
    throw invalid(`the header ${name} must be a whole number`);
  return Number(value);
}

/** `sha256` of Upload-Metadata: base64 of the digest in hexadecimal. */
function digestOf({ headers }: IncomingMessage): string {
  const metadata = headers["upload-metadata"];
  const pairs = typeof metadata === "string" ? metadata.split(",") : [];
  const pair = pairs.map((p) => p.trim().split(" ")).find(([key]) => key === "sha256");
  const digest = Buffer.from(pair?.[1] ?? "", "base64").toString("latin1");
  if (!SHA256_PATTERN.test(digest))
    throw invalid(
      "Upload-Metadata must have sha256: base64 of the digest in lower-case hexadecimal",
    );
  return digest;
}

function expiry({ expiresWallMs, isStored }: Upload): Readonly<Record<string, string>> {
  return isStored ? {} : { "upload-expires": new Date(expiresWallMs).toUTCString() };
}

function invalid(message: string): CodedError<TusErrorCode> {
  return new CodedError("upload-invalid", message, {
    mend: "Use a client of tus 1.0.0; docs/api.md says what this server takes.",
  });
}

function unknown(sha256: string): CodedError<TusErrorCode> {
  return new CodedError("upload-unknown", `there is no upload of ${sha256.slice(0, 64)}`, {
    mend: "Begin it with POST /v1/uploads; an upload that nobody goes on with is removed.",
  });
}

function busy(sha256: string): CodedError<TusErrorCode> {
  return new CodedError("upload-busy", `another request writes the upload of ${sha256}`, {
    mend: "Try again in some seconds.",
  });
}

function wrongOffset(given: number, offset: number): CodedError<"upload-conflict"> {
  return new CodedError("upload-conflict", `Upload-Offset is ${given}, the upload has ${offset}`, {
    fields: { offset },
    mend: "Ask with HEAD where the upload is, and go on there.",
  });
}
