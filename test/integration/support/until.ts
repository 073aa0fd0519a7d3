import { messageOf } from "@flotilla/shared/kernel/errors";

const POLL_MS = 50;
/** Longest wait for one thing to come true: generous, since the machine may be busy. */
const UNTIL_TIMEOUT_MS = 60_000;

/** Polls until `check` answers something else than undefined or false. A failure names what was waited for and what was seen last. */
export async function until<T>(
  what: string,
  check: () => Promise<T | undefined | false> | T | undefined | false,
  options: { readonly timeoutMs?: number; readonly seen?: () => unknown } = {},
): Promise<T> {
  const timeoutMs = options.timeoutMs ?? UNTIL_TIMEOUT_MS;
  const deadlineMs = performance.now() + timeoutMs;
  let last = "";
  while (performance.now() < deadlineMs) {
    try {
      const value = await check();
      if (value !== undefined && value !== false) return value;
      last = "";
    } catch (error) {
      last = `; last failure: ${messageOf(error)}`;
    }
    await sleep(POLL_MS);
  }
  const seen = options.seen === undefined ? "" : `; seen: ${JSON.stringify(options.seen())}`;
  throw new Error(`waited ${timeoutMs / 1000} s for ${what}${last}${seen}`);
}

/** Passes time on purpose: a moment at which to do harm, never a wait for something to have happened. */
export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
