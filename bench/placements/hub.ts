import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { openDesiredSigner } from "@flotilla/hub/adapters/pki/desired-signer";
import { SqliteResourceStore } from "@flotilla/hub/adapters/store/sqlite-resource-store";
import { ApplicationController } from "@flotilla/hub/app/application/application-controller";
import { Defragmenter } from "@flotilla/hub/app/defragment/defragmenter";
import { DesiredService } from "@flotilla/hub/app/desired/desired-service";
import { EventRecorder } from "@flotilla/hub/app/events/event-recorder";
import { ProbePlans } from "@flotilla/hub/app/measures/probe-plans";
import { isAssignment, NodeAssignments } from "@flotilla/hub/app/node/node-assignments";
import type { AnyObject } from "@flotilla/hub/app/resources/ports";
import { ResourceService } from "@flotilla/hub/app/resources/resource-service";
import { QueueStatusWriter } from "@flotilla/hub/app/scheduling/queue-status";
import { Scheduler } from "@flotilla/hub/app/scheduling/scheduler";
import type { NodeId } from "@flotilla/shared/kernel/ids";
import type { Log, Metrics, Service } from "@flotilla/shared/kernel/service";
import { systemClock } from "@flotilla/shared/platform/clock";
import { systemRandom } from "@flotilla/shared/platform/random";

const SILENT: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => SILENT,
};
const UNCOUNTED: Metrics = {
  count: () => undefined,
  set: () => undefined,
  observe: () => undefined,
};

/** Nodes that hear of their desired states; what they are told is counted. */
class CountingLink {
  notifiedCount = 0;

  send(): Promise<boolean> {
    this.notifiedCount++;
    return Promise.resolve(true);
  }

  isConnected(): boolean {
    return true;
  }

  disconnect(_nodeId: NodeId): void {}
}

/** The hub's own path from an Application to a signed desired state, on a database of its own; sockets apart. */
export function openBenchHub() {
  const dataDir = mkdtempSync(join(tmpdir(), "flotilla-bench-"));
  const platform = {
    clock: systemClock(),
    random: systemRandom(),
    log: SILENT,
    metrics: UNCOUNTED,
  };
  const store = new SqliteResourceStore({ dataDir }, platform);
  const deps = { ...platform, store };
  const link = new CountingLink();
  const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");
  const events = new EventRecorder({}, deps);
  const signer = openDesiredSigner({ directory: join(dataDir, "pki") });
  const [assignments, probes] = [new NodeAssignments(deps), new ProbePlans(deps)];
  const desired = new DesiredService({
    ...deps,
    link,
    assignments,
    probes,
    signer,
    sha256,
    events,
  });
  const scheduler = new Scheduler(deps);
  const queues = new QueueStatusWriter(deps);
  const application = new ApplicationController(
    {},
    {
      ...deps,
      events,
      sha256,
      scheduler,
      defragmenter: new Defragmenter({ ...deps, events, sha256, scheduler }),
      queues,
      turn: () => setImmediate(),
    },
  );
  const hooks = { mintSecret: () => ({ secret: "", secretHash: "" }), joinString: () => "" };
  const resources = new ResourceService({}, { ...deps, hooks });
  const services: readonly Service[] = [events, desired, queues, application];
  const close = (): void => {
    store.close();
    rmSync(dataDir, { recursive: true, force: true });
  };
  let placed = 0;
  store.subscribe((entries) => {
    for (const { object, previous } of entries) placed += nodeCount(object) - nodeCount(previous);
  });
  return { store, resources, services, link, close, placedCount: () => placed };
}

function nodeCount(object: AnyObject | undefined): number {
  return object !== undefined && isAssignment(object) && object.spec.node !== undefined ? 1 : 0;
}

export type BenchHub = ReturnType<typeof openBenchHub>;
