/** What the CPU use of an instance is measured from, and when it is worth telling. */

/** Two values of an instance's CPU use that are closer are told as one: thousandths of a core … */
export const CPU_STEP_MILLI = 50;
/** … or this part of the value told before, whichever is more. */
export const CPU_STEP_RATIO = 0.1;

/** One reading: CPU time of the processes of an instance's run, summed. */
export interface CpuSample {
  /** Names the run: a restart begins anew. */
  readonly runId: string;
  readonly cpuMs: number;
  readonly bootMs: number;
}

/** What is known of one instance. */
export interface CpuUse {
  readonly sample: CpuSample;
  /** What was last told; absent: nothing yet. */
  readonly milliCpu?: number;
}

/** The use after one more reading. A new run, a clock that stood still or a sum that fell (a process left) only begins anew. */
export function nextCpuUse(before: CpuUse | undefined, sample: CpuSample): CpuUse {
  const told = before?.milliCpu;
  const keep: CpuUse = { sample, ...(told === undefined ? {} : { milliCpu: told }) };
  if (before === undefined) return keep;
  if (before.sample.runId !== sample.runId) return { sample };
  const elapsedMs = sample.bootMs - before.sample.bootMs;
  const usedMs = sample.cpuMs - before.sample.cpuMs;
  if (!(elapsedMs > 0) || !(usedMs >= 0)) return keep;
  const milliCpu = Math.round((usedMs / elapsedMs) * 1000);
  if (!Number.isSafeInteger(milliCpu)) return keep;
  return told !== undefined && !hasMoved(told, milliCpu) ? keep : { sample, milliCpu };
}

function hasMoved(told: number, now: number): boolean {
  return Math.abs(now - told) >= Math.max(CPU_STEP_MILLI, told * CPU_STEP_RATIO);
}
