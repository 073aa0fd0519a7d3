import type { ReportedArtifact } from "@flotilla/shared/model/artifact";
import type { ObjectOf } from "@flotilla/shared/model/kinds";

type Assignment = ObjectOf<"Assignment">;

/** What nodes say of the artifacts of instances, compared with what they were asked for. */

/** True when every artifact that the instance is to have is active on it, in the version that is asked for. */
export function hasItsArtifacts({ spec, status }: Assignment): boolean {
  const reported = status?.reportedBy === spec.node ? (status?.reported?.artifacts ?? []) : [];
  return (spec.desired.artifacts ?? []).every(({ name, version }) =>
    reported.some((r) => r.name === name && r.version === version && r.phase === "Active"),
  );
}

/** How an instance got no further with a version that it was asked to have: it went back, or could not install it. */
export function setbacksOf({ spec, status }: Assignment): readonly ReportedArtifact[] {
  if (status?.reportedBy !== spec.node) return [];
  const wanted = new Map((spec.desired.artifacts ?? []).map((a) => [a.name, a.version]));
  return (status?.reported?.artifacts ?? []).filter(
    (r) => (r.phase === "RolledBack" || r.phase === "Failed") && wanted.get(r.name) === r.version,
  );
}

/** The setback that most instances share, in words: `2 of 10 instances rolled detector back to 2.2.0: …`; undefined without one. */
export function setbackText(assignments: readonly Assignment[]): string | undefined {
  const groups = Map.groupBy(
    assignments.flatMap((a) => setbacksOf(a)),
    (s) => `${s.phase} ${s.name} ${s.version} ${s.activeVersion ?? ""}`,
  );
  const [most] = [...groups.values()].toSorted((a, b) => b.length - a.length);
  const example = most?.[0];
  if (most === undefined || example === undefined) return undefined;
  const { name, version, phase, activeVersion, reason, message } = example;
  const counted = `${most.length} of ${assignments.length} instances`;
  const back = activeVersion === undefined ? "" : ` to ${activeVersion}`;
  const what =
    phase === "RolledBack"
      ? `rolled ${name} back${back}`
      : `cannot install ${name} ${version}${activeVersion === undefined ? "" : ` and stay on ${activeVersion}`}`;
  const why = message ?? reason;
  return why === undefined ? `${counted} ${what}` : `${counted} ${what}: ${why}`;
}
