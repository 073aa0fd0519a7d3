import { BoundedQueue } from "@flotilla/shared/kernel/bounded-queue";
import type { Clock } from "@flotilla/shared/kernel/clock";
import { CodedError, hasCode, messageOf } from "@flotilla/shared/kernel/errors";
import type { NodeId } from "@flotilla/shared/kernel/ids";
import { type Random, uuid } from "@flotilla/shared/kernel/random";
import type { Log, Metrics } from "@flotilla/shared/kernel/service";
import type { Codec } from "@flotilla/shared/protocol/codec";
import type { DownMessage } from "@flotilla/shared/protocol/down";
import type { EventRecorder } from "../events/event-recorder.ts";
import type { NodeLink, UplinkHandler } from "../link/ports.ts";
import { downEnvelope } from "../node/down-envelope.ts";
import type { LeaseTable } from "../node/lease-table.ts";
import type { NodeAssignments } from "../node/node-assignments.ts";
import type { ResourceStore, StoreErrorCode } from "../resources/ports.ts";
import { BatchPlan, type Effect, streamsOf, type Waiting } from "./batch-plan.ts";

/** Most messages of one commit: a transaction of 200 rows stalls the loop for about 5 ms. */
export const INGEST_BATCH_LENGTH_MAX = 200;
/** How long a message waits for others to share its commit, milliseconds. */
export const INGEST_BATCH_DELAY_MS = 20;
/** Most messages that wait; more are refused, their sessions closed, and the nodes come back later. */
export const INGEST_QUEUE_LENGTH_MAX = 20_000;
/** How often a batch is planned anew after a conflict before it is refused. */
const INGEST_COMMIT_TRIES_MAX = 8;

/** Most nodes named in one line of the log. */
const LOGGED_NODES_MAX = 10;

/** Why a message was not acknowledged. */
export type IngestErrorCode = "ingest-overloaded" | "ingest-conflict";

interface Item extends Waiting {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

interface Deps {
  readonly store: ResourceStore;
  readonly link: Pick<NodeLink, "send">;
  readonly codec: Pick<Codec, "decodeUp">;
  readonly leases: LeaseTable;
  readonly assignments: Pick<NodeAssignments, "of">;
  readonly events: Pick<EventRecorder, "record">;
  readonly desired: {
    /** The node has said which revision it has accepted; `isFirstWord`: never before, as far as this hub's store knows. */
    observed(nodeId: NodeId, acceptedRevision: number, isFirstWord: boolean): void;
    answerDesiredGet(nodeId: NodeId, haveRevision: number): DownMessage | undefined;
  };
  /** Answers what nodes ask about artifacts; never throws. */
  readonly artifacts: { asked(nodeId: NodeId, message: ArtifactQuestion): void };
  readonly logs: {
    chunkArrived(nodeId: NodeId, message: LogChunkMessage): void;
    sessionEnded(nodeId: NodeId): void;
  };
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: Metrics;
}

type ArtifactQuestion = Extract<Effect, { kind: "artifact-question" }>["message"];
type LogChunkMessage = Extract<Effect, { kind: "log-chunk" }>["message"];

/**
 * Takes up messages: checks, deduplicates, renews the lease, folds them into objects. Many messages share one commit; each
 * is acknowledged when its commit is on disk, so what was acknowledged is never lost and what was lost comes again.
 */
export class IngestService implements UplinkHandler {
  readonly #deps: Deps;
  readonly #queue: BoundedQueue<Item>;
  /** Two short texts per enrolled node: its last birth and its last notice. */
  readonly #lastIds = new Map<string, string>();
  #draining: Promise<void> | undefined;
  #wake: AbortController | undefined;

