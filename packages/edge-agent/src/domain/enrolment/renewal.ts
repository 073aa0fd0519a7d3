/** When a certificate is renewed. By the wall clock, which certificates are dated by; a device that thinks it is 1970 renews when the hub refuses it. */

/** Share of a certificate's life after which it is renewed. */
export const RENEW_AFTER_RATIO = 0.5;
/** Share of the life over which a fleet that was enrolled on one day spreads its renewals. */
export const RENEW_SPREAD_RATIO = 0.1;

export interface CertificateTimes {
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** Wall clock of the renewal. `jitter` is uniform in [0, 1), drawn once per certificate. */
export function renewalAtMs(times: CertificateTimes, jitter: number): number {
  const lifeMs = times.notAfterMs - times.notBeforeMs;
  return times.notBeforeMs + lifeMs * (RENEW_AFTER_RATIO + RENEW_SPREAD_RATIO * jitter);
}
