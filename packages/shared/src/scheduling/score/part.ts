/** What every part of a score keeps to: a number in [0, 1], and NEUTRAL where nothing is known. */

/** What an unknown counts as: neither for nor against. */
export const NEUTRAL = 0.5;

/** A part that may decide: within [0, 1], and NEUTRAL where it is no number. */
export function unit(value: number): number {
  return Number.isFinite(value) ? Math.min(1, Math.max(0, value)) : NEUTRAL;
}

/** True for a price, a load or the like that may decide: finite and not negative. */
export function isKnown(value: number | undefined): value is number {
  return value !== undefined && Number.isFinite(value) && value >= 0;
}

/** True for a measurement that may decide. A round trip takes time and a disk writes something: 0 is a fault of who measured. */
export function isMeasured(value: number | undefined): value is number {
  return isKnown(value) && value > 0;
}
