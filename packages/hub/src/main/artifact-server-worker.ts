import { parentPort, workerData } from "node:worker_threads";
import { must } from "@flotilla/shared/kernel/assert";
import { messageOf } from "@flotilla/shared/kernel/errors";
import { systemClock } from "@flotilla/shared/platform/clock";
import { ArtifactServer, SERVER_LIMITS } from "../adapters/artifact-server/artifact-server.ts";
import { Counters } from "../adapters/artifact-server/counters.ts";
import { SWEEP_EVERY_MS, TOLD_EVERY_MS } from "../adapters/artifact-server/limits.ts";
import type { ServerSetup, ToServer } from "../adapters/artifact-server/messages.ts";
import { HubPort, outcomeOfError } from "../adapters/artifact-server/thread-port.ts";
import { TusUploads } from "../adapters/artifact-server/tus.ts";
import { nodeDisk } from "../adapters/artifact-store/disk.ts";
import { artifactLayout } from "../adapters/artifact-store/layout.ts";
import { UploadStore } from "../adapters/artifact-store/upload-store.ts";

/** The thread of the artifact server: made by the hub, told by messages, and gone when it is told to stop. */
const setup = workerData as ServerSetup;
const clock = systemClock();
const layout = artifactLayout(setup.dataDir);
const hub = new HubPort(must(parentPort, "this is a thread of the hub"), heard);
const log = hub.log();
const counters = new Counters();
const store = new UploadStore(
  { layout },
  {
    disk: nodeDisk,
    clock,
    keeper: {
      claim: (sha256) => hub.ask({ kind: "claim", sha256 }),
      reserve: (sha256, bytes) => hub.ask({ kind: "reserve", sha256, bytes }),
      release: (sha256) => hub.ask({ kind: "release", sha256 }),
      stored: (sha256, bytes) => hub.ask({ kind: "stored", sha256, bytes }),
    },
  },
);
const limits = { ...SERVER_LIMITS, ...setup.limits };
const uploads = new TusUploads({ idleMsMax: limits.uploadIdleMsMax }, { uploads: store, counters });
const server = new ArtifactServer(
  { ...setup, layout, limits },
  {
    uploads,
    counters,
    admits: (nodeId, serial) => hub.ask({ kind: "admits", nodeId, serial }),
    timeAnswer: (nonce) => hub.ask({ kind: "time", nonce }),
    nowMs: () => performance.now(),
    wallMs: () => clock.wallMs(),
    log,
  },
);

function heard(message: Exclude<ToServer, { type: "reply" }>): void {
  switch (message.type) {
    case "tls":
      return server.setTls(message.tls);
    case "refused":
      return server.refuseNode(message.nodeId);
    case "take":
      return void take(message);
    case "stop":
      return void stop();
  }
}

async function take({ id, path, bytesMax }: Extract<ToServer, { type: "take" }>): Promise<void> {
  try {
    const value = await uploads.takeIn(path, bytesMax);
    hub.tell({ type: "taken", id, outcome: { ok: true, value } });
  } catch (error) {
    hub.tell({ type: "taken", id, outcome: outcomeOfError(error, path) });
  }
}

async function sweep(isFirst: boolean): Promise<void> {
  try {
    const expired = await store.sweep({ isFirst });
    if (expired > 0) counters.uploaded("expired", expired);
  } catch (error) {
    log.warn({ reason: messageOf(error) }, "uploads could not be swept");
  }
}

function tellCounts(): void {
  hub.tell({ type: "counted", counts: counters.take(server.connectionCount) });
}

async function stop(): Promise<void> {
  clearInterval(telling);
  clearInterval(sweeping);
  await server.close();
  tellCounts();
  hub.close();
}

const open = await store.list();
hub.tell({
  type: "found",
  uploads: open.map(({ sha256, length }) => ({ sha256, bytes: length })),
});
await sweep(true);
const ports = await server.listen();
const telling = setInterval(tellCounts, TOLD_EVERY_MS);
const sweeping = setInterval(() => void sweep(false), SWEEP_EVERY_MS);
hub.tell({ type: "listening", ports });
