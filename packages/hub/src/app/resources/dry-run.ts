import { revisionOf } from "../control/change.ts";
import type { Commit, CommitResult, LogEntry, ResourceStore } from "./ports.ts";

/**
 * What a commit would answer, without carrying it out: the same preconditions, the same objects. What is created has no
 * resourceVersion yet, what is changed keeps the one that it has.
 */
export function dryCommit(store: ResourceStore, { changes }: Commit): CommitResult {
  const entries: LogEntry[] = [];
  for (const { key, expect, object } of changes) {
    const current = store.get(key.kind, key.namespace, key.name);
    const holds =
      expect === "any" ||
      (expect === "absent"
        ? current === undefined
        : current !== undefined && revisionOf(current) === expect);
    if (!holds) return { ok: false, key, current };
    const shown = object ?? current;
    if (shown === undefined) continue;
    const type = object === undefined ? "DELETED" : current === undefined ? "ADDED" : "MODIFIED";
    entries.push({ revision: store.revision, type, key, object: shown });
  }
  return { ok: true, revision: store.revision, entries };
}
