import { createHash, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import { encodeDelta } from "@flotilla/shared/delta/encode";
import { type DeltaManifest, writeManifest } from "@flotilla/shared/delta/envelope";
import { inMemory } from "@flotilla/shared/delta/random-access";
import { nodeCompressor, nodeDigests } from "@flotilla/shared/platform/delta/node-compressor";
import {
  type ArtifactOffer,
  MANIFEST_SIGNATURE_CONTEXT,
  type OfferStep,
} from "@flotilla/shared/protocol/down/artifact-offer";
import type { Bytes } from "@flotilla/shared/protocol/down/bytes";
import type { ArtifactGet } from "@flotilla/shared/protocol/up/artifact-get";
import type { BytesGet } from "@flotilla/shared/protocol/up/bytes-get";
import type { Credentials } from "../../src/app/link/ports.ts";
import type { TestCa } from "./pki.ts";

/** Small enough that an uplink which is shared is shared fairly. */
const SENT_AT_ONCE_BYTES = 64 * 1024;

export function sha256Of(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Bytes that nothing compresses, the same for the same seed. */
export function noise(lengthBytes: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(lengthBytes);
  let state = seed * 2_654_435_761 + 1;
  for (let i = 0; i < lengthBytes; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

/** A file in blocks of this size, each as it is: the smallest way to have many blocks. */
export function inBlocks(target: Uint8Array, blockBytes: number): Encoded {
  const blocks = Array.from({ length: Math.ceil(target.length / blockBytes) }, (_, i) => {
    const bytes = target.subarray(i * blockBytes, (i + 1) * blockBytes);
    const sha256 = nodeDigests.sha256(bytes);
    return {
      codec: "stored" as const,
      targetLength: bytes.length,
      payloadLength: bytes.length,
      payloadSha256: sha256,
      targetSha256: sha256,
      ranges: [],
    };
  });
  const identity = { size: target.length, sha256: nodeDigests.sha256(target) };
  return {
    manifest: { base: undefined, target: identity, map: undefined, blocks },
    payload: target,
  };
}

/** What the product's own encoder makes. */
export function encoded(target: Uint8Array, base?: Uint8Array): Encoded {
  const parts: Uint8Array[] = [];
  const manifest = encodeDelta(
    {
      base: base && inMemory(base),
      target: inMemory(target),
      layouts: { old: [], new: [] },
      profile: "fast",
    },
    { compressor: nodeCompressor, digests: nodeDigests },
    (bytes) => parts.push(bytes.slice()),
  );
  return { manifest, payload: Buffer.concat(parts) };
}

export interface Encoded {
  readonly manifest: DeltaManifest;
  readonly payload: Uint8Array;
}

/** What a test makes of one request: true when it has answered. */
export type Misbehaviour = (
  request: IncomingMessage,
  response: ServerResponse,
  file: Uint8Array,
) => boolean;

/** The hub's side of artifacts in a test: a real HTTPS server with mutual TLS, offers that are signed, and the link's questions. */
export class ArtifactHub {
  readonly url: string;
  readonly credentials: Omit<Credentials, "nodeId" | "certificate" | "privateKey">;
  /** `payloads/<sha256>` and so on. */
  readonly files = new Map<string, Uint8Array>();
  /** Target → what is offered. */
  readonly offers = new Map<string, ArtifactOffer>();
  /** Bytes of bodies that were sent, and requests that came. */
  sentBytes = 0;
  linkBytes = 0;
  readonly asked: ArtifactGet[] = [];
  readonly requests: string[] = [];
  misbehave: Misbehaviour = () => false;
  /** Resolves when so many bytes may leave: the uplink of a site. */
  limit: (bytes: number) => Promise<void> = () => Promise.resolve();
  onOffer: (request: ArtifactGet) => ArtifactOffer | undefined = () => undefined;
  /** Undefined: the link works. */
  linkFailure: Error | undefined;
  readonly #etags = new WeakMap<Uint8Array, string>();
  readonly #server: Server;
  readonly #key: KeyObject;
  readonly #keyId: string;
  readonly #ca: TestCa;

  private constructor(of: { server: Server; ca: TestCa; port: number }) {
    const pair = generateKeyPairSync("ed25519");
    const spki = pair.publicKey.export({ type: "spki", format: "der" });
    this.#server = of.server;
    this.#ca = of.ca;
    this.#key = pair.privateKey;
    this.#keyId = createHash("sha256").update(spki).digest("hex").slice(0, 16);
    this.url = `https://127.0.0.1:${of.port}`;
    this.credentials = {
      shard: "0",
      caCertificate: of.ca.certificate,
      signingKey: pair.publicKey.export({ type: "spki", format: "pem" }).toString(),
      mqttUrl: "mqtts://127.0.0.1:1",
      apiUrl: "https://127.0.0.1:1",
      certificateNotBeforeMs: 0,
      certificateExpiresMs: 4_000_000_000_000,
    };
    this.#server.on("request", (request, response) => this.#serve(request, response));
  }

  static async start(ca: TestCa): Promise<ArtifactHub> {
    const { certificate, privateKey } = await ca.server();
    const server = createServer({
      cert: certificate,
      key: privateKey,
      ca: ca.certificate,
      requestCert: true,
      rejectUnauthorized: true,
    });
    await new Promise<void>((resolve) => {
      server.listen(0, "127.0.0.1", resolve);
    });
    const address = server.address();
    return new ArtifactHub({
      server,
      ca,
      port: typeof address === "object" ? (address?.port ?? 0) : 0,
    });
  }

  async credentialsOf(nodeId: string): Promise<Credentials> {
    return { ...this.credentials, nodeId, ...(await this.#ca.client(nodeId)) };
  }

  /** Puts a step's files there; returns the step as an offer has it. */
  publish({ manifest, payload }: Encoded, over: Partial<OfferStep> = {}): OfferStep {
    const bytes = writeManifest(manifest);
    const manifestSha256 = sha256Of(bytes);
    this.files.set(`manifests/${manifestSha256}`, bytes);
    this.files.set(`payloads/${manifestSha256}`, payload);
    return {
      makes: Buffer.from(manifest.target.sha256).toString("hex"),
      ...(manifest.base && { base: Buffer.from(manifest.base.sha256).toString("hex") }),
      manifestSha256,
      manifestLength: bytes.length,
      manifest: Buffer.from(bytes).toString("base64"),
      signature: this.sign(manifestSha256),
      keyId: this.#keyId,
      payloadLength: payload.length,
      ...over,
    };
  }

  sign(manifestSha256: string): string {
    return sign(null, Buffer.from(MANIFEST_SIGNATURE_CONTEXT + manifestSha256), this.#key).toString(
      "base64",
    );
  }

  /** Offers these steps for what the last of them makes; returns its SHA-256. */
  offer(steps: readonly OfferStep[], peers?: ArtifactOffer["peers"]): string {
    const target = steps.at(-1)?.makes ?? "";
    this.offers.set(target, {
      target,
      status: "ready",
      steps: [...steps],
      ...(peers === undefined ? {} : { peers }),
    });
    return target;
  }

  /** The questions of the link. */
  readonly questions = {
    ask: async (question: {
      readonly kind: string;
      readonly body: ArtifactGet | BytesGet;
      // oxlint-disable-next-line typescript/no-explicit-any -- overloads of a port, played by one function
    }): Promise<any> => {
      if (this.linkFailure !== undefined) throw this.linkFailure;
      if ("target" in question.body) return this.#answerOffer(question.body);
      const answer = this.#answerBytes(question.body);
      await this.limit(answer.data.length);
      return answer;
    },
  };

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  #answerOffer(request: ArtifactGet): ArtifactOffer {
    this.asked.push(request);
    return (
      this.onOffer(request) ??
      this.offers.get(request.target) ?? { target: request.target, status: "unknown" }
    );
  }

  #answerBytes({ path, offset, length }: BytesGet): Bytes {
    const file = this.files.get(path);
    if (file === undefined) return { data: "", totalBytes: 0, error: "not-found" };
    const bytes = file.subarray(offset, offset + length);
    this.linkBytes += bytes.length;
    return { data: Buffer.from(bytes).toString("base64"), totalBytes: file.length };
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const path = (request.url ?? "").replace(/^\/v1\//, "");
    const file = this.files.get(path);
    this.requests.push(`${path.split("/")[0]} ${request.headers.range ?? ""}`);
    if (file === undefined) {
      response.writeHead(404).end();
      return;
    }
    if (this.misbehave(request, response, file)) return;
    void this.answer(request, response, file);
  }

  #etagOf(file: Uint8Array): string {
    const etag = this.#etags.get(file) ?? `"${sha256Of(file)}"`;
    this.#etags.set(file, etag);
    return etag;
  }

  /** As it should be. */
  async answer(
    request: IncomingMessage,
    response: ServerResponse,
    file: Uint8Array,
  ): Promise<void> {
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? [];
    const bytes = from === undefined ? file : file.subarray(Number(from), Number(to) + 1);
    response.writeHead(from === undefined ? 200 : 206, {
      "content-length": bytes.length,
      etag: this.#etagOf(file),
      ...(from === undefined ? {} : { "content-range": `bytes ${from}-${to}/${file.length}` }),
    });
    for (let at = 0; at < bytes.length && !response.destroyed; at += SENT_AT_ONCE_BYTES) {
      const part = bytes.subarray(at, at + SENT_AT_ONCE_BYTES);
      await this.limit(part.length);
      this.sentBytes += part.length;
      response.write(part);
    }
    response.end();
  }
}
