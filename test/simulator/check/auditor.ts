import type { SlotName } from "@flotilla/edge-agent/app/artifact/ports";
import type { AcceptedDesired } from "@flotilla/edge-agent/app/state/ports";
import { runDigest } from "@flotilla/edge-agent/domain/reconcile/devices";
import type { NodeId } from "@flotilla/shared/kernel/ids";
import { canonicalJson } from "@flotilla/shared/kernel/json";
import type { DesiredInstance } from "@flotilla/shared/model/desired-state";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { Codec } from "@flotilla/shared/protocol/codec";
import type { DownMessage } from "@flotilla/shared/protocol/down";
import type { UpMessage } from "@flotilla/shared/protocol/up";
import type { Depot } from "../artifact/depot.ts";
import type { HubState } from "../hub/hub-state.ts";
import type { BrokerWitness } from "../net/broker.ts";
import type { StoreWitness } from "../node/agent-store.ts";
import type { Machine, MachineWitness, SimProcess } from "../node/machine.ts";
import { Violation } from "../world/violation.ts";
import { isAssignment, isEvent, isNode } from "./kinds.ts";
import { PlacementAuditor } from "./placements.ts";
import { SlotAuditor } from "./slots.ts";
import {
  copiesOf,
  instanceOf,
  isAbove,
  type NodeTruth,
  type Position,
  runOf,
  workOf,
} from "./truth.ts";

/** Reasons of notices that no Event of the hub itself has. */
const AGENT_REASONS = ["Started", "Adopted", "SpecChanged", "Completed"] as const;

/**
 * Sees everything as it truly is and says when a promise is broken. It asks no service how things stand: processes are
 * looked up in the process tables, writes on the disks.
 */
export class Auditor implements MachineWitness, BrokerWitness {
  readonly #codec: Codec;
  readonly #hub: HubState;
  readonly #nodes = new Map<string, NodeTruth>();
  /** Node → payloads of desired states that were durable at the hub. */
  readonly #issued = new Map<string, Set<string>>();
  readonly #revisions = new Map<string, { readonly revision: number; readonly payload: string }>();
  readonly #cursors = new Map<string, Position>();
  /** Ids of acknowledged notices by reason. */
  readonly #notices = new Map<string, Set<string>>();
  /** How often each thing worth happening has happened. */
  readonly probes = new Map<string, number>();
  readonly placements: PlacementAuditor;
  readonly slots: SlotAuditor | undefined;
  #failure: Violation | undefined;

  constructor(deps: {
    readonly codec: Codec;
    readonly hub: HubState;
    readonly nowMs: () => number;
    readonly depot: Depot | undefined;
  }) {
    this.#codec = deps.codec;
    this.#hub = deps.hub;
    const { depot } = deps;
    const said = {
      broken: (invariant: string, message: string) => this.broken(invariant, message),
      probe: (name: string) => this.probe(name),
    };
    this.placements = new PlacementAuditor({
      ...deps,
      ...said,
    });
    this.slots = depot && new SlotAuditor({ depot, ...said });
  }

  /** The first broken promise. */
  get failure(): Violation | undefined {
    return this.#failure;
  }

