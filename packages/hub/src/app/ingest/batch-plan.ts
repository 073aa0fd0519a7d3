import type { NodeId } from "@flotilla/shared/kernel/ids";
import { isoTime } from "@flotilla/shared/kernel/iso-time";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { UpMessage } from "@flotilla/shared/protocol/up";
import { eventAddress, eventAfter, type Happening } from "../../domain/events/event.ts";
import { judge } from "../../domain/ingest/cursor.ts";
import { hasCounted, withCounted } from "../../domain/ingest/notice-ids.ts";
import { type Observation, observe } from "../../domain/ingest/observe.ts";
import type { NodeAssignments } from "../node/node-assignments.ts";
import type { AnyObject, Change, Commit, NodeCursor, ResourceStore } from "../resources/ports.ts";

/** A message that waits for its commit. The time is that of its arrival, so that batching changes nothing. */
export interface Waiting {
  readonly nodeId: NodeId;
  readonly message: UpMessage;
  readonly receivedMs: number;
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
  | { readonly kind: "taken"; readonly stream: string; readonly messageId: string }
  | { readonly kind: "epoch-behind"; readonly nodeId: NodeId; readonly seenEpoch: number }
  | { readonly kind: "rebirth"; readonly nodeId: NodeId }
  | {
      readonly kind: "accepted-revision";
      readonly nodeId: NodeId;
      readonly revision: number;
      readonly isFirstWord: boolean;
    }
  | { readonly kind: "desired-get"; readonly nodeId: NodeId; readonly haveRevision: number }
  | {
      readonly kind: "log-chunk";
      readonly nodeId: NodeId;
      readonly message: Extract<UpMessage, { kind: "log-chunk" }>;
    }
  | {
      readonly kind: "artifact-question";
      readonly nodeId: NodeId;
      readonly message: Extract<UpMessage, { kind: "artifact-get" | "bytes-get" }>;
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
  readonly #lastIds: ReadonlyMap<string, string>;
  readonly #newUid: () => string;
  readonly #takenIds = new Map<string, string>();
  readonly #cursors = new Map<string, NodeCursor>();
  readonly #staged = new Map<string, Staged>();
  readonly #events = new Map<string, ObjectOf<"Event">>();
  readonly #rebirths = new Set<string>();
  readonly #effects: Effect[] = [];

  constructor(deps: {
    readonly store: ResourceStore;
    readonly assignments: Pick<NodeAssignments, "of">;
    /** Stream (see `streamOf`) → id of the last message that was taken from it. */
    readonly lastIds: ReadonlyMap<string, string>;
    readonly newUid: () => string;
  }) {
    this.#store = deps.store;
    this.#assignments = deps.assignments;
    this.#lastIds = deps.lastIds;
    this.#newUid = deps.newUid;
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
    const stream = streamOf(nodeId, message);
    const isRepeated = (this.#takenIds.get(stream) ?? this.#lastIds.get(stream)) === message.id;
    const cursor = this.#cursors.get(nodeId) ?? this.#store.cursor(nodeId);
    const verdict = judge(cursor, message, isRepeated);
    switch (verdict.kind) {
      case "accept":
        this.#fold(node, waiting);
        this.#cursors.set(nodeId, { nodeId, ...verdict.next });
        this.#tell(node, waiting, isRepeated);
        this.#remember(stream, message);
        break;
      case "duplicate":
        this.drop("duplicate");
        // Either late, or from an agent whose epoch is behind and whose words would be dropped for ever: a birth will tell.
        if (message.kind !== "birth" && message.epoch < (cursor?.epoch ?? 0))
          this.#askForBirth(nodeId);
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
        this.#tell(node, waiting, isRepeated);
        this.#remember(stream, message);
        this.#askForBirth(nodeId);
        break;
    }
  }

  /** Once a batch. */
  #askForBirth(nodeId: NodeId): void {
    if (!this.#rebirths.has(nodeId)) this.#effects.push({ kind: "rebirth", nodeId });
    this.#rebirths.add(nodeId);
  }

  /** State: the node and its assignments. */
  #fold(node: ObjectOf<"EdgeNode">, { nodeId, message, receivedMs }: Waiting): void {
    const observation = observationOf(message);
    const assignments =
      observation.reported === undefined
        ? []
        : this.#assignments.of(nodeId).map((a) => this.#current(a));
    const observed = observe(node, assignments, observation, isoTime(receivedMs));
    if (observed.node !== node) this.#stage(node, observed.node);
    for (const assignment of observed.assignments) this.#stage(assignment, assignment);
    this.#effects.push({ kind: "counted", message: message.kind });
    const revision = observation.reported?.acceptedRevision;
    const isFirstWord = node.status?.acceptedRevision === undefined;
    if (revision !== undefined)
      this.#effects.push({ kind: "accepted-revision", nodeId, revision, isFirstWord });
    if (observed.unassignedCount > 0)
      this.#effects.push({ kind: "unassigned", count: observed.unassignedCount });
    for (const happening of observed.happenings)
      this.#effects.push({ kind: "event", about: observed.node, ...happening });
  }

  /** What is no state: it is passed on, also from an epoch that the hub has no birth of. */
  #tell(
    node: ObjectOf<"EdgeNode">,
    { nodeId, message, receivedMs }: Waiting,
    isRepeated: boolean,
  ): void {
    switch (message.kind) {
      case "notice": {
        // Its acknowledgement was lost and it came again, perhaps numbered anew.
        if (isRepeated) return this.drop("duplicate");
        const { type, reason, message: text, instance } = message.body;
        const about =
          this.#assignments
            .of(nodeId)
            .find((a) => a.spec.node === nodeId && a.spec.desired.id === instance) ?? node;
        const happening = { about, type, reason, message: text };
        // It may have been counted before its instance was assigned here.
        if (this.#hasCounted({ ...happening, about: node }, message.id))
          return this.drop("duplicate");
        this.#stageNotice(happening, message.id, receivedMs);
        break;
      }
      case "desired-get":
        this.#effects.push({
          kind: "desired-get",
          nodeId,
          haveRevision: message.body.haveRevision,
        });
        break;
      case "artifact-get":
      case "bytes-get":
        this.#effects.push({ kind: "artifact-question", nodeId, message });
        break;
      case "log-chunk":
        this.#effects.push({ kind: "log-chunk", nodeId, message });
        break;
      case "birth":
      case "report":
      case "death":
        break;
    }
  }

  /** Only births and notices are looked for again. */
  #remember(stream: string, message: UpMessage): void {
    if (message.kind !== "birth" && message.kind !== "notice") return;
    this.#takenIds.set(stream, message.id);
    this.#effects.push({ kind: "taken", stream, messageId: message.id });
  }

  /** Acknowledged without effect. */
  drop(reason: DropReason): void {
    this.#effects.push({ kind: "dropped", reason });
  }

  /** In the commit itself: a notice that was acknowledged is not lost, and one that comes again is not counted again. */
  #stageNotice(happening: Happening, noticeId: string, nowMs: number): void {
    const { key, event: old } = this.#eventOf(happening);
    if (hasCounted(old, noticeId)) return this.drop("duplicate");
    const counted = eventAfter(old, happening, { times: 1, nowMs, uid: this.#newUid() });
    const event = withCounted(counted, noticeId);
    this.#events.set(key, event);
    this.#stage(old, event);
  }

  #hasCounted(happening: Happening, noticeId: string): boolean {
    return hasCounted(this.#eventOf(happening).event, noticeId);
  }

  #eventOf(happening: Happening): { key: string; event: ObjectOf<"Event"> | undefined } {
    const { namespace, name } = eventAddress(happening);
    const key = textOf({ kind: "Event", metadata: { namespace, name } });
    return { key, event: this.#events.get(key) ?? this.#store.get("Event", namespace, name) };
  }

  /** The object as the messages before have left it. */
  #current<T extends AnyObject | undefined>(object: T): T;
  #current(object: AnyObject | undefined): AnyObject | undefined {
    return object === undefined ? undefined : (this.#staged.get(textOf(object))?.object ?? object);
  }

  #stage(base: AnyObject | undefined, object: AnyObject): void {
    const key = {
      kind: kindOf(object),
      namespace: object.metadata.namespace ?? "",
      name: object.metadata.name,
    };
    const text = textOf(object);
    const expect = this.#staged.get(text)?.change.expect ?? expectationOf(base);
    this.#staged.set(text, { change: { key, expect, object }, object });
  }
}

