import type {
  AnyObject,
  Change,
  Commit,
  CommitResult,
  LogEntry,
  NodeCursor,
  ResourceKey,
  ResourceStore,
  StoredDesired,
} from "@flotilla/hub/app/resources/ports";
import { CodedError } from "@flotilla/shared/kernel/errors";
import { jsonEqual } from "@flotilla/shared/kernel/json";
import type { KindName, ObjectOf } from "@flotilla/shared/model/kinds";
import type { Bugs } from "../bugs.ts";
import type { EventLoop } from "../world/event-loop.ts";
import type { ProcessLife } from "../world/process-life.ts";
import type { Dice } from "../world/seeds.ts";
import { HubState, keyText } from "./hub-state.ts";

/** The hub's disk: what a hub that is started finds. */
export class HubDisk {
  readonly state: HubState = new HubState();
  term = 0;
  isFull = false;
  /** Mean time of an fsync. */
  fsyncMs = 4;
  /** Called with each commit that has become durable. */
  onCommit: (entries: readonly LogEntry[]) => void = () => {};
}

interface Waiting {
  readonly commit: Commit;
  readonly resolve: (result: CommitResult) => void;
  readonly reject: (error: Error) => void;
}

export interface HubStoreDeps {
  readonly loop: EventLoop;
  readonly life: ProcessLife;
  readonly disk: HubDisk;
  readonly dice: Dice;
  readonly bugs: Bugs;
  /** Something has just become durable, and nobody knows yet. */
  readonly onDurable: () => void;
}

/**
 * The store's contract over a simulated disk. Commits that come together share an fsync; between the fsync and the answer
 * there is an instant in which the hub can die.
 */
export class SimHubStore implements ResourceStore {
  readonly #deps: HubStoreDeps;
  readonly #view: HubState;
  readonly #listeners = new Set<(entries: readonly LogEntry[]) => void>();
  #queue: Waiting[] = [];
  #isBusy = false;

