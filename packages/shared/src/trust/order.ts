import { WANTED_TARGETS_MAX } from "./limits.ts";
import { TrustError, type TrustErrorCode } from "./refusal.ts";
import type { InstalledRelease, Order, Self, TrustedTarget, WantedFile } from "./state.ts";
import { type FoundTarget, findTarget, type TargetTree } from "./targets.ts";
import type { Need } from "./walk.ts";

/** A wanted file beside what was released under its path. */
interface Match {
  readonly wanted: WantedFile;
  readonly found: FoundTarget;
}

/**
 * What of an order may be installed: all of it, when each file was released with this length and digest for this hardware,
 * each artifact is wanted whole and in one release, and none goes back without a rule. A Need where a file is missing; throws
 * TrustError otherwise.
 */
export function agree(
  tree: TargetTree,
  order: { readonly wanted: Order; readonly self: Self },
): readonly TrustedTarget[] | Need {
  const { wanted, self } = order;
  requireAddressed(tree, wanted, self);
  const matches: Match[] = [];
  for (const file of wanted.files) {
    const found = findTarget(tree, file.path);
    if (found !== undefined && "bytesMax" in found) return found;
    matches.push({ wanted: file, found: requireReleased(file, found, self) });
  }
  for (const [artifact, files] of releasesOf(matches)) {
    const need = requireWhole(tree, files, self) ?? requireNoRollback(tree, artifact, files);
    if (need !== undefined) return need;
  }
  const rootVersion = tree.root.signed.version;
  return matches.map(({ wanted: { path, length, sha256 }, found: { role, file, entry } }) => ({
    path,
    length,
    sha256,
    custom: entry.custom,
    role,
    rootVersion,
    targetsVersion: file.signed.version,
  }));
}

function requireAddressed({ walk }: TargetTree, wanted: Order, self: Self): void {
  if (wanted.files.length > WANTED_TARGETS_MAX)
    throw refuse(
      "order-too-large",
      "order",
      `${wanted.files.length} files, at most ${WANTED_TARGETS_MAX}`,
    );
  if (wanted.nodeId !== self.nodeId)
    throw refuse(
      "order-for-other-node",
      "order",
      `for node ${wanted.nodeId}, this is ${self.nodeId}`,
    );
  const seen = walk.stored.orderRevision;
  if (wanted.revision < seen || !Number.isSafeInteger(wanted.revision))
    throw refuse(
      "order-rolled-back",
      "order",
      `revision ${wanted.revision}, ${seen} was followed before`,
    );
}

function requireReleased(
  wanted: WantedFile,
  found: FoundTarget | undefined,
  self: Self,
): FoundTarget {
  if (found === undefined)
    throw refuse(
      "target-not-released",
      wanted.path,
      "no role in charge of this path has released it",
    );
  const { entry } = found;
  if (entry.hashes.sha256 !== wanted.sha256 || entry.length !== wanted.length)
    throw refuse(
      "target-disagrees",
      wanted.path,
      "wanted with another digest or length than was released",
    );
  if (!isFor(self, entry.custom.hardwareIds))
    throw refuse(
      "target-wrong-hardware",
      wanted.path,
      `for ${entry.custom.hardwareIds?.join(", ")}, this is ${self.hardwareId}`,
    );
  return found;
}

function isFor(self: Self, hardwareIds: readonly string[] | undefined): boolean {
  return hardwareIds === undefined || hardwareIds.includes(self.hardwareId);
}

function releasesOf(matches: readonly Match[]): ReadonlyMap<string, readonly Match[]> {
  const parts = matches.filter((m) => m.found.entry.custom.isDelta !== true);
  return Map.groupBy(parts, (m) => m.found.entry.custom.artifact);
}

/** One release of the artifact, and every file of it that is for this hardware. */
function requireWhole(tree: TargetTree, files: readonly Match[], self: Self): Need | undefined {
  const [first, ...others] = files;
  if (first === undefined) return undefined;
  const { artifact, releaseCounter } = first.found.entry.custom;
  const other = others.find((m) => m.found.entry.custom.releaseCounter !== releaseCounter);
  if (other !== undefined)
    throw refuse(
      "release-mixed",
      artifact,
      `${first.wanted.path} is of release ${releaseCounter}, ${other.wanted.path} of ${other.found.entry.custom.releaseCounter}`,
    );
  const wanted = new Set(files.map((m) => m.wanted.path));
  const sources = new Map(files.map((m) => [m.found.role, m.found.file]));
  for (const [role, file] of sources)
    for (const [path, { custom }] of Object.entries(file.signed.targets)) {
      const isPart = custom.artifact === artifact && custom.releaseCounter === releaseCounter;
      if (!isPart || custom.isDelta === true || wanted.has(path)) continue;
      if (!isFor(self, custom.hardwareIds)) continue;
      const found = findTarget(tree, path);
      if (found !== undefined && "bytesMax" in found) return found;
      if (found?.role === role)
        throw refuse(
          "release-partial",
          artifact,
          `release ${releaseCounter} without its file ${path}`,
        );
    }
  return undefined;
}

/** An artifact goes back only as far as the newest release that this node ever had allows by its signed `rollbackTo`. */
function requireNoRollback(
  tree: TargetTree,
  artifact: string,
  files: readonly Match[],
): Need | undefined {
  const newest = tree.walk.stored.installed.get(artifact);
  const counter = files[0]?.found.entry.custom.releaseCounter;
  if (newest === undefined || counter === undefined || counter >= newest.releaseCounter)
    return undefined;
  const rule = findTarget(tree, newest.path);
  if (rule !== undefined && "bytesMax" in rule) return rule;
  if (allows(rule, artifact, newest, counter)) return undefined;
  throw refuse(
    "release-rolled-back",
    artifact,
    `release ${counter}, and this node has had ${newest.releaseCounter}`,
  );
}

function allows(
  rule: FoundTarget | undefined,
  artifact: string,
  newest: InstalledRelease,
  counter: number,
): boolean {
  if (rule === undefined) return false;
  const { custom } = rule.entry;
  const isOfNewest =
    custom.artifact === artifact && custom.releaseCounter === newest.releaseCounter;
  return isOfNewest && custom.rollbackTo !== undefined && custom.rollbackTo <= counter;
}

const MENDS = {
  "order-too-large": "Split the artifacts of this node into fewer or larger files.",
  "order-for-other-node":
    "Look at what stands between hub and node; a node is given its own state only.",
  "order-rolled-back":
    "Nothing to do: the hub's newer state is on its way. If not, the hub was restored from a backup.",
  "target-not-released":
    "Release the file (`flotilla trust sign --role releases --target …`), or take it out of the Application.",
  "target-disagrees":
    "Release the new bytes under a new path; if nobody changed them, take the hub's keys for stolen.",
  "target-wrong-hardware":
    "Place the component on hardware that the release is for, or release it for this one.",
  "release-partial":
    "Want every file of the release, or release what belongs together under another artifact.",
  "release-mixed": "Want the files of one release.",
  "release-rolled-back":
    "Sign the newer release again with `--rollback-to`, if going back is meant; else somebody serves an old version.",
} as const satisfies Partial<Record<TrustErrorCode, string>>;

function refuse(code: keyof typeof MENDS, subject: string, message: string): TrustError {
  return new TrustError(code, { subject, message, mend: MENDS[code] });
}
