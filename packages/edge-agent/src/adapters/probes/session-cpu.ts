import { readdirSync, readFileSync } from "node:fs";
import type { CpuTimeProbe } from "../../app/usage/ports.ts";

/** Clock ticks of /proc/<pid>/stat in a second: USER_HZ, 100 on every architecture that Node runs on. */
const TICKS_PER_SECOND = 100;
const MS_PER_TICK = 1_000 / TICKS_PER_SECOND;

/**
 * CPU time from /proc/<pid>/stat (proc_pid_stat(5)). Each container leads a session of its own; counted are all processes of
 * that session and the children that they have waited for. A child that opened another session is not counted.
 */
export class SessionCpu implements CpuTimeProbe {
  read(leaders: ReadonlySet<number>): ReadonlyMap<number, number> {
    const times = new Map<number, number>();
    for (const name of readdirSync("/proc")) {
      if (!/^[1-9][0-9]*$/.test(name)) continue;
      const { session, ticks } = timesOf(name) ?? { session: 0, ticks: 0 };
      if (leaders.has(session)) times.set(session, (times.get(session) ?? 0) + ticks * MS_PER_TICK);
    }
    return times;
  }
}

function timesOf(pid: string): { readonly session: number; readonly ticks: number } | undefined {
  try {
    return parseTimes(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch {
    // It has ended since the folder was listed.
    return undefined;
  }
}

/** Session (field 6), and utime, stime, cutime and cstime (14 to 17) together. */
export function parseTimes(
  text: string,
): { readonly session: number; readonly ticks: number } | undefined {
  const rest = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const session = Number(rest[3]);
  const ticks = rest.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
  return Number.isInteger(session) && Number.isFinite(ticks) ? { session, ticks } : undefined;
}
