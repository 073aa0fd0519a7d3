import type { KindName, ObjectOf, ViewName } from "@flotilla/shared/model/kinds";

/** Ports of the resource core. The store is the hub's only queue and its only truth. */

/** Address of an object; `namespace` is "" for cluster-scoped kinds. */
export interface ResourceKey<K extends KindName = KindName> {
  readonly kind: K;
  readonly namespace: string;
  readonly name: string;
}

/** Any stored object. */
export type AnyObject = { [K in KindName]: ObjectOf<K> }[KindName];

/** One line of the log. `revision` is the resourceVersion that the object got by it. */
export interface LogEntry {
  readonly revision: number;
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly key: ResourceKey;
  /** The object after the change; the last state, with the deletion's revision, when it was deleted. */
  readonly object: AnyObject;
  /** The object before the change; absent when it was added. */
  readonly previous?: AnyObject;
}

/**
 * One change of a commit. `expect` is the precondition: the revision that the decision was made from, `"absent"` for a
 * creation, `"any"` where the last writer may win. `object: undefined` deletes. A change that alters nothing writes nothing.
 */
export interface Change {
  readonly key: ResourceKey;
  readonly expect: number | "absent" | "any";
  readonly object: AnyObject | undefined;
}

/** How far the hub has read a node's up messages. Committed with the changes that the messages led to. */
export interface NodeCursor {
  readonly nodeId: string;
  readonly epoch: number;
  readonly seq: number;
}

/** The last desired state that was signed for a node. `payload` and `signature` are sent as they are. */
export interface StoredDesired {
  readonly nodeId: string;
  readonly revision: number;
  /** Digest of the instances alone: equal digests need no new revision. */
  readonly contentDigest: string;
  readonly payload: string;
  readonly signature: string;
  readonly keyId: string;
}

export interface Commit {
  readonly changes: readonly Change[];
  readonly cursors?: readonly NodeCursor[];
  readonly desired?: readonly StoredDesired[];
}

export type CommitResult =
  | { readonly ok: true; readonly revision: number; readonly entries: readonly LogEntry[] }
  /** Nothing was written. `current` is what stands there now. */
  | { readonly ok: false; readonly key: ResourceKey; readonly current: AnyObject | undefined };

/**
 * Why the store could not do it. The platform's SqliteErrorCode (`database-full`, …) comes through as well; after any of
 * them nothing was written and the store can be used on.
 */
export type StoreErrorCode =
  | "key-missing"
  | "key-mismatch"
  | "key-exposed"
  | "sealed-unreadable"
  | "object-too-large"
  | "store-overloaded"
  | "store-closed";

/**
 * All objects in memory, every change in a durable log. Reads are immediate and see every commit that has resolved;
 * objects are frozen and carry `metadata.resourceVersion`. `commit` is atomic, resolves when it is on disk (fsync), and
 * may be grouped with others into one transaction.
 */
export interface ResourceStore {
  /** Revision of the newest log line that is visible. */
  readonly revision: number;
  /** Oldest revision from which `logAfter` can still answer. */
  readonly compactedRevision: number;
  get<K extends KindName>(kind: K, namespace: string, name: string): ObjectOf<K> | undefined;
  /** Sorted by namespace, then name, in code unit order. Without a namespace: all of them. */
  list<K extends KindName>(kind: K, namespace?: string): readonly ObjectOf<K>[];
  commit(commit: Commit): Promise<CommitResult>;
  /** Log lines above `revision`, oldest first, at most `limit`; undefined when they are compacted away. */
  logAfter(revision: number, limit: number): readonly LogEntry[] | undefined;
  /** Called after each commit, in log order, with its lines. Must not throw. Returns the unsubscriber. */
  subscribe(listener: (entries: readonly LogEntry[]) => void): () => void;
  /** Like `desired`, it belongs to the EdgeNode and goes in the commit that deletes it. */
  cursor(nodeId: string): NodeCursor | undefined;
  desired(nodeId: string): StoredDesired | undefined;
}

/** Who asks. */
export interface User {
  readonly name: string;
  readonly groups: readonly string[];
}

/** A kind as a path names it: stored or projected. */
export type ServedKind = KindName | ViewName;

/** JSON object as it goes over the API, `resourceVersion` a string. */
export type ApiObject = { readonly [field: string]: unknown } & {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly [field: string]: unknown };
};

export interface WriteOptions {
  readonly user: User;
  /** Unknown fields: refuse, warn, or drop silently. They are never stored. */
  readonly fieldValidation: "Strict" | "Warn" | "Ignore";
  readonly fieldManager?: string;
  /** Everything but the commit. */
  readonly dryRun?: boolean;
}

export interface ListOptions {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly limit?: number;
  readonly continueToken?: string;
}

export interface ObjectList {
  readonly resourceVersion: string;
  readonly items: readonly ApiObject[];
  readonly continueToken?: string;
  readonly remainingItemCount?: number;
}

export interface WatchOptions extends Omit<ListOptions, "limit" | "continueToken"> {
  /** Absent or "0": begin with the objects that are there, as ADDED. */
  readonly resourceVersion?: string;
  readonly sendInitialEvents: boolean;
  readonly allowBookmarks: boolean;
}

export type WatchEvent =
  | { readonly type: "ADDED" | "MODIFIED" | "DELETED"; readonly object: ApiObject }
  | {
      readonly type: "BOOKMARK";
      readonly resourceVersion: string;
      readonly initialEventsEnd: boolean;
    }
  | { readonly type: "EXPIRED"; readonly message: string };

export interface DeleteOptions {
  readonly user: User;
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
  readonly propagationPolicy?: "Orphan" | "Background" | "Foreground";
  /** Everything but the commit. */
  readonly dryRun?: boolean;
}

/** What was deleted: gone at once, or waiting for its finalizers. */
export type DeleteOutcome =
  | { readonly gone: true; readonly object: ApiObject }
  | { readonly gone: false; readonly object: ApiObject };

/** An accepted write and what the client should be warned of. `created` tells a 201 from a 200. */
export interface WriteOutcome {
  readonly object: ApiObject;
  readonly warnings: readonly string[];
  readonly created: boolean;
}

/**
 * The resource API without HTTP: everything that kubectl, the CLI and the console can do. Failures are thrown as
 * `ApiError` (domain/resources/api-error.ts), which carries the Kubernetes reason, code and causes.
 */
export interface ResourceApi {
  get(kind: ServedKind, namespace: string, name: string): ApiObject;
  list(kind: ServedKind, options: ListOptions): ObjectList;
  watch(kind: ServedKind, options: WatchOptions, signal: AbortSignal): AsyncIterable<WatchEvent>;
  create(
    kind: ServedKind,
    namespace: string,
    body: unknown,
    options: WriteOptions,
  ): Promise<WriteOutcome>;
  /** Replaces spec and metadata, or the status alone when `subresource` is "status". */
  update(target: WriteTarget, body: unknown, options: WriteOptions): Promise<WriteOutcome>;
  /** RFC 7386 merge patch. For Namespace, ConfigMap and Secret a strategic merge patch is read as one. */
  mergePatch(target: WriteTarget, patch: unknown, options: WriteOptions): Promise<WriteOutcome>;
  remove(
    kind: ServedKind,
    namespace: string,
    name: string,
    options: DeleteOptions,
  ): Promise<DeleteOutcome>;
  removeCollection(
    kind: ServedKind,
    list: ListOptions,
    options: DeleteOptions,
  ): Promise<readonly ApiObject[]>;
}

export interface WriteTarget {
  readonly kind: ServedKind;
  readonly namespace: string;
  readonly name: string;
  readonly subresource?: "status";
}
