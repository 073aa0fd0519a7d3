import type { Clock } from "@flotilla/shared/kernel/clock";
import { isoTime } from "@flotilla/shared/kernel/iso-time";
import type { Metrics, Service } from "@flotilla/shared/kernel/service";
import type { KindName, ObjectOf } from "@flotilla/shared/model/kinds";
import { DeviceClaims } from "../../domain/scheduling/device-claims.ts";
import {
  assignmentWithDeviceState,
  claimOf,
  DEVICES_READY,
  devicesInUse,
  nodeWithDeviceState,
} from "../../domain/scheduling/device-state.ts";
import { changeOf } from "../control/change.ts";
import { PassLoop } from "../control/pass-loop.ts";
import { concerns } from "../control/relevance.ts";
import type { EventRecorder } from "../events/event-recorder.ts";
import type { ResourceStore } from "../resources/ports.ts";

const KINDS_SEEN: readonly KindName[] = ["EdgeNode", "Assignment"];

type Judged = ObjectOf<"EdgeNode"> | ObjectOf<"Assignment">;

/**
 * Says of nodes and instances whether their devices are there: a card that is in use and not reported any more, a card that
 * two nodes report. Placement keeps clear of both by itself (`DeviceClaims`); this tells the operator.
 */
export class DeviceWatch implements Service {
  readonly name = "devices";
  readonly #deps: DeviceWatchDeps;
  readonly #loop: PassLoop;

  constructor(
    options: { readonly resyncMs?: number; readonly coalesceMs?: number },
    deps: DeviceWatchDeps,
  ) {
    this.#deps = deps;
    this.#loop = new PassLoop(
      { ...options, name: this.name },
      { ...deps, isRelevant: (e) => concerns(e, KINDS_SEEN), pass: () => this.pass() },
    );
  }

  run(signal: AbortSignal): Promise<void> {
    return this.#loop.run(signal);
  }

  /** One look at all nodes and at the instances that have devices. Rejects when the store fails. */
  async pass(): Promise<void> {
    const { store, clock } = this.#deps;
    const nowIso = isoTime(clock.wallMs());
    const nodes = store.list("EdgeNode");
    const assignments = store
      .list("Assignment")
      .filter((a) => a.spec.devices !== undefined || verdictOf(a) !== undefined);
    const byNode = Map.groupBy(assignments, (a) => a.spec.node ?? "");
    const claims = new DeviceClaims();
    for (const node of nodes) claims.put(claimOf(node));
    for (const node of nodes) {
      const own = byNode.get(node.metadata.name) ?? [];
      const withheld = claims.withheldFrom(node.metadata.name, (other, uuid) =>
        devicesInUse(byNode.get(other) ?? []).has(uuid),
      );
      await this.#write(node, nodeWithDeviceState(node, { assignments: own, withheld }, nowIso));
    }
    const named = new Map(nodes.map((n) => [n.metadata.name, n]));
    for (const assignment of assignments) {
      const node = named.get(assignment.spec.node ?? "");
      await this.#write(assignment, assignmentWithDeviceState(assignment, node, nowIso));
    }
  }

  /** A conflict is left to the pass that the other writer causes. */
  async #write(before: Judged, after: Judged | undefined): Promise<void> {
    if (after === undefined) return;
    const { store, events, metrics } = this.#deps;
    const result = await store.commit({ changes: [changeOf(before, after)] });
    if (!result.ok) {
      metrics.count("flotilla_hub_pass_conflicts_total", { controller: this.name });
      return;
    }
    const [old, now] = [verdictOf(before), verdictOf(after)];
    if (now === undefined || (old?.reason === now.reason && old.message === now.message)) return;
    const type = now.status === "True" ? "Normal" : "Warning";
    events.record({ about: before, type, reason: now.reason, message: now.message });
  }
}

function verdictOf({ status }: Judged) {
  return status?.conditions?.find((c) => c.type === DEVICES_READY);
}

interface DeviceWatchDeps {
  readonly store: ResourceStore;
  readonly events: Pick<EventRecorder, "record">;
  readonly clock: Clock;
  readonly metrics: Metrics;
}
