import { readdirSync, readFileSync } from "node:fs";

/** A process of a workload, as /proc has it. */
export interface WorkloadProcess {
  readonly pid: number;
  readonly instance: string;
  readonly node: string;
  /** Leads its process group: one of these is one copy of a container. */
  readonly leadsGroup: boolean;
}

/**
 * Living processes of an agent's workloads. They outlive the agent on purpose, so nothing but their environment ties them to it.
 */
export function workloadProcesses(agentId: string): readonly WorkloadProcess[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => found(Number(name), agentId));
}

/** kill -9 to every process of an agent's workloads, until there is none. */
export function killWorkloads(agentId: string): void {
  for (let tries = 0; tries < 5; tries++) {
    const left = workloadProcesses(agentId);
    if (left.length === 0) return;
    for (const { pid } of left) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // It has ended by itself.
      }
    }
  }
}

function found(pid: number, agentId: string): readonly WorkloadProcess[] {
  try {
    const environment = new Map(
      readFileSync(`/proc/${pid}/environ`, "utf8")
        .split("\0")
        .map((entry) => [entry.slice(0, entry.indexOf("=")), entry.slice(entry.indexOf("=") + 1)]),
    );
    if (environment.get("FLOTILLA_AGENT") !== agentId) return [];
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const [state, , group] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (state === "Z" || state === "X") return [];
    return [
      {
        pid,
        instance: environment.get("FLOTILLA_INSTANCE") ?? "",
        node: environment.get("FLOTILLA_NODE") ?? "",
        leadsGroup: Number(group) === pid,
      },
    ];
  } catch {
    return [];
  }
}