function observationOf(message: UpMessage): Observation {
  const { epoch } = message;
  switch (message.kind) {
    case "birth": {
      const { agentVersion, bootId, inventory, ...said } = message.body;
      const { protocolVersion: _version, ...rest } = said;
      return { epoch, birth: { agentVersion, bootId, inventory }, ...rest };
    }
    case "report":
      return { epoch, ...message.body };
    case "notice":
    case "desired-get":
    case "log-chunk":
    case "artifact-get":
    case "bytes-get":
    case "death":
      return { epoch };
  }
}

/** Births and notices of a node, each kind by itself: a birth comes between a notice and its repetition. */
function streamOf(nodeId: NodeId, message: UpMessage): string {
  return `${nodeId}/${message.kind}`;
}

/** Streams of a node of which the last id is remembered. */
export function streamsOf(nodeName: string): readonly string[] {
  return [`${nodeName}/birth`, `${nodeName}/notice`];
}

function expectationOf(base: AnyObject | undefined): Change["expect"] {
  return base === undefined ? "absent" : Number(base.metadata.resourceVersion);
}

function kindOf(object: AnyObject): "EdgeNode" | "Assignment" | "Event" {
  if (object.kind === "EdgeNode" || object.kind === "Event") return object.kind;
  return "Assignment";
}

function textOf(object: {
  readonly kind: string;
  readonly metadata: { readonly namespace?: string | undefined; readonly name: string };
}): string {
  return `${object.kind}/${object.metadata.namespace ?? ""}/${object.metadata.name}`;
}
