import { jsonEqual } from "@flotilla/shared/kernel/json";
import type { KindName, ObjectOf } from "@flotilla/shared/model/kinds";
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
} from "../../src/app/resources/ports.ts";

/** What survives a crash of the process: everything whose commit resolved. */
export interface MemoryDisk {
  objects: Map<string, AnyObject>;
  log: LogEntry[];
  cursors: Map<string, NodeCursor>;
  desired: Map<string, StoredDesired>;
}

export function emptyDisk(): MemoryDisk {
  return { objects: new Map(), log: [], cursors: new Map(), desired: new Map() };
}

const textOf = (key: ResourceKey): string => `${key.kind}/${key.namespace}/${key.name}`;

/** A ResourceStore without a disk, for tests that need to see or to break single commits. */
export class MemoryStore implements ResourceStore {
  readonly #disk: MemoryDisk;
  readonly #listeners = new Set<(entries: readonly LogEntry[]) => void>();
  /** Commits that were tried, failed ones included. */
  readonly commits: Commit[] = [];
  compactedRevision = 0;
  /** Thrown by the next commits, one each. */
  readonly failures: Error[] = [];
  /** Runs between the call of commit and its effect; await in it to hold a commit back. */
  beforeCommit: (commit: Commit) => void | Promise<void> = () => {};

  constructor(disk: MemoryDisk = emptyDisk()) {
    this.#disk = disk;
  }

  get disk(): MemoryDisk {
    return this.#disk;
  }

  get revision(): number {
    return this.#disk.log.at(-1)?.revision ?? 0;
  }

  get<K extends KindName>(kind: K, namespace: string, name: string): ObjectOf<K> | undefined {
    return this.#disk.objects.get(textOf({ kind, namespace, name })) as ObjectOf<K> | undefined;
  }

  list<K extends KindName>(kind: K, namespace?: string): readonly ObjectOf<K>[] {
    const order = (o: AnyObject): string => `${o.metadata.namespace ?? ""}\u0000${o.metadata.name}`;
    return [...this.#disk.objects.values()]
      .filter((o) => o.kind === kind)
      .filter((o) => namespace === undefined || (o.metadata.namespace ?? "") === namespace)
      .toSorted((a, b) => (order(a) < order(b) ? -1 : 1)) as unknown as readonly ObjectOf<K>[];
  }

  async commit(commit: Commit): Promise<CommitResult> {
    this.commits.push(commit);
    await this.beforeCommit(commit);
    const failure = this.failures.shift();
    if (failure !== undefined) throw failure;
    for (const change of commit.changes) {
      const current = this.#disk.objects.get(textOf(change.key));
      if (!holds(change, current)) return { ok: false, key: change.key, current };
    }
    const entries = commit.changes.flatMap((change) => this.#apply(change));
    for (const { key, type } of entries) {
      if (key.kind !== "EdgeNode" || type !== "DELETED") continue;
      this.#disk.cursors.delete(key.name);
      this.#disk.desired.delete(key.name);
    }
    for (const cursor of commit.cursors ?? []) this.#disk.cursors.set(cursor.nodeId, cursor);
    for (const desired of commit.desired ?? []) this.#disk.desired.set(desired.nodeId, desired);
    if (entries.length > 0) for (const listener of this.#listeners) listener(entries);
    return { ok: true, revision: this.revision, entries };
  }

  logAfter(revision: number, limit: number): readonly LogEntry[] | undefined {
    if (revision < this.compactedRevision) return undefined;
    return this.#disk.log.filter((e) => e.revision > revision).slice(0, limit);
  }

  subscribe(listener: (entries: readonly LogEntry[]) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  cursor(nodeId: string): NodeCursor | undefined {
    return this.#disk.cursors.get(nodeId);
  }

  desired(nodeId: string): StoredDesired | undefined {
    return this.#disk.desired.get(nodeId);
  }

  #apply(change: Change): LogEntry[] {
    const text = textOf(change.key);
    const previous = this.#disk.objects.get(text);
    if (change.object === undefined && previous === undefined) return [];
    if (change.object !== undefined && previous !== undefined && same(previous, change.object))
      return [];
    const revision = this.revision + 1;
    const base = change.object ?? previous;
    if (base === undefined) return [];
    const object = deepFreeze({
      ...structuredClone(base),
      metadata: { ...structuredClone(base.metadata), resourceVersion: String(revision) },
    } as AnyObject);
    if (change.object === undefined) this.#disk.objects.delete(text);
    else this.#disk.objects.set(text, object);
    const type = change.object === undefined ? "DELETED" : previous ? "MODIFIED" : "ADDED";
    const entry: LogEntry = {
      revision,
      type,
      key: change.key,
      object,
      ...(previous === undefined ? {} : { previous }),
    };
    this.#disk.log.push(entry);
    return [entry];
  }
}

function holds(change: Change, current: AnyObject | undefined): boolean {
  if (change.expect === "any") return true;
  if (change.expect === "absent") return current === undefined;
  return current !== undefined && current.metadata.resourceVersion === String(change.expect);
}

function same(a: AnyObject, b: AnyObject): boolean {
  const bare = (o: AnyObject): unknown => ({
    ...o,
    metadata: { ...o.metadata, resourceVersion: "" },
  });
  return jsonEqual(bare(a), bare(b));
}

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(deepFreeze);
  }
  return value;
}
