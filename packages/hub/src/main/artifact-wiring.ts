import { existsSync } from "node:fs";
import { availableParallelism, totalmem } from "node:os";
import { join } from "node:path";
import type { Clock } from "@flotilla/shared/kernel/clock";
import type { Random } from "@flotilla/shared/kernel/random";
import type { Log, MetricDefinition, Metrics, Service } from "@flotilla/shared/kernel/service";
import { tufTools } from "@flotilla/shared/platform/tuf";
import { ARTIFACT_SERVER_METRICS } from "../adapters/artifact-server/metrics.ts";
import { nodeDisk } from "../adapters/artifact-store/disk.ts";
import { DiskBlobStore } from "../adapters/artifact-store/disk-blob-store.ts";
import { DiskMetadataStore } from "../adapters/artifact-store/disk-metadata-store.ts";
import { DiskPayloadStore } from "../adapters/artifact-store/disk-payload-store.ts";
import { artifactLayout, makeFolders } from "../adapters/artifact-store/layout.ts";
import { servedBytes } from "../adapters/artifact-store/served-file.ts";
import { DeltaWorkers } from "../adapters/deltas/delta-workers.ts";
import { deltaIndexFile } from "../adapters/deltas/index-file.ts";
import { openOnlineKey } from "../adapters/pki/online-keys.ts";
import { ArtifactApiService } from "../app/artifact/artifact-api.ts";
import { DeltaService } from "../app/artifact/delta-service.ts";
import { DeltasAhead } from "../app/artifact/delta-service-ahead.ts";
import { Holders } from "../app/artifact/delta-service-holders.ts";
import { DeltaIndex } from "../app/artifact/delta-service-index.ts";
import { DELTA_METRICS } from "../app/artifact/delta-service-metrics.ts";
import { DeltaReports } from "../app/artifact/delta-service-reports.ts";
import { Offers } from "../app/artifact/offers.ts";
import { ReleaseFiles } from "../app/artifact/offers-files.ts";
import { SitePeers } from "../app/artifact/offers-peers.ts";
import type { ManifestSigner } from "../app/artifact/ports.ts";
import { ArtifactQuestions } from "../app/artifact/questions.ts";
import { ARTIFACT_STORE_METRICS } from "../app/artifact/store-metrics.ts";
import { TrustPublisher } from "../app/artifact/trust-publisher.ts";
import { ExpiryWatch } from "../app/artifact/trust-publisher-alarms.ts";
import { TRUST_METRICS } from "../app/artifact/trust-publisher-metrics.ts";
import type { EventRecorder } from "../app/events/event-recorder.ts";
import type { NodeLink } from "../app/link/ports.ts";
import type { ResourceStore } from "../app/resources/ports.ts";
import type { HubConfig } from "./config.ts";

/** Metrics of everything about artifacts. */
export const ARTIFACT_METRICS: readonly MetricDefinition[] = [
  ...TRUST_METRICS,
  ...DELTA_METRICS,
  ...ARTIFACT_STORE_METRICS,
  ...ARTIFACT_SERVER_METRICS,
];

export interface ArtifactDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly store: ResourceStore;
  readonly link: NodeLink;
  readonly events: EventRecorder;
  readonly signer: ManifestSigner;
}

/** Everything about artifacts: contents and deltas on disk, trust metadata, and who answers nodes about them. */
export type Artifacts = ReturnType<typeof makeArtifacts>;

/** Makes it. Nothing runs and nothing listens yet. */
export function makeArtifacts(config: HubConfig, deps: ArtifactDeps) {
  const layout = artifactLayout(config.dataDir);
  makeFolders(layout);
  const disk = { disk: nodeDisk };
  const blobs = new DiskBlobStore(
    { layout, quotaBytes: config.artifactQuotaBytes },
    { ...disk, ...deps },
  );
  const payloads = new DiskPayloadStore({ layout, quotaBytes: config.artifactCacheBytes }, disk);
  const metadata = new DiskMetadataStore({ layout }, disk);
  const tools = tufTools();
  const onlineKey = openOnlineKey({ directory: join(config.dataDir, "pki") }, { tools });
  const trust = new TrustPublisher({
    ...deps,
    metadata,
    key: onlineKey,
    tools,
    expiries: new ExpiryWatch(deps),
  });
  const files = new ReleaseFiles(deps);
  const holders = new Holders({ ...deps, files });
  const encoder = new DeltaWorkers({
    program: deltaWorkerProgram(),
    width: config.deltaWorkers ?? Math.max(1, availableParallelism() - 1),
    memoryBytesMax: totalmem() / 2,
  });
  const index = new DeltaIndex({
    ...deps,
    payloads,
    file: deltaIndexFile(join(layout.root, "deltas.json")),
  });
  const deltas = new DeltaService({ ...deps, blobs, payloads, encoder, index, files, holders });
  const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
  const peers = new SitePeers({ ...deps, files });
  const offers = new Offers({ ...deps, blobs, files, deltas, peers, base64 });
  const questions = new ArtifactQuestions({
    ...deps,
    offers,
    trust,
    base64,
    bytes: servedBytes(layout),
  });
  // Stopped in reverse: the workers end when nobody asks them any more.
  const services: readonly Service[] = [
    closing("delta-workers", () => encoder.close()),
    trust,
    deltas,
    new DeltasAhead({ ...deps, holders, deltas }),
    new DeltaReports({}, { ...deps, deltas }),
  ];
  // Told by whoever makes the server: it knows its addresses when it listens.
  const addresses: { current?: { readonly server: string; readonly uploads: string } } = {};
  const api = new ArtifactApiService({
    blobs,
    payloads,
    trust,
    deltas,
    onlineKey,
    addresses: () => addresses.current,
  });
  return { blobs, payloads, metadata, trust, deltas, index, questions, api, addresses, services };
}

/** Closes something at the end. */
function closing(name: string, close: () => Promise<void>): Service {
  return {
    name,
    run: async (signal) => {
      await new Promise<void>((resolve) => {
        if (signal.aborted) resolve();
        else signal.addEventListener("abort", () => resolve(), { once: true });
      });
      await close();
    },
  };
}

/** The bundled worker beside a bundled hub, else the source. */
function deltaWorkerProgram(): string {
  const bundled = join(import.meta.dirname, "delta-worker.mjs");
  return existsSync(bundled) ? bundled : join(import.meta.dirname, "delta-worker.ts");
}
