import type {
  LocalArtifacts,
  LocalLock,
  LocalPlan,
  LocalStatus,
  LocalWhy,
} from "../app/local-api/ports.ts";

/** Answers of the local socket as text for people. */

/** One line of facts, then one line an instance. */
export function statusText(status: LocalStatus): string {
  const head = [
    `node ${status.nodeId}, agent ${status.agentVersion} (pid ${status.pid})`,
    `hub: ${status.link.connected ? "connected" : "not connected"}${status.link.detail === "" ? "" : `, ${status.link.detail}`}; ${status.outboxCount} messages wait`,
    `desired state ${status.acceptedRevision}, carried out ${status.convergedRevision}`,
    ...status.locks.map(lockText),
  ];
  const rows = status.instances.map((i) => [
    i.id,
    i.phase,
    i.ready ? "yes" : "no",
    String(i.restartCount),
    i.pid === undefined ? "-" : String(i.pid),
    [i.reason, i.message].filter((part) => part !== undefined).join(": "),
  ]);
  const table = columns([["INSTANCE", "PHASE", "READY", "RESTARTS", "PID", "WHY"], ...rows]);
  return `${head.join("\n")}\n${rows.length === 0 ? "nothing runs here" : table}\n`;
}

/** `updates of ID are locked by an operator until TIME: REASON`. */
export function lockText({ by, instance, reason, until }: LocalLock): string {
  const who = by === "operator" ? "an operator" : "the workload";
  const whose = instance === undefined ? "updates are" : `updates of ${instance} are`;
  return `${whose} locked by ${who} until ${until}: ${reason}`.replaceAll(/\p{Cc}/gu, " ");
}

/** One line for the node, one line an artifact, one line for each set that is not tried again. */
export function artifactsText({ instances, node }: LocalArtifacts): string {
  const { bytes = 0, held = [], trust } = node ?? {};
  const head = [
    `${held.length} releases lie here, ${Math.ceil(bytes / 1024)} KiB`,
    ...(trust === undefined
      ? []
      : [
          `trusted root ${trust.rootVersion}, ${trust.isAttested ? "time attested" : "time not attested"}`,
          ...(trust.refusal === undefined
            ? []
            : [`refused: ${trust.refusal.subject}: ${trust.refusal.message}`]),
        ]),
  ];
  const rows = instances.flatMap(({ artifacts, id }) =>
    artifacts.map((a) => [
      id,
      a.name,
      a.version,
      a.percent === undefined ? a.phase : `${a.phase} ${a.percent} %`,
      a.activeVersion ?? "-",
      [a.reason, a.message].filter((part) => part !== undefined).join(": "),
    ]),
  );
  const titles = ["INSTANCE", "ARTIFACT", "WANTED", "PHASE", "ACTIVE", "WHY"];
  const failed = instances.flatMap(({ failed: sets, id }) =>
    sets.map(
      (f) => `${id}: ${f.releases} failed at ${f.failedAt} (${f.reason}) and is not tried again`,
    ),
  );
  const table = rows.length === 0 ? "no instance here has artifacts" : columns([titles, ...rows]);
  return `${[...head, table, ...failed].join("\n")}\n`;
}

/** One line a step. */
export function planText(plan: LocalPlan): string {
  if (plan.steps.length === 0)
    return `nothing to do: this node is as desired state ${plan.acceptedRevision} says\n`;
  const rows = plan.steps.map((s) => [
    s.instance,
    s.step,
    s.waitMs === undefined ? "-" : `${Math.ceil(s.waitMs / 1000)} s`,
    s.message,
  ]);
  return `${columns([["INSTANCE", "STEP", "IN", "WHY"], ...rows])}\n`;
}

/** The story of one instance. */
export function whyText(why: LocalWhy): string {
  const processes = why.processes.map((p) => `${p.container} (pid ${p.pid})`).join(", ");
  return [
    why.instance.id,
    ...why.because.map((sentence) => `  ${sentence}`),
    ...(processes === "" ? [] : [`  processes: ${processes}`]),
    "",
  ].join("\n");
}

/** Pads all but the last column; ids, phases and numbers are ASCII. */
function columns(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, c) => Math.max(...rows.map((r) => (r[c] ?? "").length)));
  return rows
    .map((r) =>
      r
        .map((cell, c) => (c === r.length - 1 ? cell : cell.padEnd(widths[c] ?? 0)))
        .join("  ")
        .trimEnd(),
    )
    .map((line) => line.replaceAll(/\p{Cc}/gu, " "))
    .join("\n");
}
