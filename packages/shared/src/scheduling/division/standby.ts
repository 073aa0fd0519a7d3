import { amount } from "../facts.ts";

/** One candidate of an ActiveStandby distribution. */
export interface StandbyCandidate {
  readonly name: string;
  /** `healthy`: a node of it is heard of and takes work. `away`: none is, but not for good yet. `lost`: given up. */
  readonly health: "healthy" | "away" | "lost";
}

export interface StandbyInput {
  /** In order of preference: the first healthy one is active at the beginning. */
  readonly candidates: readonly StandbyCandidate[];
  /** Who is active; absent: nobody was yet. */
  readonly active?: string;
  /** Since when an earlier candidate has been healthy without a break, milliseconds; absent: it is not. */
  readonly stableSinceMs?: number;
  /** How long that must last before going back; absent: back on demand only. */
  readonly failbackAfterMs?: number;
  /** Somebody asks to go back now. */
  readonly isDemanded: boolean;
  readonly nowMs: number;
}

export interface Standby {
  /** Absent: no candidate is healthy and none was active. */
  readonly active?: string;
  readonly stableSinceMs?: number;
  readonly reason: string;
}

/**
 * Who has the replicas. The active one keeps them until it is lost (a cut that may still end moves nothing) or is no candidate
 * any more; then the first healthy one takes over. Back to an earlier one only on demand, or when that has been healthy for
 * `failbackAfterMs` without a break.
 */
export function chooseActive(input: StandbyInput): Standby {
  const { candidates, active, nowMs } = input;
  const first = candidates.find((c) => c.health === "healthy");
  const present = candidates.find((c) => c.name === active);
  if (present === undefined || present.health === "lost") {
    if (first !== undefined)
      return {
        active: first.name,
        reason:
          active === undefined
            ? `${first.name} is the first healthy candidate`
            : `${active} is ${present === undefined ? "no candidate any more" : "lost"}; ${first.name} takes over`,
      };
    return present === undefined
      ? { reason: "no candidate is healthy" }
      : { active: present.name, reason: `${present.name} is lost, and no candidate is healthy` };
  }
  const stays = { active: present.name };
  const isEarlier = first !== undefined && candidates.indexOf(first) < candidates.indexOf(present);
  if (!isEarlier) return { ...stays, reason: `${present.name} is active` };
  if (input.isDemanded) return { active: first.name, reason: `back to ${first.name} on demand` };
  const since = Math.min(nowMs, input.stableSinceMs ?? nowMs);
  const healthyMs = amount(nowMs - since);
  if (input.failbackAfterMs !== undefined && healthyMs >= input.failbackAfterMs)
    return {
      active: first.name,
      reason: `back to ${first.name}, which has been healthy long enough`,
    };
  return {
    ...stays,
    stableSinceMs: since,
    reason: `${present.name} is active; ${first.name} is healthy again and comes back ${input.failbackAfterMs === undefined ? "on demand" : "once it has been so long enough"}`,
  };
}
