import { readFileSync } from "node:fs";
import type { Clock } from "../kernel/clock.ts";

/** Longest delay that a Node timer takes; a longer one would fire at once. */
export const TIMER_MS_MAX: number = 2 ** 31 - 1;

const UPTIME_FILE = "/proc/uptime";

/**
 * The machine's clocks. Boot time is read from /proc/uptime at each call (resolution 10 ms), because CLOCK_MONOTONIC,
 * which `process.hrtime` and every timer go by, stands still while the machine sleeps. Where the file is missing, or once it
 * cannot be read, boot time goes on from the last reading by `process.hrtime`.
 */
export function systemClock(): Clock {
  return clockFrom(readUptimeMs);
}

/** As `systemClock`, with the reader of the boot time given; undefined stands for a machine that does not tell it. */
export function clockFrom(readBootMs: () => number | undefined): Clock {
  let bootMs = readBootMs() ?? monotonicMs();
  let readAtMs = monotonicMs();
  return {
    bootMs: () => {
      const nowMs = monotonicMs();
      bootMs = Math.max(bootMs, readBootMs() ?? bootMs + (nowMs - readAtMs));
      readAtMs = nowMs;
      return bootMs;
    },
    wallMs: () => Date.now(),
    sleep,
  };
}

function readUptimeMs(): number | undefined {
  try {
    const seconds = Number.parseFloat(readFileSync(UPTIME_FILE, "utf8"));
    return Number.isFinite(seconds) ? Math.round(seconds * 1000) : undefined;
  } catch {
    return undefined;
  }
}

function monotonicMs(): number {
  return Number(process.hrtime.bigint() / 1_000_000n);
}

async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  let leftMs = Math.max(0, ms);
  do {
    const partMs = Math.min(leftMs, TIMER_MS_MAX);
    await timer(partMs, signal);
    leftMs -= partMs;
  } while (leftMs > 0);
}

function timer(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      clearTimeout(handle);
      reject(reasonOf(signal));
    };
    const handle = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

function reasonOf(signal: AbortSignal | undefined): Error {
  const reason: unknown = signal?.reason;
  return reason instanceof Error ? reason : new DOMException(String(reason), "AbortError");
}
