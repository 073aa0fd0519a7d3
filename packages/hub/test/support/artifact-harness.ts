import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { IncomingHttpHeaders } from "node:http";
import { Agent, request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { systemClock } from "@flotilla/shared/platform/clock";
import { createMetrics } from "@flotilla/shared/platform/metrics";
import { systemRandom } from "@flotilla/shared/platform/random";
import { runServices } from "@flotilla/shared/platform/supervisor";
import { RecordingLog, silentLog } from "@flotilla/shared/testing/silent-log";
import type { ServerLimits, ServerPorts } from "../../src/adapters/artifact-server/messages.ts";
import { ARTIFACT_SERVER_METRICS } from "../../src/adapters/artifact-server/metrics.ts";
import { ArtifactServerThread } from "../../src/adapters/artifact-server/server-thread.ts";
import { nodeDisk } from "../../src/adapters/artifact-store/disk.ts";
import { DiskBlobStore } from "../../src/adapters/artifact-store/disk-blob-store.ts";
import { DiskMetadataStore } from "../../src/adapters/artifact-store/disk-metadata-store.ts";
import { DiskPayloadStore } from "../../src/adapters/artifact-store/disk-payload-store.ts";
import { artifactLayout, makeFolders } from "../../src/adapters/artifact-store/layout.ts";
import {
  type FileCertificateAuthority,
  openCertificateAuthority,
} from "../../src/adapters/pki/certificate-authority.ts";
import type { Device } from "./broker-harness.ts";
import { makeDeviceKey } from "./device-keys.ts";

export const TOKEN = "an-administrators-token";
const WORKER = join(import.meta.dirname, "../../src/main/artifact-server-worker.ts");

export function sha256Of(bytes: Uint8Array | string): string {
  return createHash("sha256").update(bytes).digest("hex");
}

export interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

interface Ask {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string | number>>;
  readonly body?: Uint8Array | string;
  /** Closed by whoever gave it; default: a connection of its own. */
  readonly agent?: Agent;
}

/** A real artifact server in its thread, on free ports, with a real CA and real stores; the hub around it is made of what a test says. */
export class ArtifactHarness {
  readonly dataDir: string;
  readonly log = new RecordingLog();
  readonly metrics = createMetrics(ARTIFACT_SERVER_METRICS);
  readonly ca: FileCertificateAuthority;
  readonly blobs: DiskBlobStore;
  readonly payloads: DiskPayloadStore;
  readonly metadata: DiskMetadataStore;
  readonly thread: ArtifactServerThread;
  /** `<node> <serial>` of every question of the server. */
  readonly asked: string[] = [];
  /** Nodes that the hub does not admit. */
  readonly refused = new Set<string>();
  ports: ServerPorts = { nodes: 0, administrators: 0 };
  worker: Worker | undefined;
  readonly #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();

  private constructor(options: {
    readonly dataDir: string;
    readonly ca: FileCertificateAuthority;
    readonly tls: { readonly certificate: string; readonly privateKey: string };
    readonly quotaBytes: number;
    readonly limits: Partial<ServerLimits>;
    readonly port: number;
  }) {
    const { dataDir, ca, tls, quotaBytes, limits } = options;
    this.dataDir = dataDir;
    this.ca = ca;
    const layout = artifactLayout(dataDir);
    makeFolders(layout);
    const deps = { disk: nodeDisk, clock: systemClock() };
    this.blobs = new DiskBlobStore({ layout, quotaBytes }, deps);
    this.payloads = new DiskPayloadStore({ layout, quotaBytes }, deps);
    this.metadata = new DiskMetadataStore({ layout }, deps);
    const at = (port: number) => ({ host: "127.0.0.1", port });
    this.thread = new ArtifactServerThread(
      {
        dataDir,
        nodes: at(options.port),
        administrators: at(0),
        tls: { ...tls, caCertificate: ca.caCertificate },
        tokenHashes: [sha256Of(TOKEN)],
        limits,
      },
      {
        blobs: this.blobs,
        log: this.log,
        metrics: this.metrics,
        timeAnswer: (nonce) => Buffer.from(`now, ${nonce}`),
        spawn: (setup) => {
          this.worker = new Worker(WORKER, { workerData: setup });
          return this.worker;
        },
        admission: {
          admits: (nodeId, serial) => {
            this.asked.push(`${nodeId} ${serial}`);
            return !this.refused.has(nodeId);
          },
        },
      },
    );
  }

  static async start(
    options: {
      readonly quotaBytes?: number;
      readonly limits?: Partial<ServerLimits>;
      readonly dataDir?: string;
      /** For nodes; default: any free one. */
      readonly port?: number;
    } = {},
  ): Promise<ArtifactHarness> {
    const dataDir = options.dataDir ?? mkdtempSync(join(tmpdir(), "artifacts-"));
    const ca = await openCa(join(dataDir, "pki"));
    const tls = await ca.serverCredentials({ name: "artifacts", hosts: [] });
    const harness = new ArtifactHarness({
      dataDir,
      ca,
      tls,
      quotaBytes: options.quotaBytes ?? 10 ** 9,
      limits: options.limits ?? {},
      port: options.port ?? 0,
    });
    harness.ports = await harness.thread.start();
    harness.#running = runServices(
      { services: [harness.thread], signal: harness.#stop.signal },
      { log: harness.log, clock: systemClock(), random: systemRandom() },
    );
    return harness;
  }

  /** The hub ends in good order. `keep`: its data directory stays for another one. */
  async stop({ keep = false }: { readonly keep?: boolean } = {}): Promise<void> {
    this.#stop.abort();
    await this.#running;
    if (!keep) rmSync(this.dataDir, { recursive: true, force: true });
  }

  async device(name: string, ca: FileCertificateAuthority = this.ca, nowMs = Date.now()) {
    const key = await makeDeviceKey();
    const issued = await ca.issueNodeCertificate({ csr: key.csr, nodeId: name, nowMs });
    return { name, privateKey: key.privateKey, ...issued };
  }

  /** A payload of these bytes; its name is the digest of the manifest. */
  async payload(bytes: Uint8Array, manifest = randomBytes(40)): Promise<string> {
    const path = join(this.payloads.workDir, sha256Of(manifest));
    writeFileSync(path, bytes);
    return this.payloads.adopt(manifest, path);
  }

  tls(device: Device | undefined) {
    const own = device === undefined ? {} : { cert: device.certificate, key: device.privateKey };
    return { host: "127.0.0.1", ca: this.ca.caCertificate, ...own };
  }

  /** Asks as a node. Rejects when the connection is refused. */
  fetch(device: Device | undefined, path: string, ask: Ask = {}): Promise<Reply> {
    return send({ ...this.tls(device), port: this.ports.nodes, path, ...ask });
  }

  /** Asks as an administrator, by tus where it matters. */
  admin(path: string, ask: Ask = {}): Promise<Reply> {
    const headers = {
      authorization: `Bearer ${TOKEN}`,
      "tus-resumable": "1.0.0",
      ...ask.headers,
    };
    const port = this.ports.administrators;
    return send({ ...this.tls(undefined), port, path, ...ask, headers });
  }

  /** Begins an upload. */
  create(sha256: string, length: number): Promise<Reply> {
    const digest = Buffer.from(sha256).toString("base64");
    return this.admin("/v1/uploads", {
      method: "POST",
      headers: { "upload-length": length, "upload-metadata": `sha256 ${digest}` },
    });
  }

  patch(sha256: string, offset: number, body: Uint8Array, agent?: Agent): Promise<Reply> {
    return this.admin(`/v1/uploads/${sha256}`, {
      method: "PATCH",
      ...(agent === undefined ? {} : { agent }),
      headers: {
        "upload-offset": offset,
        "content-type": "application/offset+octet-stream",
        "content-length": body.length,
      },
      body,
    });
  }

  /** A whole upload. */
  async upload(bytes: Uint8Array): Promise<string> {
    const sha256 = sha256Of(bytes);
    await this.create(sha256, bytes.length);
    await this.patch(sha256, 0, bytes);
    return sha256;
  }
}

export function openCa(directory: string): Promise<FileCertificateAuthority> {
  return openCertificateAuthority(
    { directory },
    { clock: systemClock(), random: systemRandom(), log: silentLog() },
  );
}

function send(
  options: Ask & { readonly host: string; readonly port: number; readonly path: string },
): Promise<Reply> {
  const { body, ...rest } = options;
  return new Promise((resolve, reject) => {
    const sent = request({ agent: false, ...rest }, (response) => {
      const pieces: Buffer[] = [];
      response.on("data", (piece: Buffer) => pieces.push(piece));
      response.on("error", reject);
      response.on("end", () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: Buffer.concat(pieces),
        }),
      );
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

/** Keeps connections open from one request to the next. */
export function keepingAgent(): Agent {
  return new Agent({ keepAlive: true, maxSockets: 1 });
}
