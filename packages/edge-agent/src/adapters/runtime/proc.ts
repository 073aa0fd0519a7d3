import { readdirSync, readFileSync } from "node:fs";
import type { ProcessIdentity } from "../../app/state/ports.ts";

/** Reading of /proc (proc_pid_stat(5), proc_pid_environ(5)). What cannot be read is a process that is gone or not ours. */

/** The fields of /proc/<pid>/stat that tell processes apart. */
export interface ProcessStat {
  readonly pid: number;
  readonly state: string;
  readonly processGroup: number;
  readonly startTicks: number;
}

/** Undefined when there is no such process. */
export function readStat(pid: number): ProcessStat | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, "latin1");
  } catch {
    return undefined;
  }
  return parseStat(pid, text);
}

/** The second field is the program's name in brackets and may hold anything: the rest is counted from the last bracket. */
export function parseStat(pid: number, text: string): ProcessStat | undefined {
  const rest = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const [state, processGroup, startTicks] = [rest[0], Number(rest[2]), Number(rest[19])];
  if (state === undefined || !Number.isInteger(processGroup) || !Number.isInteger(startTicks))
    return undefined;
  return { pid, state, processGroup, startTicks };
}

/** A zombie runs no more; X is what the kernel shows of the dead. */
export function isRunning(stat: ProcessStat): boolean {
  return stat.state !== "Z" && stat.state !== "X";
}

/** The live process of this identity; undefined when its pid is free or another's. */
export function statOf(identity: ProcessIdentity, bootId: string): ProcessStat | undefined {
  if (identity.bootId !== bootId) return undefined;
  const stat = readStat(identity.pid);
  return stat?.startTicks === identity.startTicks && isRunning(stat) ? stat : undefined;
}

/** Pids of all processes. */
export function allPids(): readonly number[] {
  return readdirSync("/proc")
    .map(Number)
    .filter((pid) => Number.isInteger(pid) && pid > 0);
}

/** The variables of a process whose environment holds `marker` as one whole entry; undefined for every other. */
export function environmentWith(
  pid: number,
  marker: string,
): ReadonlyMap<string, string> | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/environ`, "utf8");
  } catch {
    return undefined;
  }
  if (!text.includes(marker)) return undefined;
  const entries = text.split("\0");
  if (!entries.includes(marker)) return undefined;
  return new Map(
    entries.flatMap((entry): [string, string][] => {
      const at = entry.indexOf("=");
      return at <= 0 ? [] : [[entry.slice(0, at), entry.slice(at + 1)]];
    }),
  );
}

/** The kernel's name of this boot. */
export function readBootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}
