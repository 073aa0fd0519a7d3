import { DELEGATIONS_MAX, TARGETS_BYTES_MAX } from "./limits.ts";
import { type Opened, openMetadata } from "./metadata.ts";
import { type Quorum, requireQuorum } from "./quorum.ts";
import { TrustError } from "./refusal.ts";
import { type TargetEntry } from "./shapes.ts";
import { matchesPathPattern } from "./target-path.ts";
import {
  type Need,
  offered,
  reopenStored,
  requireFresh,
  requireNamedBytes,
  requireNamedVersion,
  requireNotOlder,
  topQuorum,
  type Walk,
} from "./walk.ts";

/** Where targets are looked up: the snapshot that names every file, and the root that names the first keys. */
export interface TargetTree {
  readonly walk: Walk;
  readonly root: Opened<"root">;
  readonly snapshot: Opened<"snapshot">;
}

/** A target as the role in charge of its path lists it. */
export interface FoundTarget {
  readonly role: string;
  readonly file: Opened<"targets">;
  readonly entry: TargetEntry;
}

interface Visit {
  readonly role: string;
  readonly quorum: Quorum;
}

/**
 * Looks a path up: pre-order, depth first, from `targets` down, as TUF 1.0.34 §5.6.7 says; a terminating delegation ends the
 * search. Every file on the way is taken by its snapshot entry. undefined: no role in charge lists the path.
 */
export function findTarget(tree: TargetTree, path: string): FoundTarget | Need | undefined {
  const visited = new Set<string>();
  const stack: Visit[] = [{ role: "targets", quorum: topQuorum(tree.root, "targets") }];
  for (let visit = stack.pop(); visit !== undefined; visit = stack.pop()) {
    if (visited.has(visit.role)) continue;
    visited.add(visit.role);
    requireFew(visit.role, visited.size);
    const file = takeTargets(tree, visit);
    if ("bytesMax" in file) return file;
    const { targets, delegations } = file.signed;
    const entry = Object.hasOwn(targets, path) ? targets[path] : undefined;
    if (entry !== undefined) return { role: visit.role, file, entry };
    const below = (delegations?.roles ?? []).filter((d) =>
      d.paths.some((pattern) => matchesPathPattern(path, pattern)),
    );
    const end = below.findIndex((d) => d.terminating);
    const next = end < 0 ? below : below.slice(0, end + 1);
    if (end >= 0) stack.length = 0;
    stack.push(...visitsOf(file, next).toReversed());
  }
  return undefined;
}

/** Takes every file of the tree, for a look at all of it. The snapshot, which names each, bounds it. */
export function takeWholeTree(tree: TargetTree): Need | undefined {
  const visited = new Set<string>();
  const stack: Visit[] = [{ role: "targets", quorum: topQuorum(tree.root, "targets") }];
  for (let visit = stack.pop(); visit !== undefined; visit = stack.pop()) {
    if (visited.has(visit.role)) continue;
    visited.add(visit.role);
    const file = takeTargets(tree, visit);
    if ("bytesMax" in file) return file;
    stack.push(...visitsOf(file, file.signed.delegations?.roles ?? []).toReversed());
  }
  return undefined;
}

function visitsOf(
  file: Opened<"targets">,
  delegations: readonly ({ readonly name: string } & Quorum["role"])[],
): Visit[] {
  const keys = file.signed.delegations?.keys ?? {};
  return delegations.map((d) => ({
    role: d.name,
    quorum: { keys, role: d, of: `${file.subject} for ${d.name}` },
  }));
}

function requireFew(role: string, visitedCount: number): void {
  if (visitedCount <= DELEGATIONS_MAX) return;
  throw new TrustError("delegations-too-many", {
    subject: role,
    message: `more than ${DELEGATIONS_MAX} delegated roles on the way to one target`,
    mend: "Delegate by narrower paths, with `terminating` where one role is in charge.",
  });
}

/**
 * The file of one targets role. It is judged by the keys of whoever delegates to it on this way, also when another way has
 * taken it before.
 */
function takeTargets(tree: TargetTree, { role, quorum }: Visit): Opened<"targets"> | Need {
  const { walk, snapshot } = tree;
  const taken = walk.targets.get(role);
  if (taken !== undefined) {
    requireQuorum(quorum, taken);
    return taken;
  }
  const name = `${role}.json`;
  const named = Object.hasOwn(snapshot.signed.meta, name) ? snapshot.signed.meta[name] : undefined;
  if (named === undefined)
    throw new TrustError("metadata-missing", {
      subject: name,
      message: `${snapshot.subject} does not name it`,
      mend: "Publish a snapshot that names every delegated role.",
    });
  const stored = reopenStored(walk, "targets", role, quorum);
  const file = `${named.version}.${name}`;
  const isStored = stored !== undefined && walk.tools.sha256(stored.bytes) === named.hashes.sha256;
  const bytesMax = Math.min(named.length, TARGETS_BYTES_MAX);
  const bytes = isStored ? stored.bytes : offered(walk, { file, bytesMax });
  if (!(bytes instanceof Uint8Array)) return bytes;
  requireNamedBytes(walk, file, bytes, named);
  const opened = isStored
    ? { ...stored, subject: file }
    : openMetadata("targets", { subject: file, bytes }, walk.tools);
  requireQuorum(quorum, opened);
  requireNamedVersion(file, opened.signed.version, named);
  if (stored !== undefined) requireNotOlder(file, opened.signed.version, stored.signed.version);
  requireFresh(walk, opened);
  walk.trusted.set(role, bytes);
  walk.targets.set(role, opened);
  return opened;
}