  constructor(options: { readonly queueLengthMax?: number }, deps: Deps) {
    this.#deps = deps;
    this.#queue = new BoundedQueue({
      lengthMax: options.queueLengthMax ?? INGEST_QUEUE_LENGTH_MAX,
    });
    deps.store.subscribe((entries) => {
      for (const { key, type } of entries)
        if (key.kind === "EdgeNode" && type === "DELETED")
          for (const stream of streamsOf(key.name)) this.#lastIds.delete(stream);
    });
  }

  receive(nodeId: NodeId, topicKind: string, payload: Uint8Array): Promise<void> {
    const decoded = this.#deps.codec.decodeUp(payload);
    if (!decoded.ok) return this.#dropped(nodeId, decoded.failure, decoded.detail);
    const { message } = decoded;
    if (message.kind !== topicKind)
      return this.#dropped(nodeId, "kind-mismatch", `${message.kind} on the topic of another kind`);
    const node = this.#deps.store.get("EdgeNode", "", nodeId);
    if (node === undefined)
      return this.#dropped(nodeId, "not-enrolled", "no EdgeNode of this name");
    if (message.kind === "death") {
      this.#deps.metrics.count("flotilla_hub_ingest_messages_total", { kind: "death" });
      this.#deps.events.record({
        about: node,
        type: "Warning",
        reason: "LinkLost",
        message: "the session with the node broke off; its lease decides what follows",
      });
      return Promise.resolve();
    }
    this.#deps.leases.renew(nodeId, this.#deps.clock.bootMs());
    const receivedMs = this.#deps.clock.wallMs();
    return new Promise((resolve, reject) => {
      this.#enqueue({ nodeId, message, receivedMs, resolve, reject });
    });
  }

  sessionChanged(nodeId: NodeId, connected: boolean): void {
    this.#deps.log.info({ node: nodeId, connected }, "session changed");
    if (!connected) this.#deps.logs.sessionEnded(nodeId);
  }

  /** Resolves when nothing waits any more. To be called at the end, after the broker has stopped taking messages. */
  async drained(): Promise<void> {
    this.#wake?.abort();
    await this.#draining;
  }

  #dropped(nodeId: NodeId, reason: string, detail: string): Promise<void> {
    this.#deps.metrics.count("flotilla_hub_ingest_dropped_total", { reason });
    this.#deps.log.debug({ node: nodeId, reason, detail }, "up message dropped");
    return Promise.resolve();
  }

  #enqueue(item: Item): void {
    if (!this.#queue.push(item)) {
      this.#deps.metrics.count("flotilla_hub_ingest_refused_total", { cause: "queue-full" });
      const code: IngestErrorCode = "ingest-overloaded";
      item.reject(new CodedError(code, `${this.#queue.length} messages wait for the store`));
      return;
    }
    if (this.#queue.length >= INGEST_BATCH_LENGTH_MAX) this.#wake?.abort();
    this.#draining ??= this.#drain();
  }

  async #drain(): Promise<void> {
    while (this.#queue.length > 0) {
      if (this.#queue.length < INGEST_BATCH_LENGTH_MAX) {
        this.#wake = new AbortController();
        await this.#deps.clock.sleep(INGEST_BATCH_DELAY_MS, this.#wake.signal).catch(() => {});
        this.#wake = undefined;
      }
      const batch = this.#queue.take(INGEST_BATCH_LENGTH_MAX);
      await this.#commit(batch);
      this.#deps.metrics.set("flotilla_hub_ingest_queue_messages", this.#queue.length);
    }
    this.#draining = undefined;
  }

  /** Never rejects: every item is told how it went. */
  async #commit(batch: readonly Item[]): Promise<void> {
    const startBootMs = this.#deps.clock.bootMs();
    let effects: readonly Effect[];
    try {
      effects = await this.#store(batch);
    } catch (error) {
      if (!hasCode<StoreErrorCode>(error, "object-too-large")) return this.#refuse(batch, error);
      if (batch.length > 1) return this.#commitEach(batch);
      // It would be too large again. Whoever is to blame, this node is not cut off for it.
      this.#log(batch, error, "what an up message says makes an object too large");
      effects = [{ kind: "dropped", reason: "fold-failed" }];
    }
    for (const item of batch) item.resolve();
    this.#deps.metrics.observe("flotilla_hub_ingest_batch_messages", batch.length);
    this.#deps.metrics.observe(
      "flotilla_hub_ingest_commit_seconds",
      (this.#deps.clock.bootMs() - startBootMs) / 1000,
    );
    for (const effect of effects) {
      try {
        this.#carryOut(effect);
      } catch (error) {
        this.#log(batch, error, "what follows from an up message failed");
      }
    }
  }

  async #commitEach(batch: readonly Item[]): Promise<void> {
    for (const item of batch) await this.#commit([item]);
  }

  #log(batch: readonly Item[], error: unknown, message: string): void {
    const nodes = [...new Set(batch.map((item) => item.nodeId))].slice(0, LOGGED_NODES_MAX);
    this.#deps.log.error({ nodes, error: messageOf(error) }, message);
  }

  #refuse(batch: readonly Item[], error: unknown): void {
    this.#log(batch, error, "up messages could not be stored");
    this.#deps.metrics.count("flotilla_hub_ingest_refused_total", { cause: "store" }, batch.length);
    for (const item of batch) item.reject(error);
  }

  async #store(batch: readonly Item[]): Promise<readonly Effect[]> {
    for (let tries = 0; tries < INGEST_COMMIT_TRIES_MAX; tries++) {
      const plan = this.#plan(batch);
      const { changes, cursors = [] } = plan.commit;
      const isEmpty = changes.length === 0 && cursors.length === 0;
      if (isEmpty || (await this.#deps.store.commit(plan.commit)).ok) return plan.effects;
      this.#deps.metrics.count("flotilla_hub_ingest_conflicts_total");
    }
    const code: IngestErrorCode = "ingest-conflict";
    throw new CodedError(code, `objects changed ${INGEST_COMMIT_TRIES_MAX} times while planning`);
  }

  #plan(batch: readonly Item[]): BatchPlan {
    const plan = new BatchPlan({
      store: this.#deps.store,
      assignments: this.#deps.assignments,
      lastIds: this.#lastIds,
      newUid: () => uuid(this.#deps.random, "event.uid"),
    });
    for (const item of batch) {
      try {
        plan.add(item);
      } catch (error) {
        // A fold is pure: it would fail again. Dropped alone, it harms neither its node nor the others of the batch.
        plan.drop("fold-failed");
        this.#deps.log.error(
          { node: item.nodeId, kind: item.message.kind, error: messageOf(error) },
          "an up message could not be folded",
        );
      }
    }
    return plan;
  }

  #carryOut(effect: Effect): void {
    const { metrics, events, desired, logs } = this.#deps;
    switch (effect.kind) {
      case "counted":
        return metrics.count("flotilla_hub_ingest_messages_total", { kind: effect.message });
      case "dropped":
        return metrics.count("flotilla_hub_ingest_dropped_total", { reason: effect.reason });
      case "unassigned":
        return metrics.count("flotilla_hub_ingest_unassigned_instances_total", {}, effect.count);
      case "event":
        return events.record(effect);
      case "taken":
        this.#lastIds.set(effect.stream, effect.messageId);
        return;
      case "epoch-behind":
        return this.#send(effect.nodeId, {
          ...downEnvelope(this.#deps),
          kind: "epoch-behind",
          body: { seenEpoch: effect.seenEpoch },
        });
      case "rebirth":
        return this.#send(effect.nodeId, {
          ...downEnvelope(this.#deps),
          kind: "rebirth",
          body: { reason: "the hub has no birth of this epoch" },
        });
      case "accepted-revision":
        return desired.observed(effect.nodeId, effect.revision, effect.isFirstWord);
      case "desired-get": {
        const answer = desired.answerDesiredGet(effect.nodeId, effect.haveRevision);
        return answer === undefined ? undefined : this.#send(effect.nodeId, answer);
      }
      case "artifact-question":
        return this.#deps.artifacts.asked(effect.nodeId, effect.message);
      case "log-chunk":
        return logs.chunkArrived(effect.nodeId, effect.message);
    }
  }

  /** Nobody waits for a down message: one that is lost is asked for again by the node's next message. */
  #send(nodeId: NodeId, message: DownMessage): void {
    this.#deps.link.send(nodeId, message).catch((error: unknown) => {
      this.#deps.log.warn(
        { node: nodeId, kind: message.kind, error: messageOf(error) },
        "a down message could not be sent",
      );
    });
  }
}
