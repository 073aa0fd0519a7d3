import { createReadStream } from "node:fs";
import { Agent } from "node:https";
import { messageOf } from "@flotilla/shared/kernel/errors";
import { DetailedError, Upload } from "tus-js-client";
import { errorOfStatus } from "../client/api-client.ts";
import type { HubAccess } from "../client/kubeconfig.ts";
import { CliError } from "../domain/errors.ts";
import { HttpsStack } from "./tus-http.ts";

/** Waits before an upload that was cut off is gone on with; after the last one it is given up, and the next push goes on. */
const RETRY_DELAYS_MS: readonly number[] = [500, 1_000, 3_000, 5_000, 10_000, 20_000];

/** What is uploaded. */
export interface UploadFile {
  readonly source: string;
  readonly length: number;
  readonly sha256: string;
}

/**
 * Uploads contents to the hub's artifact server by tus 1.0. An upload has its address by the SHA-256 of what it is to become: what is
 * there already is not sent, and what was cut off, by whomever and whenever, is gone on with.
 */
export class TusUploader {
  readonly #endpoint: string;
  readonly #access: HubAccess;
  readonly #agent: Agent;

  /** `server`: `https://host:port` of the upload server. */
  constructor(options: { readonly server: string; readonly access: HubAccess }) {
    this.#endpoint = `${options.server}/v1/uploads`;
    this.#access = options.access;
    const { ca } = options.access;
    this.#agent = new Agent({ keepAlive: true, ...(ca === undefined ? {} : { ca }) });
  }

  /** Resolves with how many bytes had to be sent. Rejects with a CliError; what was sent stays for the next try. */
  async upload(file: UploadFile, onSent: (bytesDone: number) => void): Promise<number> {
    const stream = createReadStream(file.source);
    let presentBytes: number | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        const upload = new Upload(stream, {
          endpoint: this.#endpoint,
          uploadUrl: `${this.#endpoint}/${file.sha256}`,
          uploadSize: file.length,
          metadata: { sha256: file.sha256 },
          headers:
            this.#access.token === undefined
              ? {}
              : { authorization: `Bearer ${this.#access.token}` },
          httpStack: new HttpsStack({ agent: this.#agent }),
          retryDelays: [...RETRY_DELAYS_MS],
          storeFingerprintForResuming: false,
          onAfterResponse: (_request, response) => {
            // The first answer says how much is there; a new upload has nothing yet.
            presentBytes ??= Number(response.getHeader("Upload-Offset") ?? 0);
          },
          onProgress: (done) => onSent(done),
          onSuccess: () => resolve(),
          onError: (error) => reject(uploadError(file, error)),
        });
        upload.start();
      });
    } finally {
      stream.destroy();
    }
    onSent(file.length);
    return file.length - (presentBytes ?? 0);
  }

  close(): void {
    this.#agent.destroy();
  }
}

function uploadError(file: UploadFile, error: Error): CliError {
  const response = error instanceof DetailedError ? error.originalResponse : null;
  if (response === null)
    return new CliError("unreachable", `${file.source} could not be uploaded`, {
      fields: { why: messageOf(error).split(", originated from request")[0] ?? "" },
      mend: "Push again: it goes on where it was cut off.",
      cause: error,
    });
  const told = errorOfStatus(response.getStatus(), response.getBody());
  return new CliError(told.code, `${file.source}: ${told.message}`, {
    fields: told.fields,
    mend: told.mend ?? "Push again: it goes on where it was cut off.",
    cause: error,
  });
}