  watch(machine: Machine): void {
    this.placements.watch(machine);
    this.slots?.watch(machine);
    this.#nodes.set(machine.name, {
      machine,
      gave: { epoch: 0, seq: 0 },
      said: { epoch: 0, seq: 0 },
      reports: new Set(),
      bootIds: new Set(),
      asked: new Set(),
      accepted: undefined,
      succeeded: new Set(),
      life: undefined,
      acknowledged: new Set(),
    });
  }

  /** Counts something that a campaign should have seen. */
  probe(name: string): void {
    this.probes.set(name, (this.probes.get(name) ?? 0) + 1);
  }

  broken(invariant: string, message: string): void {
    this.#failure ??= new Violation(invariant, message);
  }

  // What machines do.

  started(machine: Machine, process: SimProcess): void {
    this.probe("process started");
    if (this.#of(machine.name).succeeded.has(workOf(process)))
      this.broken(
        "jobs run once",
        `${machine.name} starts ${process.instanceId} again, which has succeeded there`,
      );
    const asked = instanceOf(machine, process);
    if (digestOf(asked) !== process.specDigest && !this.#wasAsked(machine, process))
      this.broken(
        "invariant 1",
        `${machine.name} starts ${process.instanceId} with spec ${process.specDigest.slice(0, 8)}, which its accepted desired state (revision ${machine.disk.database.desired?.state.revision ?? 0}) does not ask for`,
      );
    this.placements.started(machine, process);
    this.slots?.started(machine, process);
  }

  switched(machine: Machine, id: string, slot: SlotName): void {
    this.slots?.switched(machine, id, slot);
  }

  /** While the artifacts that are asked for now do not work, or are not there, an instance is what it was asked to be before. */
  #wasAsked(machine: Machine, process: SimProcess): boolean {
    const { instanceId, specDigest } = process;
    return (
      instanceOf(machine, process)?.artifacts !== undefined &&
      this.#of(machine.name).asked.has(`${instanceId} ${specDigest}`)
    );
  }

  struckStranger(machine: Machine, pid: number): void {
    this.broken("own processes only", `${machine.name} signals pid ${pid}, which it never started`);
  }

  /** A Job is done once, unless the node has lost its records. */
  succeeded(machine: Machine, process: SimProcess): void {
    this.probe("job succeeded");
    const isAsked = digestOf(instanceOf(machine, process)) === process.specDigest;
    if (isAsked && !process.isForgotten) this.#of(machine.name).succeeded.add(workOf(process));
  }

  /** The node does not know any more what it has done. */
  recordsLost(machine: Machine): void {
    this.#of(machine.name).succeeded.clear();
    this.slots?.recordsLost(machine);
    for (const process of machine.processes.values()) process.isForgotten = true;
  }

  signalled(machine: Machine, process: SimProcess, signal: "SIGTERM" | "SIGKILL"): void {
    if (process.isDoomed) return;
    const run = runOf(machine, process);
    const asked = instanceOf(machine, process);
    const isWhole =
      asked !== undefined &&
      asked.containers.every((c) => run.some((p) => p.container === c.name)) &&
      run.every((p) => p.isHealthy && !p.isSpoiled);
    const isOnly = run.length === copiesOf(machine, process.instanceId).length;
    const isRight = digestOf(asked) === process.specDigest && isWhole && isOnly;
    if (isRight && this.slots?.mayEnd(machine, process) !== true)
      this.broken(
        "invariant 3",
        `${machine.name} sends ${signal} to ${process.instanceId} (pid ${process.pid}), which runs as desired`,
      );
    for (const member of run) member.isDoomed = true;
  }

  // What the agent's store does.

  storeWitness(node: string): StoreWitness {
    return {
      accepted: (desired) => this.#accepted(node, desired),
      acknowledged: (id, kind) => {
        if (!this.#of(node).acknowledged.has(id))
          this.broken(
            "invariant 9",
            `${node} drops the ${kind} ${id} from its outbox, and the hub never acknowledged it`,
          );
      },
      gave: (epoch, seq) => {
        const truth = this.#of(node);
        const next = { epoch, seq };
        if (!isAbove(next, truth.gave))
          this.broken(
            "unique numbers",
            `${node} gives (${epoch}, ${seq}) after (${truth.gave.epoch}, ${truth.gave.seq})`,
          );
        truth.gave = next;
        if (isAbove(next, truth.said)) truth.said = next;
      },
    };
  }

  #accepted(node: string, desired: AcceptedDesired): void {
    const truth = this.#of(node);
    const { state, payload } = desired;
    this.probe("desired accepted");
    if (this.#issued.get(node)?.has(payload) !== true)
      this.broken(
        "invariant 1",
        `${node} accepts revision ${state.revision}, which the hub never issued for it`,
      );
    const before = truth.accepted;
    const isGrown = before === undefined || state.revision > before.revision;
    if (!isGrown && !(state.revision === before.revision && payload === before.payload))
      this.broken(
        "invariant 8",
        `${node} accepts revision ${state.revision} after ${before.revision}`,
      );
    truth.accepted = { revision: state.revision, payload };
    const asked = new Set(state.instances.map((i) => `${i.id} ${runDigest(i)}`));
    for (const one of asked) truth.asked.add(one);
    this.slots?.accepted(truth.machine);
    for (const work of truth.succeeded) if (!asked.has(work)) truth.succeeded.delete(work);
  }

  // What goes over the wire.

  /** A node publishes this. */
  published(node: string, payload: Uint8Array): void {
    const truth = this.#of(node);
    truth.bootIds.add(truth.machine.bootId);
    this.#hear(truth, payload);
  }

  /** A node repeats another one's words as its own. */
  speaksFor(node: string, payload: Uint8Array): void {
    const truth = this.#of(node);
    const message = this.#hear(truth, payload);
    if (message === undefined) return;
    if (message.kind === "birth") truth.bootIds.add(message.body.bootId);
    if (isAbove(message, truth.said)) truth.said = { epoch: message.epoch, seq: message.seq };
  }

  #hear(truth: NodeTruth, payload: Uint8Array): UpMessage | undefined {
    const decoded = this.#codec.decodeUp(payload);
    if (!decoded.ok) return undefined;
    const { message } = decoded;
    if (message.kind === "notice") this.probe(`notice ${message.body.reason}`);
    if (message.kind === "birth" || message.kind === "report")
      for (const instance of message.body.reported?.instances ?? [])
        truth.reports.add(canonicalJson(instance));
    return message;
  }

  acknowledged(nodeId: NodeId, _kind: string, payload: Uint8Array): void {
    const decoded = this.#codec.decodeUp(payload);
    if (!decoded.ok) return;
    const { message } = decoded;
    this.#of(nodeId).acknowledged.add(message.id);
    if (message.kind === "notice") this.#noticed(message.body.reason, message.id);
    if (message.kind === "death" || !this.#hub.objects.has(`EdgeNode//${nodeId}`)) return;
    const cursor = this.#hub.cursors.get(nodeId);
    // Before its birth an epoch has no place at the hub; what is no state is passed on all the same.
    if (message.kind !== "birth" && (cursor === undefined || message.epoch > cursor.epoch)) return;
    if (cursor === undefined || isAbove(message, cursor))
      this.broken(
        "invariant 16",
        `the hub acknowledges ${message.kind} (${message.epoch}, ${message.seq}) of ${nodeId}, and its disk knows ${cursor === undefined ? "nothing" : `(${cursor.epoch}, ${cursor.seq})`}`,
      );
  }

  #noticed(reason: string, id: string): void {
    const ids = this.#notices.get(reason) ?? new Set();
    this.#notices.set(reason, ids.add(id));
  }

  /**
   * At the end: what nodes told of, and the hub acknowledged, is in its Events. One too many is counted and no failure: a
   * notice that comes again after a kill of the hub, when its instance is assigned to the node no longer, is not recognised.
   */
  lookAtEvents(): void {
    for (const reason of AGENT_REASONS) {
      const counts = this.#hub
        .ofKind("Event")
        .flatMap((e) => (isEvent(e) && e.reason === reason ? [e.count ?? 1] : []));
      const stored = counts.reduce((sum, count) => sum + count, 0);
      const told = this.#notices.get(reason)?.size ?? 0;
      if (stored > told) this.probe("notice counted twice");
      if (stored < told)
        this.broken(
          "invariant 9",
          `the hub acknowledged ${told} notices ${reason} and its Events count ${stored}`,
        );
    }
  }

  sentDown(nodeId: NodeId, message: DownMessage): void {
    this.probe(`down ${message.kind}`);
    if (message.kind === "desired" && this.#issued.get(nodeId)?.has(message.body.payload) !== true)
      this.broken(
        "invariant 16",
        `the hub sends ${nodeId} a desired state that is not on its disk`,
      );
    const held = this.#hub.desired.get(nodeId)?.revision ?? 0;
    if (message.kind === "desired-notify" && message.body.revision > held)
      this.broken(
        "invariant 16",
        `the hub tells ${nodeId} of revision ${message.body.revision}, and its disk knows ${held}`,
      );
  }

  // What is looked at.

  /** After every event: the process tables. */
  lookAtMachines(): void {
    for (const { machine } of this.#nodes.values()) {
      const runs = new Map<string, string>();
      for (const { instanceId, runId } of machine.processes.values()) {
        const other = runs.get(instanceId);
        if (other !== undefined && other !== runId)
          this.broken(
            "one copy",
            `${machine.name} runs ${instanceId} twice, as ${other} and ${runId}`,
          );
        runs.set(instanceId, runId);
      }
    }
  }

  /** After every commit: the hub's disk. */
  lookAtHub(): void {
    for (const { nodeId, revision, payload } of this.#hub.desired.values())
      this.#lookAtDesired(nodeId, { revision, payload });
    for (const { nodeId, epoch, seq } of this.#hub.cursors.values())
      this.#lookAtCursor(nodeId, { epoch, seq });
    for (const object of this.#hub.objects.values())
      if (isAssignment(object)) this.#lookAtReport(object);
    for (const [node, truth] of this.#nodes) this.#lookAtNode(node, truth);
  }

  #lookAtDesired(
    nodeId: string,
    now: { readonly revision: number; readonly payload: string },
  ): void {
    const before = this.#revisions.get(nodeId);
    if (before?.payload === now.payload) return;
    if (before !== undefined && now.revision <= before.revision)
      this.broken(
        "invariant 8",
        `the hub issues revision ${now.revision} for ${nodeId} after ${before.revision}`,
      );
    this.#revisions.set(nodeId, now);
    const issued = this.#issued.get(nodeId) ?? new Set();
    this.#issued.set(nodeId, issued.add(now.payload));
  }

  #lookAtCursor(nodeId: string, now: Position): void {
    const before = this.#cursors.get(nodeId);
    if (before !== undefined && isAbove(before, now))
      this.broken(
        "invariant 9",
        `the hub's cursor of ${nodeId} goes back from (${before.epoch}, ${before.seq}) to (${now.epoch}, ${now.seq}): it took an old message for a new one`,
      );
    this.#cursors.set(nodeId, now);
    const { said } = this.#of(nodeId);
    if (isAbove(now, said))
      this.broken(
        "invariant 15",
        `the hub has read ${nodeId} up to (${now.epoch}, ${now.seq}), and it said no more than (${said.epoch}, ${said.seq})`,
      );
  }

  #lookAtReport({ metadata, status }: ObjectOf<"Assignment">): void {
    if (status?.reported === undefined) return;
    const node = status.reportedBy ?? "";
    if (this.#nodes.get(node)?.reports.has(canonicalJson(status.reported)) !== true)
      this.broken(
        "invariant 15",
        `assignment ${metadata.name} carries a report of ${node} that ${node} never made`,
      );
  }

  #lookAtNode(node: string, truth: NodeTruth): void {
    const object = this.#hub.objects.get(`EdgeNode//${node}`);
    if (object === undefined || !isNode(object)) return;
    const { bootId, life } = object.status ?? {};
    if (life !== undefined && life !== truth.life) this.probe(`node ${life}`);
    truth.life = life;
    if (bootId !== undefined && !truth.bootIds.has(bootId))
      this.broken("invariant 15", `${node} carries the boot id ${bootId}, which it never had`);
  }

  #of(node: string): NodeTruth {
    const truth = this.#nodes.get(node);
    if (truth === undefined) throw new Error(`${node} is not watched`);
    return truth;
  }
}

function digestOf(asked: DesiredInstance | undefined): string | undefined {
  return asked === undefined ? undefined : runDigest(asked);
}