  constructor(deps: HubStoreDeps) {
    this.#deps = deps;
    this.#view = deps.disk.state.copy();
    if (deps.bugs.has("hub-forgets-cursor")) this.#view.cursors.clear();
    for (const [key, object] of this.#view.objects)
      this.#view.objects.set(key, misread(object, deps.bugs));
  }

  get revision(): number {
    return this.#view.revision;
  }

  get compactedRevision(): number {
    return Math.max(0, (this.#view.log[0]?.revision ?? 1) - 1);
  }

  get<K extends KindName>(kind: K, namespace: string, name: string): ObjectOf<K> | undefined {
    const found = this.#view.objects.get(keyText({ kind, namespace, name }));
    return found !== undefined && isOf(found, kind) ? found : undefined;
  }

  list<K extends KindName>(kind: K, namespace?: string): readonly ObjectOf<K>[] {
    const found: ObjectOf<K>[] = [];
    for (const stored of this.#view.ofKind(kind)) {
      const object = mistold(stored, this.#deps.bugs);
      if (isOf(object, kind) && (namespace === undefined || spaceOf(object) === namespace))
        found.push(object);
    }
    return found.sort((a, b) => (orderOf(a) < orderOf(b) ? -1 : 1));
  }

  commit(commit: Commit): Promise<CommitResult> {
    return new Promise((resolve, reject) => {
      if (this.#deps.loop.isSpinning()) return;
      this.#queue.push({ commit, resolve, reject });
      if (!this.#isBusy) this.#writeBatch();
    });
  }

  logAfter(revision: number, limit: number): readonly LogEntry[] | undefined {
    if (revision < this.compactedRevision) return undefined;
    return this.#view.log.filter((e) => e.revision > revision).slice(0, limit);
  }

  subscribe(listener: (entries: readonly LogEntry[]) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  cursor(nodeId: string): NodeCursor | undefined {
    return this.#view.cursors.get(nodeId);
  }

  desired(nodeId: string): StoredDesired | undefined {
    return this.#view.desired.get(nodeId);
  }

  #writeBatch(): void {
    const batch = this.#queue;
    this.#queue = [];
    this.#isBusy = batch.length > 0;
    if (!this.#isBusy) return;
    const { loop, life, disk, dice, bugs } = this.#deps;
    if (bugs.has("commit-before-fsync")) this.#answer(this.#judged(batch));
    loop.schedule(dice.exponential(disk.fsyncMs), life, "fsync", () => {
      if (disk.isFull) {
        const error = new CodedError("database-full", "the disk is full", { mend: "free space" });
        for (const { reject } of batch) reject(error);
        this.#writeBatch();
        return;
      }
      const judged = this.#judged(batch);
      for (const { entries, commit } of judged) {
        disk.state.write(entries, commit);
        disk.onCommit(entries);
      }
      this.#deps.onDurable();
      loop.schedule(dice.exponential(0.5), life, "commit", () => {
        if (!bugs.has("commit-before-fsync")) this.#answer(judged);
        this.#writeBatch();
      });
    });
  }

  /** Each commit against what the ones before it leave. */
  #judged(batch: readonly Waiting[]): readonly Judged[] {
    const next = this.#view.draft();
    return batch.map(({ commit, resolve }) => {
      const failed = commit.changes.find((c) => !this.#holds(c, next.objects.get(keyText(c.key))));
      if (failed !== undefined) {
        const current = next.objects.get(keyText(failed.key));
        return {
          commit: { changes: [] },
          entries: [],
          resolve,
          conflict: { key: failed.key, current },
        };
      }
      const entries: LogEntry[] = [];
      for (const change of this.#kept(commit.changes, next)) {
        const entry = entryOf(change, next.objects.get(keyText(change.key)), next.revision + 1);
        if (entry === undefined) continue;
        entries.push(entry);
        next.write([entry], { changes: [] });
      }
      return { commit, entries, resolve, conflict: undefined };
    });
  }

  /** All of them, but for a planted bug. */
  #kept(changes: readonly Change[], state: HubState): readonly Change[] {
    const { bugs } = this.#deps;
    if (bugs.has("no-guarantees") || bugs.has("queues-closed"))
      return changes.map((c) => restored(c, state.objects.get(keyText(c.key))));
    if (!bugs.has("gang-in-part")) return changes;
    const placements = changes.filter(({ key, object }) => {
      const before = state.objects.get(keyText(key));
      return nodeOf(object) !== undefined && nodeOf(before) === undefined;
    });
    return placements.length < 2 ? changes : changes.filter((c) => c !== placements.at(-1));
  }

  #holds(change: Change, current: AnyObject | undefined): boolean {
    if (change.expect === "any" || this.#deps.bugs.has("ignore-expected-revision")) return true;
    if (change.expect === "absent") return current === undefined;
    return current?.metadata.resourceVersion === String(change.expect);
  }

  #answer(judged: readonly Judged[]): void {
    for (const { commit, entries, resolve, conflict } of judged) {
      if (conflict !== undefined) {
        resolve({ ok: false, ...conflict });
        continue;
      }
      this.#view.write(entries, commit);
      if (entries.length > 0) for (const listener of this.#listeners) listener(entries);
      resolve({ ok: true, revision: this.#view.revision, entries });
    }
  }
}

interface Judged {
  readonly commit: Commit;
  readonly entries: readonly LogEntry[];
  readonly resolve: (result: CommitResult) => void;
  readonly conflict:
    | { readonly key: ResourceKey; readonly current: AnyObject | undefined }
    | undefined;
}

function entryOf(
  change: Change,
  previous: AnyObject | undefined,
  revision: number,
): LogEntry | undefined {
  const base = change.object ?? previous;
  if (base === undefined) return undefined;
  if (change.object !== undefined && previous !== undefined && isSame(previous, change.object))
    return undefined;
  const object: AnyObject = deepFreeze({
    ...structuredClone(base),
    metadata: { ...structuredClone(base.metadata), resourceVersion: String(revision) },
  });
  const type = change.object === undefined ? "DELETED" : previous ? "MODIFIED" : "ADDED";
  return {
    revision,
    type,
    key: change.key,
    object,
    ...(previous === undefined ? {} : { previous }),
  };
}

function isSame(a: AnyObject, b: AnyObject): boolean {
  const bare = (o: AnyObject): unknown => ({
    ...o,
    metadata: { ...o.metadata, resourceVersion: "" },
  });
  return jsonEqual(bare(a), bare(b));
}

/** What a hub that starts takes an object for; the object itself, but for a planted bug. */
function misread(object: AnyObject, bugs: Bugs): AnyObject {
  if (!isOf(object, "Assignment")) return object;
  if (bugs.has("hub-forgets-rooms")) {
    const requests = { milliCpu: 0, memoryBytes: 0, diskBytes: 0, gpuCount: 0 };
    return { ...object, spec: { ...object.spec, requests } };
  }
  if (!bugs.has("hub-forgets-devices")) return object;
  const { devices: _devices, ...spec } = object.spec;
  return { ...object, spec };
}

/** What the hub is told of an object; the object itself, but for a planted bug. */
function mistold(object: AnyObject, bugs: Bugs): AnyObject {
  if (bugs.has("no-guarantees") && isOf(object, "Queue")) {
    const { guarantee: _guarantee, ...spec } = object.spec;
    return { ...object, spec };
  }
  return bugs.has("queues-closed") && isOf(object, "Queue")
    ? { ...object, spec: { ...object.spec, state: "Closed" } }
    : object;
}

/** What was misread is not written back: who edits a spec raises its generation. */
function restored(change: Change, before: AnyObject | undefined): Change {
  const { object } = change;
  if (object === undefined || before === undefined || isOf(object, "Assignment")) return change;
  const isEdit = object.metadata.generation !== before.metadata.generation;
  if (isEdit || !("spec" in object) || !("spec" in before)) return change;
  const kept: AnyObject = Object.assign({}, object, { spec: before.spec });
  return { ...change, object: kept };
}

function nodeOf(object: AnyObject | undefined): string | undefined {
  return object !== undefined && isOf(object, "Assignment") ? object.spec.node : undefined;
}

function isOf<K extends KindName>(object: AnyObject, kind: K): object is AnyObject & ObjectOf<K> {
  return object.kind === kind;
}

function spaceOf(object: { readonly metadata: { readonly namespace?: string } }): string {
  return object.metadata.namespace ?? "";
}

function orderOf(object: {
  readonly metadata: { readonly namespace?: string; readonly name: string };
}): string {
  return `${spaceOf(object)}\u0000${object.metadata.name}`;
}

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(deepFreeze);
  }
  return value;
}
