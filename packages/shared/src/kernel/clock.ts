/**
 * Time as a port. Only adapters read real clocks; everything else gets one of these, or a number.
 */
export interface Clock {
  /** Milliseconds since boot, counted on through suspend (CLOCK_BOOTTIME). The only base for leases and time-outs. */
  bootMs(): number;
  /** Milliseconds since 1970 by the wall clock. May jump either way; for display and for messages, never for a lease. */
  wallMs(): number;
  /** Resolves after `ms`. Rejects with the signal's reason when aborted first. Any length is allowed (timers of more than 2^31-1 ms are split). */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}
