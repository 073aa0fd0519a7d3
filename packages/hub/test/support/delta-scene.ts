import { createHash } from "node:crypto";
import { CodedError } from "@flotilla/shared/kernel/errors";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { ArtifactGet } from "@flotilla/shared/protocol/up/artifact-get";
import { ManualClock } from "@flotilla/shared/testing/manual-clock";
import { RecordingMetrics } from "@flotilla/shared/testing/recording-metrics";
import { RecordingLog } from "@flotilla/shared/testing/silent-log";
import { DeltaService } from "../../src/app/artifact/delta-service.ts";
import { Holders } from "../../src/app/artifact/delta-service-holders.ts";
import { DeltaIndex } from "../../src/app/artifact/delta-service-index.ts";
import { Offers } from "../../src/app/artifact/offers.ts";
import { ReleaseFiles } from "../../src/app/artifact/offers-files.ts";
import { SitePeers } from "../../src/app/artifact/offers-peers.ts";
import type {
  DeltaEncoder,
  EncodedDelta,
  EncodeRequest,
  PayloadStore,
} from "../../src/app/artifact/ports.ts";
import { put } from "./hub-core.ts";
import { MemoryStore } from "./memory-store.ts";

/** A content of a test: named by a word, known by its SHA-256. */
export const sha = (word: string): string => createHash("sha256").update(word).digest("hex");

/** What outlives the hub: payloads and the index. */
interface DeltaDisk {
  readonly payloads: Map<string, { readonly manifest: Uint8Array; readonly bytes: number }>;
  index: string | undefined;
}

interface Asked {
  readonly request: EncodeRequest;
  /** Makes it, of so many bytes. */
  finish(payloadBytes: number, memoryBytes?: number): Promise<void>;
  fail(): Promise<void>;
}

/** Makes what a test says, when it says so. Paths are the contents' digests. */
class HandEncoder implements DeltaEncoder {
  readonly width: number;
  readonly asked: Asked[] = [];
  /** Bytes of what was written, by path. */
  readonly written = new Map<string, number>();

  constructor(width: number) {
    this.width = width;
  }

  encode(request: EncodeRequest, signal: AbortSignal): Promise<EncodedDelta> {
    return new Promise((resolve, reject) => {
      signal.addEventListener("abort", () => reject(new CodedError("delta-cancelled", "stopped")));
      const manifest = new TextEncoder().encode(
        `${request.basePath ?? ""}>${request.targetPath}/${request.profile}`,
      );
      this.asked.push({
        request,
        finish: (payloadBytes, decoderMemoryBytes = 1_000) => {
          const codecBytes = { prefix: payloadBytes };
          this.written.set(request.payloadPath, payloadBytes);
          resolve({
            manifest,
            baseSha256: request.basePath,
            targetSha256: request.targetPath,
            payloadBytes,
            decoderMemoryBytes,
            codecBytes,
          });
          return settled();
        },
        fail: () => {
          reject(new CodedError("delta-not-made", "no"));
          return settled();
        },
      });
    });
  }

  /** What is being made, as `base>target/profile` of the words. */
  names(words: readonly string[]): readonly string[] {
    const wordOf = (path = ""): string => words.find((w) => sha(w) === path) ?? "";
    return this.asked.map(
      ({ request: r }) => `${wordOf(r.basePath)}>${wordOf(r.targetPath)}/${r.profile}`,
    );
  }
}

export interface SceneOptions {
  readonly disk?: DeltaDisk;
  readonly store?: MemoryStore;
  readonly quotaBytes?: number;
  readonly width?: number;
}

/** Deltas and offers over a store in memory; contents are 1,000,000 bytes each. */
export function deltaScene(options: SceneOptions = {}) {
  const disk = options.disk ?? { payloads: new Map(), index: undefined };
  const store = options.store ?? new MemoryStore();
  const clock = new ManualClock();
  const metrics = new RecordingMetrics();
  const log = new RecordingLog();
  const told: { readonly reason: string; readonly message: string }[] = [];
  const contents = new Map<string, number>();
  const connected = new Set<string>();
  const platform = { store, clock, metrics, log };
  const events = { record: (event: (typeof told)[number]) => void told.push(event) };
  const encoder = new HandEncoder(options.width ?? 4);
  const blobs = {
    sizeOf: (sha256: string) => contents.get(sha256),
    pathOf: (sha256: string) => sha256,
    pin: () => () => {},
  };
  const payloads = payloadStore(disk, encoder, options.quotaBytes ?? 1e9);
  const file = {
    read: () => disk.index,
    write: (text: string) => {
      disk.index = text;
    },
  };
  const files = new ReleaseFiles(platform);
  const holders = new Holders({ ...platform, files });
  const index = new DeltaIndex({ ...platform, payloads, file });
  const deltas = new DeltaService({
    ...platform,
    blobs,
    payloads,
    encoder,
    index,
    files,
    holders,
    events,
  });
  const peers = new SitePeers({
    ...platform,
    files,
    link: { isConnected: (nodeId) => connected.has(nodeId) },
  });
  const offers = new Offers({
    ...platform,
    blobs,
    files,
    deltas,
    peers,
    signer: { keyId: "0123456789abcdef", signManifest: (text) => `signed ${text}` },
    base64: (bytes) => Buffer.from(bytes).toString("base64"),
  });
  const stop = new AbortController();
  const running = deltas.run(stop.signal);
  return {
    ...platform,
    disk,
    told,
    contents,
    connected,
    encoder,
    payloads,
    holders,
    deltas,
    offers,
    end: async () => {
      stop.abort();
      await running;
    },
  };
}

