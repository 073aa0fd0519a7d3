import { must } from "@flotilla/shared/kernel/assert";
import { CodedError } from "@flotilla/shared/kernel/errors";
import type {
  AnyObject,
  Change,
  Commit,
  LogEntry,
  ResourceKey,
  StoreErrorCode,
} from "../../app/resources/ports.ts";
import type { ObjectTable } from "./object-table.ts";
import { freezeDeep, storedCopy } from "./stored-copy.ts";

/** Largest stored object as JSON, in UTF-16 units; etcd's default limit for a request is the same. */
export const OBJECT_LENGTH_MAX: number = 1_536 * 1024;

/** A log line ready to be written. `text` is the object as JSON; undefined for a deletion. */
export interface StagedLine {
  readonly entry: LogEntry;
  readonly text: string | undefined;
}

export type Staged =
  | { readonly ok: true; readonly lines: readonly StagedLine[] }
  | { readonly ok: false; readonly key: ResourceKey; readonly current: AnyObject | undefined };

/**
 * The commits of one transaction, each seen on top of those before it. A commit whose precondition fails leaves no
 * trace, and the others go on.
 */
export class Staging {
  readonly #table: ObjectTable;
  #overlay = new Map<string, AnyObject | undefined>();
  #revision: number;

  constructor(options: { readonly revision: number }, deps: { readonly table: ObjectTable }) {
    this.#revision = options.revision;
    this.#table = deps.table;
  }

  /** Revision after what was staged so far. */
  get revision(): number {
    return this.#revision;
  }

  /** Throws CodedError `object-too-large`; nothing is staged then. */
  stage(commit: Commit): Staged {
    const overlay = new Map<string, AnyObject | undefined>();
    const lines: StagedLine[] = [];
    for (const change of commit.changes) {
      const current = this.#current(change.key, overlay);
      if (!expectationHolds(change.expect, current)) return { ok: false, key: change.key, current };
      const line = stageChange(change, current, this.#revision + lines.length + 1);
      if (line === undefined) continue;
      lines.push(line);
      overlay.set(textOf(change.key), line.text === undefined ? undefined : line.entry.object);
    }
    for (const [key, object] of overlay) this.#overlay.set(key, object);
    this.#revision += lines.length;
    return { ok: true, lines };
  }

  #current(
    key: ResourceKey,
    overlay: ReadonlyMap<string, AnyObject | undefined>,
  ): AnyObject | undefined {
    const text = textOf(key);
    if (overlay.has(text)) return overlay.get(text);
    if (this.#overlay.has(text)) return this.#overlay.get(text);
    return this.#table.get(key);
  }
}

/** The object's resourceVersion as the log's number. */
export function revisionOf(object: AnyObject): number {
  return Number(object.metadata.resourceVersion);
}

/** Reads a stored object; frozen, with this resourceVersion. */
export function parseObject(text: string, revision: number): AnyObject {
  return freezeDeep(withRevision(JSON.parse(text) as AnyObject, revision));
}

/** What a deletion's line shows: the last state, with the deletion's revision. */
export function deletedObject(last: AnyObject, revision: number): AnyObject {
  return freezeDeep(withRevision(last, revision));
}

function stageChange(
  change: Change,
  current: AnyObject | undefined,
  revision: number,
): StagedLine | undefined {
  const { key } = change;
  if (change.object === undefined) {
    if (current === undefined) return undefined;
    const object = deletedObject(current, revision);
    return {
      entry: { revision, type: "DELETED", key, object, previous: current },
      text: undefined,
    };
  }
  const object = storedObject(change.object, current, revision);
  if (object === current) return undefined;
  // Of the copy, so that memory holds what the disk holds.
  const text = JSON.stringify(object);
  if (text.length > OBJECT_LENGTH_MAX)
    throw new CodedError<StoreErrorCode>(
      "object-too-large",
      `${key.kind} ${key.namespace}/${key.name} has ${text.length} characters, the most is ${OBJECT_LENGTH_MAX}`,
      { mend: "Split the object, or move what is large into an artifact." },
    );
  return current === undefined
    ? { entry: { revision, type: "ADDED", key, object }, text }
    : { entry: { revision, type: "MODIFIED", key, object, previous: current }, text };
}

function expectationHolds(expect: Change["expect"], current: AnyObject | undefined): boolean {
  if (expect === "any") return true;
  if (expect === "absent") return current === undefined;
  return current !== undefined && revisionOf(current) === expect;
}

/** The object as it is kept, at this revision; `current` itself when the object says nothing else. */
function storedObject(
  object: AnyObject,
  current: AnyObject | undefined,
  revision: number,
): AnyObject {
  if (current === undefined) return copyOf(withRevision(object, revision));
  const copied = copyOf(withRevision(object, revisionOf(current)), current);
  return copied === current ? current : freezeDeep(withRevision(copied, revision));
}

function copyOf(object: AnyObject, current?: AnyObject): AnyObject {
  return must(storedCopy(object, current), "an object is JSON");
}

function withRevision(object: AnyObject, revision: number): AnyObject {
  return { ...object, metadata: { ...object.metadata, resourceVersion: String(revision) } };
}

function textOf(key: ResourceKey): string {
  return `${key.kind}\0${key.namespace}\0${key.name}`;
}
