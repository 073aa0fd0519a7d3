import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { parseArgs } from "node:util";
import { Worker } from "node:worker_threads";
import type { ServerSetup } from "@flotilla/hub/adapters/artifact-server/messages";
import { ARTIFACT_SERVER_METRICS } from "@flotilla/hub/adapters/artifact-server/metrics";
import { ArtifactServerThread } from "@flotilla/hub/adapters/artifact-server/server-thread";
import { nodeDisk } from "@flotilla/hub/adapters/artifact-store/disk";
import { DiskBlobStore } from "@flotilla/hub/adapters/artifact-store/disk-blob-store";
import { DiskPayloadStore } from "@flotilla/hub/adapters/artifact-store/disk-payload-store";
import { artifactLayout, makeFolders } from "@flotilla/hub/adapters/artifact-store/layout";
import {
  type FileCertificateAuthority,
  openCertificateAuthority,
} from "@flotilla/hub/adapters/pki/certificate-authority";
import { systemClock } from "@flotilla/shared/platform/clock";
import { createLog } from "@flotilla/shared/platform/log";
import { createMetrics } from "@flotilla/shared/platform/metrics";
import { systemRandom } from "@flotilla/shared/platform/random";
import { makeDeviceKey } from "../packages/hub/test/support/device-keys.ts";
import type { LoadResult, LoadSetup } from "./artifact-server/load.ts";

/**
 * How fast the artifact server hands out bytes, what that costs, and whether the hub's main thread notices: many nodes, each over
 * one connection of mutual TLS, take one payload by ranges. Nodes are another process; both share the machine.
 */
const { values } = parseArgs({
  options: {
    nodes: { type: "string", default: "50" },
    "payload-mib": { type: "string", default: "20" },
    "range-kib": { type: "string", default: "1024" },
    json: { type: "boolean", default: false },
  },
});

const MIB = 1024 * 1024;
const nodes = Number(values.nodes);
const payloadBytes = Number(values["payload-mib"]) * MIB;
const rangeBytes = Number(values["range-kib"]) * 1024;
const folder = mkdtempSync(join(tmpdir(), "flotilla-bench-"));

const platform = {
  clock: systemClock(),
  random: systemRandom(),
  log: createLog({ name: "bench", level: "error" }),
  metrics: createMetrics(ARTIFACT_SERVER_METRICS),
};

try {
  const figures = await measure();
  if (values.json) console.log(JSON.stringify(figures));
  else
    for (const [name, value] of Object.entries(figures)) console.log(`${name.padEnd(28)} ${value}`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function measure(): Promise<Readonly<Record<string, number>>> {
  const ca = await openCertificateAuthority({ directory: join(folder, "pki") }, platform);
  const { thread, payloads } = await makeServer(ca);
  const ports = await thread.start();
  const stop = new AbortController();
  const running = thread.run(stop.signal);
  const source = join(payloads.workDir, "payload");
  writeFileSync(source, randomBytes(payloadBytes));
  const name = await payloads.adopt(randomBytes(32), source);
  const setup: LoadSetup = {
    port: ports.nodes,
    path: `/v1/payloads/${name}`,
    caCertificate: ca.caCertificate,
    keys: await Promise.all(Array.from({ length: nodes }, (_, i) => enrol(ca, `node-${i}`))),
    payloadBytes,
    rangeBytes,
  };
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const before = process.cpuUsage();
  const result = await load(setup);
  const { user, system } = process.cpuUsage(before);
  delay.disable();
  stop.abort();
  await running;
  const gib = (nodes * payloadBytes) / 1024 ** 3;
  return {
    nodes,
    range_kib: rangeBytes / 1024,
    total_mib: (nodes * payloadBytes) / MIB,
    mb_per_second: round((nodes * payloadBytes) / 1e6 / (result.wallMs / 1_000)),
    hub_cpu_ms_per_gib: round((user + system) / 1_000 / gib),
    nodes_cpu_ms_per_gib: round(result.cpuMs / gib),
    main_loop_delay_p99_ms: round(delay.percentile(99) / 1e6),
    main_loop_delay_max_ms: round(delay.max / 1e6),
    slowest_range_ms: round(result.slowestMs),
  };
}

async function makeServer(ca: FileCertificateAuthority) {
  const layout = artifactLayout(folder);
  makeFolders(layout);
  const disk = { disk: nodeDisk };
  const quotaBytes = 10 * payloadBytes;
  const blobs = new DiskBlobStore({ layout, quotaBytes }, { ...disk, ...platform });
  const payloads = new DiskPayloadStore({ layout, quotaBytes }, disk);
  const tls = await ca.serverCredentials({ name: "artifacts", hosts: [] });
  const address = { host: "127.0.0.1", port: 0 };
  const thread = new ArtifactServerThread(
    {
      dataDir: folder,
      nodes: address,
      administrators: address,
      tls: { ...tls, caCertificate: ca.caCertificate },
      tokenHashes: [],
    },
    {
      ...platform,
      blobs,
      spawn: worker,
      admission: { admits: () => true },
      timeAnswer: () => new Uint8Array(),
    },
  );
  return { thread, payloads };
}

async function enrol(ca: FileCertificateAuthority, nodeId: string) {
  const { csr, privateKey } = await makeDeviceKey();
  const nowMs = platform.clock.wallMs();
  const { certificate } = await ca.issueNodeCertificate({ csr, nodeId, nowMs });
  return { certificate, privateKey };
}

function worker(setup: ServerSetup): Worker {
  const program = join(import.meta.dirname, "../packages/hub/src/main/artifact-server-worker.ts");
  return new Worker(program, { workerData: setup });
}

/** Runs the nodes in a process of their own. */
function load(setup: LoadSetup): Promise<LoadResult> {
  const program = join(import.meta.dirname, "artifact-server/load.ts");
  const child = spawn(process.execPath, [program], {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  return new Promise((resolve, reject) => {
    child.once("message", (result) => resolve(result as LoadResult));
    child.once("exit", (code) => reject(new Error(`the nodes ended with ${code}`)));
    child.send(setup);
  });
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
