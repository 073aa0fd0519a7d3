import type { ReplicaScheduling, SpreadConstraint } from "../../model/resources/placement.ts";

/** The first of the two levels: how many replicas of a component go to which site or cluster. Pure data. */

/** One site or cluster as a division sees it: it has passed the filters, or has replicas already. */
export interface DivisionCandidate {
  readonly name: string;
  readonly kind: "site" | "cluster";
  readonly labels: Readonly<Record<string, string>>;
  readonly region?: string;
  readonly provider?: string;
  /** How many more replicas fit, beside those that it has. */
  readonly available: number;
  /** Replicas that it has and that may stay. */
  readonly existing: number;
  /** What a move away costs, in misplaced replicas (see `rebalance`); absent: MOVE_PRICE_DEFAULT. */
  readonly movePrice?: number;
}

/** How the replicas are to be shared out. */
export interface DivisionRules {
  readonly scheduling?: ReplicaScheduling;
  readonly spreadConstraints: readonly SpreadConstraint[];
}

export interface DivisionInput {
  /** Each name once. */
  readonly candidates: readonly DivisionCandidate[];
  /** Divided: of all candidates together. Duplicated: of each. */
  readonly replicas: number;
  readonly rules: DivisionRules;
}

/** What goes where, and why. */
export interface Division {
  /** Replicas that each candidate takes; every candidate is named. */
  readonly bySite: ReadonlyMap<string, number>;
  /** Of each candidate, why it has so many. */
  readonly reasons: ReadonlyMap<string, string>;
  /** Replicas for which there is no room now. */
  readonly unplaced: number;
  /** Where those wait: the candidates that would get them if they had room. Empty when nobody may take them. */
  readonly waitingBySite: ReadonlyMap<string, number>;
  /** Rules that could not be kept, each as one sentence. */
  readonly problems: readonly string[];
}

/** A candidate with numbers that may decide: whole, finite, not negative. */
export interface Counted {
  readonly candidate: DivisionCandidate;
  readonly name: string;
  readonly existing: number;
  /** Most replicas that it can have. */
  readonly room: number;
  readonly weight: number;
}
