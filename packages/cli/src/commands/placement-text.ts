import type { Candidate } from "@flotilla/shared/model/resources/edge";
import type { Explanation, PlacementPlan } from "@flotilla/shared/model/what-if";
import { formatTable } from "../output/table.ts";

const PARTS = ["resource", "performance", "cost", "compliance", "topology"] as const;

/** Candidates of a stored decision that are shown. */
const CANDIDATES_SHOWN_MAX = 6;

/** `why`: one instance on one screen. Of one that is placed, the decision; of one that waits, what stands in its way. */
export function explanationText(e: Explanation): string {
  const where =
    e.node === undefined
      ? "waits for a node"
      : `on node ${e.node} of site ${e.site ?? "?"}${e.decidedAt === undefined ? "" : `, decided ${e.decidedAt}`}`;
  return [
    `${e.namespace}/${e.instance}: ${where}\n`,
    e.message === undefined ? "" : `${e.message}\n`,
    `weights: ${PARTS.map((p) => `${p} ${e.weights[p]}`).join(", ")}\n`,
    e.decided === undefined ? "" : decidedText(e, e.decided),
    e.node === undefined ? nowText(e) : driftText(e),
  ].join("");
}

function decidedText(
  e: Explanation,
  { candidates, candidatesOmitted }: NonNullable<Explanation["decided"]>,
): string {
  const fitting = candidates.filter((c) => c.filter === undefined);
  const rejected = candidates.filter((c) => c.filter !== undefined);
  const shown = [...fitting.slice(0, CANDIDATES_SHOWN_MAX), ...rejected].slice(
    0,
    CANDIDATES_SHOWN_MAX * 2,
  );
  const omitted = candidates.length - shown.length + candidatesOmitted;
  if (shown.length === 0) return "";
  const runnerUp = fitting.find((c) => c.node !== e.node);
  const note = (c: Candidate): string =>
    c.node === e.node ? "chosen" : c === runnerUp ? "runner-up" : "";
  return [
    candidateTable(shown, note),
    omitted === 0 ? "" : `(${omitted} more candidates)\n`,
    unknownText(shown),
  ].join("");
}

/** What no score could be made from, and so counts neither for nor against. */
function unknownText(candidates: readonly Candidate[]): string {
  const unknown = new Set(candidates.flatMap((c) => c.unknown ?? []));
  return unknown.size === 0 ? "" : `not known of some, so neutral: ${[...unknown].join(", ")}\n`;
}

/** What is in the way now, and what would help. */
function nowText({ now }: Explanation): string {
  const rows = now.rejections.map((r) => [r.filter, String(r.count), r.node, r.reason]);
  return [
    `now: ${now.fittingCount} of ${now.fittingCount + now.rejectedCount} nodes fit\n`,
    now.candidates.length === 0 ? "" : candidateTable(now.candidates, () => ""),
    rows.length === 0 ? "" : formatTable(["FILTER", "NODES", "FOR EXAMPLE", "REASON"], rows),
    now.wouldFit === undefined ? "" : `what would help: ${now.wouldFit}\n`,
  ].join("");
}

/** Says so when the same decision would come out otherwise today. */
function driftText({ node, now }: Explanation): string {
  if (now.node === undefined || now.node === node) return "";
  return `decided anew it would go to ${now.node}; a running instance stays where it is\n`;
}

function candidateTable(
  candidates: readonly Candidate[],
  note: (candidate: Candidate) => string,
): string {
  return formatTable(
    ["NODE", "SITE", "SCORE", "RESOURCE", "PERF", "COST", "COMPL", "TOPO", "WHY"],
    candidates.map((c) => [
      c.node,
      c.site,
      c.score === undefined ? "-" : c.score.toFixed(3),
      ...PARTS.map((part) => (c.parts === undefined ? "-" : c.parts[part].toFixed(2))),
      c.filter === undefined ? note(c) : `${c.filter}: ${c.reason ?? ""}`,
    ]),
  );
}

/** `plan`: what would become of each instance. */
export function planText(plan: PlacementPlan): string {
  const counts = new Map<string, number>();
  for (const { action } of plan.instances) counts.set(action, (counts.get(action) ?? 0) + 1);
  const summary = [...counts].map(([action, count]) => `${count} ${action}`).join(", ");
  const rows = plan.instances.map((i) => [
    i.name,
    i.action,
    i.from === undefined ? (i.node ?? "-") : `${i.from} → ${i.node ?? "-"}`,
    i.site ?? "-",
    i.score === undefined ? "-" : i.score.toFixed(3),
    i.message ?? "",
  ]);
  return [
    `${plan.namespace}/${plan.application}: ${summary === "" ? "no instances" : summary}\n`,
    ...plan.problems.map((problem) => `problem: ${problem}\n`),
    rows.length === 0
      ? ""
      : formatTable(["INSTANCE", "ACTION", "NODE", "SITE", "SCORE", "MESSAGE"], rows),
    ...plan.evictions.map(({ instance, reason }) => `would evict ${instance}: ${reason}\n`),
  ].join("");
}
