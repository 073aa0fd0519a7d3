import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { readManifest } from "@flotilla/shared/delta/envelope";
import type { Clock } from "@flotilla/shared/kernel/clock";
import type { Delivery } from "@flotilla/shared/model/artifact";
import { applyDelta } from "@flotilla/shared/platform/delta/apply";
import { nodeDigests } from "@flotilla/shared/platform/delta/node-compressor";
import { nodeFiles } from "@flotilla/shared/platform/file-system";
import { RecordingMetrics } from "@flotilla/shared/testing/recording-metrics";
import { SeededRandom } from "@flotilla/shared/testing/seeded-random";
import { RecordingLog } from "@flotilla/shared/testing/silent-log";
import { HttpSources } from "../../src/adapters/artifact-http/http-sources.ts";
import { FilePayloadShelf } from "../../src/adapters/artifact-http/payload-shelf.ts";
import { PeerServer } from "../../src/adapters/artifact-http/peer-server.ts";
import { FileBlobs } from "../../src/adapters/artifact-store/file-blobs.ts";
import { Ed25519Verifier } from "../../src/adapters/credentials/signature-verifier.ts";
import { CronCalendar } from "../../src/adapters/cron/cron-calendar.ts";
import { BlobTable } from "../../src/adapters/store/blob-table.ts";
import { SqliteAgentStore } from "../../src/adapters/store/sqlite-agent-store.ts";
import { SqliteTransferTable } from "../../src/adapters/store/transfer-table.ts";
import type { PatchWorker } from "../../src/app/artifact/ports.ts";
import type { StrikeReason } from "../../src/app/delivery/crowd.ts";
import { ArtifactDelivery } from "../../src/app/delivery/delivery.ts";
import { HubRoute } from "../../src/app/delivery/hub-route.ts";
import { LinkSource } from "../../src/app/delivery/link-source.ts";
import type { ServedPayloads } from "../../src/app/delivery/ports.ts";
import type { Credentials } from "../../src/app/link/ports.ts";
import { type ArtifactHub, sha256Of } from "./artifact-hub.ts";

export interface NodeOptions {
  readonly nodeId: string;
  /** State directory; it survives a new DeliveryNode. */
  readonly folder: string;
  readonly clock: Clock;
  readonly hub: ArtifactHub;
  readonly credentials: Credentials;
  readonly delivery?: Delivery;
  readonly keepsPayloads?: boolean;
  readonly reserveBytes?: number;
  readonly bytesMax?: number;
  readonly quotaBytes?: number;
  readonly bytesPerSecond?: number;
  /** Default: TestPatches. */
  readonly worker?: PatchWorker;
  /** What is served to others instead of what is there. */
  readonly serves?: (shelf: ServedPayloads) => ServedPayloads;
}

/** `applyDelta` in this thread, so that a test can see it and cut it. */
class TestPatches implements PatchWorker {
  /** Called with each step's firstBlock. */
  readonly firstBlocks: number[] = [];
  /** Called after each block that is on disk; throws to cut there. */
  onBlock: (next: number) => void = () => undefined;

  async apply(request: Parameters<PatchWorker["apply"]>[0], signal: AbortSignal): Promise<void> {
    const { manifest, basePath, targetPath, firstBlock, readPayload } = request;
    this.firstBlocks.push(firstBlock);
    await applyDelta(
      { manifest: readManifest(manifest), basePath, targetPath, firstBlock },
      { read: readPayload },
      (next) => {
        signal.throwIfAborted();
        request.onBlock(next);
        this.onBlock(next);
      },
    );
  }
}

/** The delivery part of an agent over its real store, disk and sockets. */
export class DeliveryNode {
  readonly nodeId: string;
  readonly store: SqliteAgentStore;
  readonly blobs: FileBlobs;
  readonly shelf: FilePayloadShelf;
  readonly delivery: ArtifactDelivery;
  readonly route: HubRoute;
  readonly transfers: SqliteTransferTable;
  readonly patches = new TestPatches();
  readonly metrics = new RecordingMetrics();
  readonly log = new RecordingLog();
  /** Codes with which the hub's server was left for the link. */
  readonly fellBack: string[] = [];
  readonly struck: { readonly node: string; readonly reason: StrikeReason }[] = [];
  readonly server: PeerServer;
  site: Delivery;
  readonly #sources: HttpSources;
  readonly #stop = new AbortController();
  #serving: Promise<void> | undefined;

