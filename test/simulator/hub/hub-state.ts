import type {
  AnyObject,
  Commit,
  LogEntry,
  NodeCursor,
  ResourceKey,
  StoredDesired,
} from "@flotilla/hub/app/resources/ports";

/** Lines of the log that a watcher may ask for again. */
const LOG_KEPT = 1_000;

/** Everything that a hub's store holds; objects are frozen, so that copies share them. */
export class HubState {
  readonly objects: Map<string, AnyObject>;
  readonly cursors: Map<string, NodeCursor>;
  readonly desired: Map<string, StoredDesired>;
  readonly log: LogEntry[];
  revision: number;
  /** Grows with every write, also of what is no object. */
  writes = 0;

  constructor(from?: HubState) {
    this.objects = new Map(from?.objects);
    this.cursors = new Map(from?.cursors);
    this.desired = new Map(from?.desired);
    this.log = [...(from?.log ?? [])];
    this.revision = from?.revision ?? 0;
  }

  copy(): HubState {
    return new HubState(this);
  }

  /** The objects alone, to try changes on. */
  draft(): HubState {
    const draft = new HubState();
    for (const [key, object] of this.objects) draft.objects.set(key, object);
    draft.revision = this.revision;
    return draft;
  }

  ofKind(kind: string): readonly AnyObject[] {
    return [...this.objects.values()].filter((o) => o.kind === kind);
  }

  write(entries: readonly LogEntry[], commit: Commit): void {
    this.writes++;
    for (const entry of entries) {
      if (entry.type === "DELETED") this.objects.delete(keyText(entry.key));
      else this.objects.set(keyText(entry.key), entry.object);
      this.log.push(entry);
      this.revision = entry.revision;
    }
    if (this.log.length > 2 * LOG_KEPT) this.log.splice(0, this.log.length - LOG_KEPT);
    for (const cursor of commit.cursors ?? []) this.cursors.set(cursor.nodeId, cursor);
    for (const desired of commit.desired ?? []) this.desired.set(desired.nodeId, desired);
  }
}

export function keyText(key: ResourceKey): string {
  return `${key.kind}/${key.namespace}/${key.name}`;
}
