import { setTimeout as realSleep } from "node:timers/promises";
import type { ManualClock } from "@flotilla/shared/testing/manual-clock";

/** Longest real time that a test waits for sockets. */
const REAL_MS_MAX = 40_000;
const TURN_MS = 3;

/**
 * Lets time pass by the manual clock, in steps, while real sockets do their work, until the promise has settled. The result, or the error as a
 * value.
 */
export async function pump<T>(
  clock: ManualClock,
  work: Promise<T>,
  options: { readonly stepMs?: number } = {},
): Promise<T> {
  let isSettled = false;
  const settle = (): void => {
    isSettled = true;
  };
  work.then(settle, settle);
  for (let turn = 0; turn < REAL_MS_MAX / TURN_MS && !isSettled; turn++) {
    await realSleep(TURN_MS);
    await clock.advance(options.stepMs ?? 100);
  }
  if (!isSettled) throw new Error("the work has not come to an end");
  return work;
}

/** The code of the error that something fails with; "none" when it does not. */
export async function failureOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return "none";
  } catch (error) {
    return error instanceof Error && "code" in error ? String(error.code) : String(error);
  }
}