  constructor(options: NodeOptions) {
    const { clock, credentials, folder, hub, nodeId } = options;
    const random = new SeededRandom(nodeId.length * 31 + nodeId.charCodeAt(nodeId.length - 1));
    const deps = { clock, random, log: this.log, metrics: this.metrics };
    const root = join(folder, "artifacts");
    mkdirSync(root, { recursive: true });
    this.nodeId = nodeId;
    this.site = options.delivery ?? { server: hub.url };
    this.store = new SqliteAgentStore({ directory: folder }, deps);
    this.transfers = new SqliteTransferTable({ store: this.store });
    this.blobs = this.#openBlobs(options, root);
    this.shelf = new FilePayloadShelf(
      { folder: root, quotaBytes: options.quotaBytes ?? 1_000_000_000 },
      deps,
    );
    const load = (): Credentials => credentials;
    this.#sources = new HttpSources({}, { credentials: { load }, clock });
    const link = new LinkSource({ questions: hub.questions });
    this.route = new HubRoute({
      ...deps,
      sources: this.#sources,
      link,
      server: () => this.site.server,
      onFallback: (error) => this.fellBack.push(error.code),
    });
    this.delivery = new ArtifactDelivery(
      {
        ownNode: nodeId,
        memoryBytes: 64 * 1024 * 1024,
        keepsPayloads: options.keepsPayloads ?? true,
        bytesPerSecond: options.bytesPerSecond,
      },
      {
        ...deps,
        link,
        route: this.route,
        sources: this.#sources,
        shelf: this.shelf,
        blobs: this.blobs,
        patches: options.worker ?? this.patches,
        transfers: this.transfers,
        verifier: new Ed25519Verifier({ credentials: { load } }),
        digests: nodeDigests,
        calendar: new CronCalendar(),
        delivery: () => this.site,
        onStruck: (struck) => this.struck.push(struck),
      },
    );
    this.server = new PeerServer(
      { host: "127.0.0.1", port: 0 },
      {
        ...deps,
        payloads: options.serves?.(this.shelf) ?? this.shelf,
        serving: { share: () => Promise.resolve(), served: () => undefined },
        credentials: { load },
      },
    );
  }

  #openBlobs(options: NodeOptions, root: string): FileBlobs {
    return new FileBlobs(
      {
        root,
        reserveBytes: options.reserveBytes ?? 0,
        ...(options.bytesMax === undefined ? {} : { bytesMax: options.bytesMax }),
      },
      {
        clock: options.clock,
        log: this.log,
        files: nodeFiles,
        rows: new BlobTable({ store: this.store }),
        needed: () => this.delivery.needed(),
        makeWay: () => undefined,
      },
    );
  }

  /** Serves peers; resolves with its address. */
  async serve(): Promise<{ readonly node: string; readonly host: string; readonly port: number }> {
    this.#serving = this.server.run(this.#stop.signal);
    while (this.server.port === 0)
      await new Promise((resolve) => {
        setTimeout(resolve, 2);
      });
    return { node: this.nodeId, host: "127.0.0.1", port: this.server.port };
  }

  fetch(
    target: Uint8Array,
    over: Partial<Parameters<ArtifactDelivery["fetch"]>[1]> = {},
  ): Promise<{ readonly transferredBytes: number }> {
    return this.delivery.fetch(
      { sha256: sha256Of(target), length: target.length, path: "models/m/1/model.bin" },
      {
        isUrgent: true,
        bases: [],
        onProgress: () => undefined,
        signal: this.#stop.signal,
        ...over,
      },
    );
  }

  /** Puts a content there as if it had come earlier. */
  async give(bytes: Uint8Array): Promise<string> {
    const sha256 = sha256Of(bytes);
    nodeFiles.close(nodeFiles.open(this.blobs.partPathOf(sha256), "replace"));
    const fd = nodeFiles.open(this.blobs.partPathOf(sha256), "update");
    nodeFiles.write(fd, bytes, 0);
    nodeFiles.close(fd);
    await this.blobs.complete(sha256, bytes.length);
    return sha256;
  }

  /** Bytes of a content; undefined when it is not there. */
  content(sha256: string): Uint8Array | undefined {
    return this.blobs.has(sha256) ? readFileSync(this.blobs.pathOf(sha256)) : undefined;
  }

  hasPart(sha256: string): boolean {
    return existsSync(this.blobs.partPathOf(sha256));
  }

  received(source: "hub" | "link" | "peer"): number {
    return this.metrics.total("flotilla_agent_artifact_received_bytes_total", { source });
  }

  /** Ends what is under way, as a stop of the agent does. With a manual clock, let it advance meanwhile. */
  async close(): Promise<void> {
    this.#stop.abort(new Error("the agent stops"));
    await this.#serving;
    this.#sources.close();
    this.store.close();
  }
}
