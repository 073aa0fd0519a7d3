import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CodedError } from "@flotilla/shared/kernel/errors";
import type { DesiredArtifact } from "@flotilla/shared/model/artifact";
import type { DesiredInstance } from "@flotilla/shared/model/desired-state";
import { systemClock } from "@flotilla/shared/platform/clock";
import { nodeFiles } from "@flotilla/shared/platform/file-system";
import { createMetrics } from "@flotilla/shared/platform/metrics";
import { systemRandom } from "@flotilla/shared/platform/random";
import { silentLog } from "@flotilla/shared/testing/silent-log";
import { FileBlobs } from "../../src/adapters/artifact-store/file-blobs.ts";
import { FileSlots } from "../../src/adapters/artifact-store/file-slots.ts";
import { HostProbeRunner } from "../../src/adapters/probes-health/probe-runner.ts";
import { HttpReloadPoster } from "../../src/adapters/reload/http-reload-poster.ts";
import { HostProcessRuntime } from "../../src/adapters/runtime/process-runtime.ts";
import { BlobTable } from "../../src/adapters/store/blob-table.ts";
import { SlotTable } from "../../src/adapters/store/slot-table.ts";
import { SqliteAgentStore } from "../../src/adapters/store/sqlite-agent-store.ts";
import { HostLockFiles } from "../../src/adapters/update-lock/lock-file-reader.ts";
import { type Activation, makeActivation } from "../../src/app/artifact/activation.ts";
import { ACTIVATION_METRICS } from "../../src/app/artifact/metrics.ts";
import type { BlobFetcher } from "../../src/app/artifact/ports.ts";
import { RECONCILE_METRICS } from "../../src/app/reconcile/metrics.ts";
import { Reconciler } from "../../src/app/reconcile/reconciler.ts";
import { FakeTrust } from "./artifact-fakes.ts";
import { accepted } from "./reconcile-builders.ts";

/** What is the same over lives of the agent: its folder, the hub's files, and whether they can be had. */
export class ModelHub implements BlobFetcher {
  isOnline = true;
  readonly trust = new FakeTrust();
  readonly #texts = new Map<string, string>();
  blobs: FileBlobs | undefined;

  /** A release of one text file, as a pin. */
  pin(counter: number, text: string, more: Partial<DesiredArtifact> = {}): DesiredArtifact {
    const sha256 = createHash("sha256").update(text).digest("hex");
    this.#texts.set(sha256, text);
    const target = `models/detector/${counter}/model.txt`;
    const files = [{ path: "model.txt", target, length: Buffer.byteLength(text), sha256 }];
    const version = `${counter}.0.0`;
    const release = { name: "detector", version, counter, files };
    return { ...release, path: "detector", reload: "restart", healthWindowMs: 300, ...more };
  }

  async fetch(target: Parameters<BlobFetcher["fetch"]>[0]) {
    const text = this.#texts.get(target.sha256);
    if (!this.isOnline || text === undefined || this.blobs === undefined)
      throw new CodedError("source-unreachable", "no way to the hub");
    writeFileSync(this.blobs.partPathOf(target.sha256), text);
    await this.blobs.complete(target.sha256, target.length);
    return { transferredBytes: text.length };
  }
}

/** An agent with artifacts on this machine, with real processes and files; its id is its folder. */
export function realArtifactAgent(directory: string, hub: ModelHub, bootId: string) {
  const [clock, log, random] = [systemClock(), silentLog(), systemRandom()];
  const metrics = createMetrics([...RECONCILE_METRICS, ...ACTIVATION_METRICS]);
  const wake = (): void => reconciler.wake();
  const root = join(directory, "artifacts");
  mkdirSync(root, { recursive: true });
  const runtime = new HostProcessRuntime(
    {
      root: join(directory, "instances"),
      agentId: directory,
      bootId,
      exitRecorder: [
        process.execPath,
        join(import.meta.dirname, "../../src/main/exit-recorder.ts"),
      ],
    },
    { clock, log, onExit: () => wake() },
  );
  const store = new SqliteAgentStore({ directory }, { clock, random, log });
  const blobs: FileBlobs = new FileBlobs(
    { root, reserveBytes: 0 },
    {
      files: nodeFiles,
      rows: new BlobTable({ store }),
      clock,
      log,
      needed: () => activation.service.needed(),
      makeWay: () => undefined,
    },
  );
  hub.blobs = blobs;
  const activation: Activation = makeActivation(
    { bootId },
    {
      store,
      slots: new SlotTable({ store, log }),
      sha256: (text) => createHash("sha256").update(text).digest("hex"),
      trust: hub.trust,
      fetcher: hub,
      blobs,
      disk: new FileSlots({ root }, { files: nodeFiles, blobs, log }),
      recover: () => blobs.recover(() => false),
      forget: () => undefined,
      signals: runtime,
      runtime,
      poster: new HttpReloadPoster({ host: "127.0.0.1" }),
      lockFiles: new HostLockFiles(),
      peer: () => undefined,
      clock,
      random,
      log,
      metrics,
      onChange: () => wake(),
    },
  );
  const reconciler: Reconciler = makeReconciler(
    { agentId: directory, bootId },
    { store, runtime, clock, random, log, metrics, activation },
  );
  return { runtime, store, reconciler, activation };
}

function makeReconciler(
  ids: { readonly agentId: string; readonly bootId: string },
  deps: Omit<
    ConstructorParameters<typeof Reconciler>[1],
    "probeRunner" | "artifacts" | "onChange"
  > & {
    readonly activation: Activation;
  },
): Reconciler {
  const { gate } = deps.activation;
  return new Reconciler(
    {
      ...ids,
      nodeId: "n1",
      nodeAddress: "127.0.0.1",
      inheritedEnvironment: { PATH: process.env["PATH"] ?? "" },
      artifactPathsOf: (id) => gate.pathsOf(id),
    },
    {
      ...deps,
      probeRunner: new HostProbeRunner(),
      artifacts: gate,
      onChange: () => undefined,
    },
  );
}

/** One life of the agent, running. */
export class AgentLife {
  readonly agent: ReturnType<typeof realArtifactAgent>;
  readonly #stop = new AbortController();
  readonly #running: Promise<unknown>;

  constructor(directory: string, hub: ModelHub, bootId: string) {
    this.agent = realArtifactAgent(directory, hub, bootId);
    const { activation, reconciler } = this.agent;
    this.#running = Promise.all([
      reconciler.run(this.#stop.signal),
      activation.service.run(this.#stop.signal),
    ]);
  }

  want(instances: readonly DesiredInstance[]): void {
    const { reconciler, store } = this.agent;
    store.acceptDesired(accepted(store.revisionFloor(), instances));
    reconciler.wake();
  }

  /** What is told of the one artifact of an instance. */
  artifact(id: string) {
    return this.agent.reconciler.reported().instances.find((i) => i.id === id)?.artifacts?.[0];
  }

  async end(): Promise<void> {
    this.#stop.abort(new Error("the test is over"));
    await this.#running;
    this.agent.store.close();
  }
}

/** Text of an installed file, as the workload finds it. */
export function installedText(directory: string, id: string): string {
  return readFileSync(
    join(directory, "artifacts/slots", id, "current/detector/model.txt"),
    "utf8",
  ).trim();
}
