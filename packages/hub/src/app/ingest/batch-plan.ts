import type { NodeId } from "@flotilla/shared/kernel/ids";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { UpMessage } from "@flotilla/shared/protocol/up";
import { judge } from "../../domain/ingest/cursor.ts";
import { type Observation, observe } from "../../domain/ingest/observe.ts";
import type { NodeAssignments } from "../node/node-assignments.ts";
import type { AnyObject, Change, Commit, NodeCursor, ResourceStore } from "../resources/ports.ts";

/** A message that waits for its commit. The time is that of its arrival, so that batching changes nothing. */
export interface Waiting {
  readonly nodeId: NodeId;
  readonly message: UpMessage;
  readonly receivedIso: string;
}

/** Why a message was acknowledged and did not count. A closed set: it labels a metric. */
export type DropReason =
  | "duplicate"
  | "epoch-behind"
  | "epoch-unknown"
  | "epoch-implausible"
  | "not-enrolled"
  | "fold-failed";

/** What has to happen once the batch is on disk. */
export type Effect =
  | { readonly kind: "counted"; readonly message: UpMessage["kind"] }
  | { readonly kind: "dropped"; readonly reason: DropReason }
  | { readonly kind: "unassigned"; readonly count: number }
  | {
      readonly kind: "event";
      readonly about: AnyObject;
      readonly type: "Normal" | "Warning";
      readonly reason: string;
      readonly message: string;
    }
  | { readonly kind: "born"; readonly nodeId: NodeId; readonly messageId: string }
  | { readonly kind: "epoch-behind"; readonly nodeId: NodeId; readonly seenEpoch: number }
  | { readonly kind: "rebirth"; readonly nodeId: NodeId }
  | { readonly kind: "accepted-revision"; readonly nodeId: NodeId; readonly revision: number }
  | { readonly kind: "desired-get"; readonly nodeId: NodeId; readonly haveRevision: number }
  | {
      readonly kind: "log-chunk";
      readonly nodeId: NodeId;
      readonly message: Extract<UpMessage, { kind: "log-chunk" }>;
    };

interface Staged {
  readonly change: Change;
  readonly object: AnyObject;
}

/**
 * Turns messages, one after the other, into one commit and the effects that follow it. Reads the store, writes nothing:
 * after a conflict a new plan is made from what stands there then.
 */
export class BatchPlan {
  readonly #store: ResourceStore;
  readonly #assignments: Pick<NodeAssignments, "of">;
  readonly #lastBirthIds: ReadonlyMap<string, string>;
  readonly #births = new Map<string, string>();
  readonly #cursors = new Map<string, NodeCursor>();
  readonly #staged = new Map<string, Staged>();
  readonly #rebirths = new Set<string>();
  readonly #effects: Effect[] = [];

  constructor(deps: {
    readonly store: ResourceStore;
    readonly assignments: Pick<NodeAssignments, "of">;
    /** Node → id of the last birth that was accepted from it. */
    readonly lastBirthIds: ReadonlyMap<string, string>;
  }) {
    this.#store = deps.store;
    this.#assignments = deps.assignments;
    this.#lastBirthIds = deps.lastBirthIds;
  }

  get effects(): readonly Effect[] {
    return this.#effects;
  }

