import { createHash } from "node:crypto";
import { type NodeId, parseNodeId } from "@flotilla/shared/kernel/ids";
import { Codec, encode } from "@flotilla/shared/protocol/codec";
import type { DownMessage } from "@flotilla/shared/protocol/down";
import type { UpBodies, UpMessage } from "@flotilla/shared/protocol/up";
import { ManualClock } from "@flotilla/shared/testing/manual-clock";
import { RecordingMetrics } from "@flotilla/shared/testing/recording-metrics";
import { SeededRandom } from "@flotilla/shared/testing/seeded-random";
import { RecordingLog } from "@flotilla/shared/testing/silent-log";
import { DesiredService } from "../../src/app/desired/desired-service.ts";
import type { DesiredSigner } from "../../src/app/desired/ports.ts";
import { IngestService } from "../../src/app/ingest/ingest-service.ts";
import type { NodeLink } from "../../src/app/link/ports.ts";
import { LogService } from "../../src/app/logs/log-service.ts";
import { ProbePlans } from "../../src/app/measures/probe-plans.ts";
import { LeaseSweep } from "../../src/app/node/lease-sweep.ts";
import { LeaseTable } from "../../src/app/node/lease-table.ts";
import { NodeAssignments } from "../../src/app/node/node-assignments.ts";
import type { AnyObject, ResourceStore } from "../../src/app/resources/ports.ts";
import { inventory, reading } from "./node-builders.ts";

/** Keeps what was sent; a node is connected when it is in the set. */
class RecordingLink implements NodeLink {
  readonly connected = new Set<string>();
  readonly sent: { readonly nodeId: string; readonly message: DownMessage }[] = [];

  send(nodeId: NodeId, message: DownMessage): Promise<boolean> {
    if (!this.connected.has(nodeId)) return Promise.resolve(false);
    this.sent.push({ nodeId, message });
    return Promise.resolve(true);
  }

  isConnected(nodeId: NodeId): boolean {
    return this.connected.has(nodeId);
  }

  disconnect(nodeId: NodeId): void {
    this.connected.delete(nodeId);
  }

  kinds(nodeId: string): readonly string[] {
    return this.sent.filter((s) => s.nodeId === nodeId).map((s) => s.message.kind);
  }
}

/** Not a signature; enough to tell what was signed. */
export function fakeSigner(keyId = "0123456789abcdef"): DesiredSigner {
  return {
    keyId,
    publicKey: "",
    sign: (payload) => createHash("sha512").update(payload).digest("base64"),
  };
}

export function nodeIdOf(text: string): NodeId {
  const id = parseNodeId(text);
  if (id === undefined) throw new Error(`${text} is no node id`);
  return id;
}

/** The hub between broker and store: what a process with this store would have in memory. */
export function hubCore(store: ResourceStore, clock: ManualClock = new ManualClock()) {
  const link = new RecordingLink();
  const metrics = new RecordingMetrics();
  const log = new RecordingLog();
  const random = new SeededRandom(7);
  const events: { about: AnyObject; type: string; reason: string; message: string }[] = [];
  const recorder = { record: (event: (typeof events)[number]) => void events.push(event) };
  const leases = new LeaseTable();
  const assignments = new NodeAssignments({ store });
  const probes = new ProbePlans({ store });
  const shared = {
    store,
    link,
    leases,
    assignments,
    events: recorder,
    clock,
    random,
    log,
    metrics,
  };
  const signer = fakeSigner();
  const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");
  const desired = new DesiredService({ ...shared, probes, signer, sha256 });
  const logs = new LogService(shared);
  const artifacts = { asked: () => {} };
  const ingest = new IngestService({}, { ...shared, codec: new Codec(), desired, artifacts, logs });
  const sweep = new LeaseSweep({}, shared);
  return { ...shared, events, ingest, desired, logs, sweep };
}

/** An up message, and a counter that an honest agent would keep. */
export function up<K extends UpMessage["kind"]>(
  kind: K,
  position: { readonly epoch: number; readonly seq: number; readonly replyTo?: string },
  body: UpBodies[K],
): Uint8Array {
  const { epoch, seq, replyTo } = position;
  const envelope = { v: 1, id: `${kind}-${epoch}-${seq}`, epoch, seq, sentAt: 0 };
  return encode({
    ...envelope,
    kind,
    body,
    ...(replyTo === undefined ? {} : { replyTo }),
  } as UpMessage);
}

export function birthBody(change: Partial<UpBodies["birth"]> = {}): UpBodies["birth"] {
  return {
    protocolVersion: 1,
    agentVersion: "1.0.0",
    bootId: "boot-1",
    inventory: inventory(),
    reading: reading(),
    reported: { acceptedRevision: 0, convergedRevision: 0, instances: [] },
    ...change,
  };
}

/** Stores objects as they are, whatever stands there. */
export async function put(store: ResourceStore, ...objects: readonly AnyObject[]): Promise<void> {
  await store.commit({
    changes: objects.map((object) => ({
      key: {
        kind: object.kind as "EdgeNode",
        namespace: object.metadata.namespace ?? "",
        name: object.metadata.name,
      },
      expect: "any",
      object,
    })),
  });
}
