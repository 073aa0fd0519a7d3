import type { Clock } from "@flotilla/shared/kernel/clock";
import { messageOf } from "@flotilla/shared/kernel/errors";
import { type NodeId, parseNodeId } from "@flotilla/shared/kernel/ids";
import { jsonEqual } from "@flotilla/shared/kernel/json";
import type { Random } from "@flotilla/shared/kernel/random";
import { exponentialMs } from "@flotilla/shared/kernel/retry";
import type { Log, Metrics, Service } from "@flotilla/shared/kernel/service";
import type { DownMessage } from "@flotilla/shared/protocol/down";
import { secretsOf } from "../../domain/desired/compile.ts";
import type { EventRecorder } from "../events/event-recorder.ts";
import type { NodeLink } from "../link/ports.ts";
import type { ProbePlans } from "../measures/probe-plans.ts";
import { downEnvelope } from "../node/down-envelope.ts";
import { isAssignment, type NodeAssignments, nodesOf } from "../node/node-assignments.ts";
import type { LogEntry, ResourceStore } from "../resources/ports.ts";
import { DesiredCompiler } from "./desired-compiler.ts";
import type { DesiredArtifacts, DesiredSigner, Sha256 } from "./ports.ts";

/** How long it must be quiet before the nodes that changes touch are compiled, milliseconds: one change waits so long. */
const DESIRED_COALESCE_MS = 10;
/** While changes keep coming they are gathered this long at most, milliseconds: many placements on a node make one revision. */
export const DESIRED_GATHER_MS_MAX = 100;
/** Most nodes compiled at a time; their commits share an fsync. */
const DESIRED_BATCH_LENGTH_MAX = 50;
/** Wait after a failure of the store. */
const DESIRED_RETRY = { baseMs: 200, capMs: 10_000 } as const;
/**
 * A node that is ahead of the hub is given a state above its own only after this time. A hub that lost its database knows no
 * Assignment at first; told at once, the node would stop everything that the controllers are about to place on it again.
 */
export const RAISE_SETTLE_MS = 20_000;
/** Highest revision followed from a node that is ahead of the hub; a true one counts changes. */
export const DESIRED_REVISION_MAX: number = 2 ** 48;

/**
 * Keeps every node's signed desired state equal to its assignments. Level-triggered: the log only says which nodes to look
 * at again; what is compiled is what stands in the store then. Signed states are durable before a node hears of them.
 */
export class DesiredService implements Service {
  readonly name = "desired";
  readonly #store: ResourceStore;
  readonly #link: NodeLink;
  readonly #compiler: DesiredCompiler;
  readonly #events: Pick<EventRecorder, "record">;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #log: Log;
  readonly #metrics: Metrics;
  /** Node → revision that the next one must be above. */
  readonly #waiting = new Map<NodeId, number>();
  /** Node → revision to be above, once the controllers had time to place what belongs there. */
  readonly #raising = new Map<NodeId, { readonly above: number; readonly dueBootMs: number }>();
  /** How often a node was marked; tells whether changes keep coming. */
  #lookCount = 0;
  #wake: () => void = () => {};

  constructor(deps: {
    readonly store: ResourceStore;
    readonly link: NodeLink;
    readonly assignments: Pick<NodeAssignments, "of">;
    readonly probes: Pick<ProbePlans, "planOf" | "onChange">;
    /** Absent: this hub hands no artifacts out. */
    readonly artifacts?: DesiredArtifacts;
    readonly signer: DesiredSigner;
    readonly sha256: Sha256;
    readonly events: Pick<EventRecorder, "record">;
    readonly clock: Clock;
    readonly random: Random;
    readonly log: Log;
    readonly metrics: Metrics;
  }) {
    this.#store = deps.store;
    this.#link = deps.link;
    this.#compiler = new DesiredCompiler(deps);
    this.#events = deps.events;
    this.#clock = deps.clock;
    this.#random = deps.random;
    const lookAll = (nodes: readonly string[]): void => {
      for (const node of nodes) this.#look(node);
    };
    deps.probes.onChange(lookAll);
    deps.artifacts?.onChange(lookAll);
    this.#log = deps.log;
    this.#metrics = deps.metrics;
  }