  get commit(): Commit {
    return {
      changes: [...this.#staged.values()].map((s) => s.change),
      cursors: [...this.#cursors.values()],
    };
  }

  add(waiting: Waiting): void {
    const { nodeId, message } = waiting;
    const node = this.#current(this.#store.get("EdgeNode", "", nodeId));
    if (node === undefined) return this.drop("not-enrolled");
    const lastBirthId = this.#births.get(nodeId) ?? this.#lastBirthIds.get(nodeId);
    const cursor = this.#cursors.get(nodeId) ?? this.#store.cursor(nodeId);
    const verdict = judge(cursor, message, lastBirthId === message.id);
    switch (verdict.kind) {
      case "accept":
        this.#fold(node, waiting);
        this.#cursors.set(nodeId, { nodeId, ...verdict.next });
        this.#tell(node, waiting);
        break;
      case "duplicate":
        this.drop("duplicate");
        break;
      case "implausible":
        this.drop("epoch-implausible");
        break;
      case "epoch-behind":
        this.drop("epoch-behind");
        this.#effects.push({ kind: "epoch-behind", nodeId, seenEpoch: verdict.seenEpoch });
        break;
      case "rebirth":
        this.drop("epoch-unknown");
        this.#tell(node, waiting);
        if (!this.#rebirths.has(nodeId)) this.#effects.push({ kind: "rebirth", nodeId });
        this.#rebirths.add(nodeId);
        break;
    }
  }

  /** State: the node and its assignments. */
  #fold(node: ObjectOf<"EdgeNode">, { nodeId, message, receivedIso }: Waiting): void {
    const observation = observationOf(message);
    const assignments =
      observation.reported === undefined
        ? []
        : this.#assignments.of(nodeId).map((a) => this.#current(a));
    const observed = observe(node, assignments, observation, receivedIso);
    if (observed.node !== node) this.#stage(node, observed.node);
    for (const assignment of observed.assignments) this.#stage(assignment, assignment);
    this.#effects.push({ kind: "counted", message: message.kind });
    if (observed.unassignedCount > 0)
      this.#effects.push({ kind: "unassigned", count: observed.unassignedCount });
    for (const happening of observed.happenings)
      this.#effects.push({ kind: "event", about: observed.node, ...happening });
    if (message.kind !== "birth") return;
    this.#births.set(nodeId, message.id);
    this.#effects.push({ kind: "born", nodeId, messageId: message.id });
  }

  /** What is no state: it is passed on, also from an epoch that the hub has no birth of. */
  #tell(node: ObjectOf<"EdgeNode">, { nodeId, message }: Waiting): void {
    switch (message.kind) {
      case "notice": {
        const { type, reason, message: text, instance } = message.body;
        const about =
          this.#assignments
            .of(nodeId)
            .find((a) => a.spec.node === nodeId && a.spec.desired.id === instance) ?? node;
        this.#effects.push({ kind: "event", about, type, reason, message: text });
        break;
      }
      case "desired-get":
        this.#effects.push({
          kind: "desired-get",
          nodeId,
          haveRevision: message.body.haveRevision,
        });
        break;
      case "log-chunk":
        this.#effects.push({ kind: "log-chunk", nodeId, message });
        break;
      case "birth":
      case "report": {
        const revision = message.body.reported?.acceptedRevision;
        if (revision !== undefined && this.#cursors.has(nodeId))
          this.#effects.push({ kind: "accepted-revision", nodeId, revision });
        break;
      }
      case "death":
        break;
    }
  }

  /** Acknowledged without effect. */
  drop(reason: DropReason): void {
    this.#effects.push({ kind: "dropped", reason });
  }

  /** The object as the messages before have left it. */
  #current<T extends AnyObject | undefined>(object: T): T;
  #current(object: AnyObject | undefined): AnyObject | undefined {
    return object === undefined ? undefined : (this.#staged.get(textOf(object))?.object ?? object);
  }

  #stage(base: AnyObject, object: AnyObject): void {
    const key = {
      kind: kindOf(object),
      namespace: object.metadata.namespace ?? "",
      name: object.metadata.name,
    };
    // The staged object keeps the resourceVersion of the one it was made from.
    const change = { key, expect: Number(base.metadata.resourceVersion), object };
    this.#staged.set(textOf(object), { change, object });
  }
}

function observationOf(message: UpMessage): Observation {
  const { epoch } = message;
  switch (message.kind) {
    case "birth": {
      const { agentVersion, bootId, inventory, reading, reported } = message.body;
      return { epoch, birth: { agentVersion, bootId, inventory }, reading, reported };
    }
    case "report":
      return { epoch, ...message.body };
    case "notice":
    case "desired-get":
    case "log-chunk":
    case "death":
      return { epoch };
  }
}

function kindOf(object: AnyObject): "EdgeNode" | "Assignment" {
  return object.kind === "EdgeNode" ? "EdgeNode" : "Assignment";
}

function textOf(object: AnyObject): string {
  return `${object.kind}/${object.metadata.namespace ?? ""}/${object.metadata.name}`;
}
