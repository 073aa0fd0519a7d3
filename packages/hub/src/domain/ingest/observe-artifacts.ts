import type { ReportedArtifact } from "@flotilla/shared/model/artifact";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { type Condition, withCondition } from "@flotilla/shared/model/metadata";
import type { ReportedState } from "@flotilla/shared/model/reported-state";
import type { NodeHappening } from "./happening.ts";

type Assignment = ObjectOf<"Assignment">;

/** Condition of a node that refuses what it was asked to install, by the metadata that it goes by. */
export const TRUST_REFUSED = "TrustRefused";

/** Conditions after a report: TrustRefused is True while a refusal stands, and False once one has been resolved. */
export function withTrust(
  conditions: Condition[] | undefined,
  { artifacts }: ReportedState,
  nowIso: string,
): Condition[] | undefined {
  const refusal = artifacts?.trust?.refusal;
  if (refusal !== undefined)
    return withCondition(
      conditions,
      {
        type: TRUST_REFUSED,
        status: "True",
        reason: conditionReason(refusal.code),
        message: `${refusal.code}: ${refusal.subject}: ${refusal.message}`,
      },
      nowIso,
    );
  if (conditions?.some((c) => c.type === TRUST_REFUSED && c.status === "True") !== true)
    return conditions;
  return withCondition(
    conditions,
    { type: TRUST_REFUSED, status: "False", reason: "Accepted", message: "nothing is refused" },
    nowIso,
  );
}

/** A refusal that is new, or another one. */
export function trustHappening(
  before: ObjectOf<"EdgeNode">,
  after: ObjectOf<"EdgeNode">,
): readonly NodeHappening[] {
  const [old, now] = [before, after].map((n) =>
    n.status?.conditions?.find((c) => c.type === TRUST_REFUSED && c.status === "True"),
  );
  return now === undefined || now.message === old?.message
    ? []
    : [{ type: "Warning", reason: TRUST_REFUSED, message: now.message }];
}

/** Artifacts of instances that were rolled back, or cannot be installed, since the node last told. */
export function artifactHappenings(
  before: readonly Assignment[],
  changed: readonly Assignment[],
): readonly NodeHappening[] {
  const old = new Map(before.map((a) => [a.metadata.uid, a]));
  return changed.flatMap((assignment) => {
    const known = reportedOf(old.get(assignment.metadata.uid));
    return reportedOf(assignment).flatMap((artifact): readonly NodeHappening[] => {
      const same = known.find((k) => k.name === artifact.name && k.version === artifact.version);
      const text = setbackOf(artifact);
      return text === undefined || same?.phase === artifact.phase
        ? []
        : [{ assignment, type: "Warning", ...text }];
    });
  });
}

function reportedOf(assignment: Assignment | undefined): readonly ReportedArtifact[] {
  return assignment?.status?.reported?.artifacts ?? [];
}

function setbackOf({
  name,
  version,
  phase,
  activeVersion,
  reason,
  message,
}: ReportedArtifact): Pick<NodeHappening, "reason" | "message"> | undefined {
  const why = message ?? reason ?? "no reason was told";
  const kept = activeVersion === undefined ? "nothing" : activeVersion;
  if (phase === "RolledBack")
    return {
      reason: "ArtifactRolledBack",
      message: `${name} ${version} did not work and ${kept} is active again: ${why}`,
    };
  if (phase !== "Failed") return undefined;
  return {
    reason: "ArtifactFailed",
    message: `${name} ${version} cannot be installed, ${kept} stays: ${why}`,
  };
}

/** `metadata-expired` → `MetadataExpired`, as reasons of conditions are written. */
function conditionReason(code: string): string {
  const word = code
    .split(/[^A-Za-z0-9]+/)
    .map((part) => part.charAt(0).toUpperCase() + part.slice(1))
    .join("");
  return word === "" ? "Refused" : word;
}