  async run(signal: AbortSignal): Promise<void> {
    const unsubscribe = this.#store.subscribe((entries) => this.#follow(entries));
    const onAbort = (): void => this.#wake();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      for (const node of this.#store.list("EdgeNode")) this.#look(node.metadata.name);
      for (let failures = 0; !signal.aborted; ) {
        await this.#somethingWaits(signal);
        await this.#gather(signal);
        const failed = await this.#compileWaiting(signal);
        failures = failed ? failures + 1 : 0;
        if (failed) await this.#sleep(exponentialMs(DESIRED_RETRY, failures), signal);
      }
    } finally {
      signal.removeEventListener("abort", onAbort);
      unsubscribe();
    }
  }

  /**
   * A node has said which revision it has accepted. Below ours: it is told (again). Above ours: this hub has forgotten
   * revisions, as after a restore from a backup; ours is raised above it, for a node takes only revisions that grow. So it is
   * when a node that this hub has never heard of has accepted something: whatever its number, it was not this hub's.
   */
  observed(nodeId: NodeId, acceptedRevision: number, isFirstWord = false): void {
    const revision = this.#store.desired(nodeId)?.revision ?? 0;
    if (isFirstWord && acceptedRevision > 0) {
      this.#raise(nodeId, acceptedRevision, revision);
      return;
    }
    if (acceptedRevision < revision) void this.#notify(nodeId, revision);
    if (acceptedRevision > revision) this.#raise(nodeId, acceptedRevision);
  }

  /** The stored state when the node has another one; undefined when it has this one or there is none. */
  answerDesiredGet(nodeId: NodeId, haveRevision: number): DownMessage | undefined {
    const stored = this.#store.desired(nodeId);
    if (haveRevision > (stored?.revision ?? 0)) {
      this.#raise(nodeId, haveRevision);
      return undefined;
    }
    if (stored === undefined || stored.revision === haveRevision) return undefined;
    const { payload, signature, keyId } = stored;
    const envelope = downEnvelope({ clock: this.#clock, random: this.#random });
    return { ...envelope, kind: "desired", body: { payload, signature, keyId } };
  }

  #raise(nodeId: NodeId, above: number, ownRevision = 0): void {
    const node = this.#store.get("EdgeNode", "", nodeId);
    if (node === undefined) return;
    const isPlausible = above <= DESIRED_REVISION_MAX;
    this.#events.record({
      about: node,
      type: "Warning",
      reason: isPlausible ? "DesiredRevisionBehind" : "DesiredRevisionImplausible",
      message: isPlausible
        ? `the node has accepted revision ${above}, which this hub does not know; the desired state is signed anew above it`
        : `the node claims to have accepted revision ${above}; it is not followed`,
    });
    if (!isPlausible) return;
    const dueBootMs =
      this.#raising.get(nodeId)?.dueBootMs ?? this.#clock.bootMs() + RAISE_SETTLE_MS;
    this.#raising.set(nodeId, { above: Math.max(above, ownRevision), dueBootMs });
    this.#wake();
  }

  /** Marks the nodes whose time to be raised has come. */
  #takeDue(): void {
    const nowBootMs = this.#clock.bootMs();
    for (const [nodeId, { above, dueBootMs }] of this.#raising) {
      if (dueBootMs > nowBootMs) continue;
      this.#raising.delete(nodeId);
      this.#look(nodeId, above);
    }
  }

  /** Marks a node for the next pass. */
  #look(name: string, above = 0): void {
    const nodeId = parseNodeId(name);
    if (nodeId === undefined) return;
    this.#waiting.set(nodeId, Math.max(above, this.#waiting.get(nodeId) ?? 0));
    this.#lookCount++;
    this.#wake();
  }

  #follow(entries: readonly LogEntry[]): void {
    for (const entry of entries) for (const node of this.#touched(entry)) this.#look(node);
  }

  /** Nodes that an entry may matter to. Status reports of what runs as desired touch nobody. */
  #touched(entry: LogEntry): readonly string[] {
    const { key, object, previous, type } = entry;
    if (key.kind === "Assignment") {
      if (isStatusOnly(entry)) return [];
      return [...nodesOf(object), ...(previous === undefined ? [] : nodesOf(previous))];
    }
    if (key.kind === "Secret")
      return this.#store
        .list("Assignment", key.namespace)
        .filter((a) => secretsOf(a).has(key.name))
        .flatMap((a) => a.spec.node ?? []);
    return key.kind === "EdgeNode" && type === "ADDED" ? [key.name] : [];
  }

  /** Returns when a node is to be compiled, or to stop. */
  async #somethingWaits(signal: AbortSignal): Promise<void> {
    for (;;) {
      this.#takeDue();
      if (this.#waiting.size > 0 || signal.aborted) return;
      const woken = new AbortController();
      this.#wake = () => woken.abort();
      const due = [...this.#raising.values()].map((raise) => raise.dueBootMs);
      const waitMs = Math.min(...due) - this.#clock.bootMs();
      if (due.length > 0) await this.#sleep(waitMs, woken.signal);
      else
        await new Promise<void>((resolve) => {
          woken.signal.addEventListener("abort", () => resolve(), { once: true });
        });
      this.#wake = () => {};
    }
  }

  #sleep(ms: number, signal: AbortSignal): Promise<void> {
    return this.#clock.sleep(ms, signal).catch(() => {});
  }

  /** Returns when it is quiet, or enough was waited. */
  async #gather(signal: AbortSignal): Promise<void> {
    const untilBootMs = this.#clock.bootMs() + DESIRED_GATHER_MS_MAX;
    for (let seen = -1; seen !== this.#lookCount && this.#clock.bootMs() < untilBootMs; ) {
      seen = this.#lookCount;
      await this.#sleep(DESIRED_COALESCE_MS, signal);
      if (signal.aborted) return;
    }
  }

  /** Compiles as many nodes as wait now. True when one could not be stored. */
  async #compileWaiting(signal: AbortSignal): Promise<boolean> {
    for (let left = this.#waiting.size; left > 0; left -= DESIRED_BATCH_LENGTH_MAX) {
      if (await this.#compileBatch()) return true;
      if (signal.aborted) break;
    }
    return false;
  }

  /** True when one of the nodes could not be stored; it waits again. */
  async #compileBatch(): Promise<boolean> {
    const batch = [...this.#waiting].slice(0, DESIRED_BATCH_LENGTH_MAX);
    for (const [nodeId] of batch) this.#waiting.delete(nodeId);
    const outcomes = await Promise.all(
      batch.map(async ([nodeId, above]) => {
        try {
          await this.#compile(nodeId, above);
          return true;
        } catch (error) {
          this.#metrics.count("flotilla_hub_desired_compiles_total", { outcome: "failed" });
          this.#log.error({ node: nodeId, error: messageOf(error) }, "desired state not stored");
          this.#look(nodeId, above);
          return false;
        }
      }),
    );
    this.#metrics.set("flotilla_hub_desired_nodes_waiting", this.#waiting.size);
    return outcomes.includes(false);
  }

  async #compile(nodeId: NodeId, above: number): Promise<void> {
    const outcome = await this.#compiler.compile(nodeId, above);
    this.#metrics.count("flotilla_hub_desired_compiles_total", { outcome: outcome.kind });
    if (outcome.kind === "conflict") this.#look(nodeId, above);
    if (outcome.kind !== "signed") return;
    const { revision, instanceCount } = outcome;
    this.#log.info({ node: nodeId, revision, instanceCount }, "desired state signed");
    // Not awaited: a link that is stuck must not keep other nodes from their states.
    void this.#notify(nodeId, revision);
  }

  /** Never rejects. */
  async #notify(nodeId: NodeId, revision: number): Promise<void> {
    const envelope = downEnvelope({ clock: this.#clock, random: this.#random });
    try {
      // An absent node is not told: it says at its birth what it has.
      const sent =
        this.#link.isConnected(nodeId) &&
        (await this.#link.send(nodeId, {
          ...envelope,
          kind: "desired-notify",
          body: { revision },
        }));
      const outcome = sent ? "sent" : "absent";
      this.#metrics.count("flotilla_hub_desired_notifies_total", { outcome });
    } catch (error) {
      this.#metrics.count("flotilla_hub_desired_notifies_total", { outcome: "failed" });
      this.#log.warn({ node: nodeId, error: messageOf(error) }, "node not told of desired state");
    }
  }
}

/** True when nothing of it goes into a desired state. */
function isStatusOnly({ type, object, previous }: LogEntry): boolean {
  return (
    type === "MODIFIED" &&
    previous !== undefined &&
    isAssignment(object) &&
    isAssignment(previous) &&
    object.metadata.deletionTimestamp === previous.metadata.deletionTimestamp &&
    jsonEqual(object.spec, previous.spec)
  );
}
