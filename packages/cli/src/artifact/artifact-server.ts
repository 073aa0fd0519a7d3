import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { Agent, request } from "node:https";
import { messageOf } from "@flotilla/shared/kernel/errors";
import { type ApiClient, errorOfStatus } from "../client/api-client.ts";
import { CliError } from "../domain/errors.ts";
import { textOf } from "../domain/text.ts";

/** Longest silence of the server while it sends. */
const SILENCE_MS_MAX = 30_000;

/** What was received of a content. */
export interface Received {
  readonly length: number;
  readonly sha256: string;
}

/** The hub's artifact server as administrators reach it: contents and metadata by name. */
export class ArtifactServer {
  /** `https://host:port`, where uploads go too. */
  readonly address: string;
  readonly #token: string | undefined;
  readonly #agent: Agent;

  /** Asks the hub where its artifact server is. Rejects with a CliError. */
  static async of(client: ApiClient): Promise<ArtifactServer> {
    const answer = await client.json({ method: "GET", path: "/artifacts/v1" });
    const address = textOf(answer["uploads"]);
    if (!URL.canParse(address))
      throw new CliError("failed", "the hub says nothing of an artifact server", {
        mend: "Is it a hub of this version, with its artifact server on?",
      });
    return new ArtifactServer(new URL(address).origin, client);
  }

  private constructor(address: string, client: ApiClient) {
    const { token, ca } = client.access;
    this.address = address;
    this.#token = token;
    this.#agent = new Agent({ keepAlive: true, ...(ca === undefined ? {} : { ca }) });
  }

  /** A file of trust metadata, at most this long; "absent" when there is none. */
  async metadata(file: string, bytesMax: number): Promise<Uint8Array | "absent"> {
    const pieces: Buffer[] = [];
    let length = 0;
    const found = await this.#get(`/v1/metadata/${file}`, (piece) => {
      length += piece.length;
      if (length > bytesMax)
        throw new CliError("failed", `${file} has more than ${bytesMax} bytes`);
      pieces.push(piece);
    });
    return found ? new Uint8Array(Buffer.concat(pieces)) : "absent";
  }

  /** Reads a content through, and tells what came. Rejects with CliError `not-found` when it is not in the store. */
  async content(sha256: string, onPiece: (piece: Buffer) => void): Promise<Received> {
    const hash = createHash("sha256");
    let length = 0;
    const found = await this.#get(`/v1/blobs/${sha256}`, (piece) => {
      hash.update(piece);
      length += piece.length;
      onPiece(piece);
    });
    if (!found)
      throw new CliError("not-found", `the hub does not have the content ${sha256}`, {
        mend: "Push the release again; what is missing is uploaded.",
      });
    return { length, sha256: hash.digest("hex") };
  }

  close(): void {
    this.#agent.destroy();
  }

  /** False when there is nothing of this name. */
  #get(path: string, onPiece: (piece: Buffer) => void): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const asked = request(
        `${this.address}${path}`,
        {
          agent: this.#agent,
          timeout: SILENCE_MS_MAX,
          headers: this.#token === undefined ? {} : { authorization: `Bearer ${this.#token}` },
        },
        (response) => {
          this.#read(response, onPiece).then(resolve, (error: unknown) => {
            asked.destroy();
            reject(this.#errorOf(error));
          });
        },
      );
      asked.on("timeout", () =>
        asked.destroy(new Error(`nothing came for ${SILENCE_MS_MAX / 1000} s`)),
      );
      asked.on("error", (error) => reject(this.#errorOf(error)));
      asked.end();
    });
  }

  async #read(response: IncomingMessage, onPiece: (piece: Buffer) => void): Promise<boolean> {
    const status = response.statusCode ?? 500;
    let failure = "";
    for await (const piece of response) {
      if (!Buffer.isBuffer(piece)) continue;
      if (status === 200) onPiece(piece);
      else failure += piece.toString("utf8", 0, 1_024);
    }
    if (status === 200) return true;
    if (status === 404) return false;
    throw errorOfStatus(status, failure);
  }

  #errorOf(error: unknown): CliError {
    if (error instanceof CliError) return error;
    return new CliError("unreachable", `the artifact server at ${this.address} cannot be reached`, {
      fields: { why: messageOf(error) },
      mend: "Is the port open from here? The hub's uploadListen says which it is.",
      cause: error,
    });
  }
}
