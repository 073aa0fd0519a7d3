/**
 * A running estimate of the hub's wall clock, made of the `sentAt` of its messages and the device's boot clock: a device
 * without a battery thinks it is 1970, and still has to tell an expired message. A message takes time to come, so each
 * gives a lower bound; the greatest of a session counts. A session begins anew, so that a hub's clock that was set back is followed.
 */
export interface HubTime {
  /** Hub's wall clock less boot clock, milliseconds; undefined before the first message of the session. */
  readonly offsetMs: number | undefined;
}

export const UNKNOWN_HUB_TIME: HubTime = { offsetMs: undefined };

/** The estimate after a message. */
export function withMessage(time: HubTime, sentAtMs: number, bootMs: number): HubTime {
  const offsetMs = sentAtMs - bootMs;
  return time.offsetMs !== undefined && time.offsetMs >= offsetMs ? time : { offsetMs };
}

/** True when the hub's clock is past `expiresAtMs`. Not before there is an estimate. */
export function isExpired(time: HubTime, expiresAtMs: number | undefined, bootMs: number): boolean {
  if (expiresAtMs === undefined || time.offsetMs === undefined) return false;
  return bootMs + time.offsetMs > expiresAtMs;
}