export type DeltaScene = ReturnType<typeof deltaScene>;

function payloadStore(disk: DeltaDisk, encoder: HandEncoder, quotaBytes: number): PayloadStore {
  const { payloads } = disk;
  return {
    workDir: "work",
    quotaBytes,
    get usedBytes() {
      return [...payloads.values()].reduce((sum, p) => sum + p.bytes, 0);
    },
    manifest: (sha256) => payloads.get(sha256)?.manifest,
    payloadBytes: (sha256) => payloads.get(sha256)?.bytes,
    adopt: async (manifest, path) => {
      const sha256 = createHash("sha256").update(manifest).digest("hex");
      const bytes = encoder.written.get(path);
      if (bytes === undefined) throw new Error(`${path} was never written`);
      payloads.set(sha256, { manifest, bytes });
      return sha256;
    },
    remove: async (sha256) => void payloads.delete(sha256),
    list: () => [...payloads].map(([manifestSha256, { bytes }]) => ({ manifestSha256, bytes })),
  };
}

/** A release of `detector` with these words as files, `file-0` and on; its contents are in the store unless told otherwise. */
export async function putRelease(
  scene: DeltaScene,
  counter: number,
  words: readonly string[],
  about: { readonly isReady?: boolean; readonly length?: number } = {},
): Promise<ObjectOf<"Release">> {
  const { isReady = false, length = 1_000_000 } = about;
  const files = words.map((word, i) => ({
    path: `file-${i}`,
    target: `models/detector/${counter}/file-${i}`,
    length,
    sha256: sha(word),
  }));
  for (const { sha256 } of files) scene.contents.set(sha256, length);
  const name = `detector-${counter}.0.0`;
  const condition = {
    type: "Ready",
    status: "True",
    reason: "Ready",
    message: "",
    lastTransitionTime: "2026-01-01T00:00:00Z",
  } as const;
  const release: ObjectOf<"Release"> = {
    apiVersion: "artifacts.kurator.dev/v1alpha1",
    kind: "Release",
    metadata: { name, uid: name, generation: 1 },
    spec: { artifact: "detector", version: `${counter}.0.0`, counter, files },
    status: isReady ? { conditions: [condition] } : {},
  };
  await put(scene.store, release);
  return release;
}

/** A node of a site, with what it says of artifacts. */
export async function putNode(
  scene: DeltaScene,
  name: string,
  about: { readonly site?: string; readonly holds?: number; readonly port?: number } = {},
): Promise<void> {
  const { site = "site-1", holds, port } = about;
  const artifacts = {
    held: holds === undefined ? [] : [{ name: "detector", counter: holds }],
    bytes: 0,
    ...(port === undefined ? {} : { peer: { host: "10.0.0.1", port } }),
  };
  await put(scene.store, {
    apiVersion: "edge.kurator.dev/v1alpha1",
    kind: "EdgeNode",
    metadata: { name, uid: name, generation: 1 },
    spec: { site },
    status: { artifacts },
  } as ObjectOf<"EdgeNode">);
}

/** A site with these rules of delivery. */
export async function putSite(
  scene: DeltaScene,
  delivery: NonNullable<ObjectOf<"Site">["spec"]["delivery"]>,
): Promise<void> {
  await put(scene.store, {
    apiVersion: "edge.kurator.dev/v1alpha1",
    kind: "Site",
    metadata: { name: "site-1", uid: "site-1", generation: 1 },
    spec: { delivery },
  } as ObjectOf<"Site">);
}

/** What a node asks. */
export function asks(target: string, bases: readonly string[], over: Partial<ArtifactGet> = {}) {
  return {
    target: sha(target),
    bases: bases.map(sha),
    memoryBytes: 2 ** 30,
    isUrgent: true,
    failed: [],
    ...over,
  } satisfies ArtifactGet;
}

/** Lets everything that can go on do so. */
export function settled(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(() => setImmediate(resolve));
  });
}
