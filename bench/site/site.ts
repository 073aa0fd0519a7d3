import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ThreadPatchWorker } from "@flotilla/edge-agent/adapters/patch-worker/thread-patch-worker";
import { Bandwidth } from "@flotilla/edge-agent/app/delivery/bandwidth";
import type { ServedPayloads } from "@flotilla/edge-agent/app/delivery/ports";
import { orderOfMembers, PEER_FAN_OUT } from "@flotilla/edge-agent/domain/delivery/peer-order";
import { CodedError } from "@flotilla/shared/kernel/errors";
import { systemClock } from "@flotilla/shared/platform/clock";
import {
  ArtifactHub,
  type Encoded,
  sha256Of,
} from "../../packages/edge-agent/test/support/artifact-hub.ts";
import { DeliveryNode } from "../../packages/edge-agent/test/support/delivery-node.ts";
import { makeTestCa } from "../../packages/edge-agent/test/support/pki.ts";
import type { ModelPair } from "./model.ts";

/** Whether nodes know of each other, and whether one of them gives wrong bytes. */
export const SCENES = ["no peers", "peers", "peers, one lies"] as const;
export type Scene = (typeof SCENES)[number];

export interface SiteOptions {
  readonly nodes: number;
  /** Of the whole site; undefined: as fast as the machine is. */
  readonly uplinkBytesPerSecond: number | undefined;
  readonly scene: Scene;
}

export interface SiteResult {
  readonly payloadBytes: number;
  /** Bodies that the hub's server sent, those of answers that were cut too. */
  readonly uplinkBytes: number;
  readonly peerBytes: number;
  readonly seconds: number;
  /** All nodes and the hub's server together. */
  readonly cpuSeconds: number;
  /** Nodes whose file has the SHA-256 that was published. */
  readonly rightNodes: number;
  /** Times that a node struck the liar off, and another one. */
  readonly struckLiar: number;
  readonly struckOthers: number;
}

const BYTES_MICROS = 1e6;

/** Twenty nodes, each with its own store, disk, certificate and server, take one file from one real server. */
export async function runSite(
  model: ModelPair,
  coded: Encoded,
  options: SiteOptions,
): Promise<SiteResult> {
  const folder = mkdtempSync(join(tmpdir(), "flotilla-site-"));
  const hub = await ArtifactHub.start(await makeTestCa());
  const clock = systemClock();
  const uplink = new Bandwidth({ bytesPerSecond: options.uplinkBytesPerSecond }, { clock });
  const open = new AbortController().signal;
  hub.limit = (bytes) => uplink.take(bytes, open);
  // The bench is of HTTPS: a machine that is too busy for twenty nodes must not bring in another way.
  const { ask } = hub.questions;
  hub.questions.ask = (question) =>
    "path" in question.body
      ? Promise.reject(new CodedError("link-timeout", "no bytes over the link"))
      : ask(question);
  const step = hub.publish(coded);
  const names = Array.from({ length: options.nodes }, (_, i) => `node-${i}`);
  // One of those that others take from: the second has takers in a site of five and more.
  const order = orderOfMembers(`payloads/${step.manifestSha256}`, names);
  const liar =
    options.scene === "peers, one lies"
      ? order[names.length > PEER_FAN_OUT + 1 ? 1 : 0]
      : undefined;
  const nodes = await Promise.all(
    names.map(
      async (nodeId) =>
        new DeliveryNode({
          nodeId,
          folder: join(folder, nodeId),
          clock,
          hub,
          credentials: await hub.credentialsOf(nodeId),
          worker: new ThreadPatchWorker({ entry: patchWorkerPath() }),
          keepsPayloads: options.scene !== "no peers",
          ...(nodeId === liar ? { serves: lying } : {}),
        }),
    ),
  );
  try {
    if (step.base !== undefined) await Promise.all(nodes.map((node) => node.give(model.base)));
    const addresses = await Promise.all(nodes.map((node) => node.serve()));
    hub.offer([step], options.scene === "no peers" ? [] : addresses);
    const startMs = clock.bootMs();
    const cpu = process.cpuUsage();
    const bases = step.base === undefined ? [] : [step.base];
    await Promise.all(nodes.map((node) => node.fetch(model.target, { bases })));
    const used = process.cpuUsage(cpu);
    const struck = nodes.flatMap((node) => node.struck);
    return {
      payloadBytes: coded.payload.length,
      uplinkBytes: hub.sentBytes,
      peerBytes: nodes.reduce((sum, node) => sum + node.received("peer"), 0),
      seconds: (clock.bootMs() - startMs) / 1000,
      cpuSeconds: (used.user + used.system) / BYTES_MICROS,
      rightNodes: nodes.filter((node) => isRight(node, model.target)).length,
      struckLiar: struck.filter((s) => s.node === liar).length,
      struckOthers: struck.filter((s) => s.node !== liar).length,
    };
  } finally {
    await Promise.all(nodes.map((node) => node.close()));
    hub.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

function isRight(node: DeliveryNode, target: Uint8Array): boolean {
  const content = node.content(sha256Of(target));
  return content !== undefined && sha256Of(content) === sha256Of(target);
}

/** Gives other bytes than it has, of the right length. */
function lying(shelf: ServedPayloads): ServedPayloads {
  return {
    manifest: (sha256) => shelf.manifest(sha256),
    find: (sha256) => shelf.find(sha256),
    grown: (sha256, until) => shelf.grown(sha256, until),
    read: async (sha256, offset, length) =>
      (await shelf.read(sha256, offset, length)).map((byte) => byte ^ 0xff),
  };
}

function patchWorkerPath(): string {
  return join(import.meta.dirname, "../../packages/edge-agent/src/main/patch-worker.ts");
}
