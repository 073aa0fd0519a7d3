import { type Static, Type } from "typebox";
import { Candidate, ScoreParts } from "./resources/edge.ts";

/** Answers of the hub to "why?" and "what if?": made when asked for, never stored. */

/** Nodes that one filter rejected. */
export const Rejections = Type.Object({
  filter: Type.String(),
  count: Type.Integer(),
  /** The first of them, and what it was told. */
  node: Type.String(),
  reason: Type.String(),
});
export type Rejections = Static<typeof Rejections>;

/**
 * Why one instance is where it is, or waits. `decided` is what was stored when it was placed; `now` is how the same request
 * would be decided at this moment, its own room counted as free.
 */
export const Explanation = Type.Object({
  apiVersion: Type.Literal("scheduling.kurator.dev/v1alpha1"),
  kind: Type.Literal("Explanation"),
  instance: Type.String(),
  namespace: Type.String(),
  application: Type.String(),
  component: Type.String(),
  /** Absent: it waits. */
  node: Type.Optional(Type.String()),
  site: Type.Optional(Type.String()),
  decidedAt: Type.Optional(Type.String()),
  message: Type.Optional(Type.String()),
  weights: ScoreParts,
  decided: Type.Optional(
    Type.Object({
      score: Type.Optional(Type.Number()),
      parts: Type.Optional(ScoreParts),
      candidates: Type.Array(Candidate),
      candidatesOmitted: Type.Integer(),
    }),
  ),
  now: Type.Object({
    node: Type.Optional(Type.String()),
    fittingCount: Type.Integer(),
    rejectedCount: Type.Integer(),
    /** The best that fit. */
    candidates: Type.Array(Candidate),
    /** Most frequent first. */
    rejections: Type.Array(Rejections),
    /** What would make it fit; only where nothing fits. */
    wouldFit: Type.Optional(Type.String()),
  }),
});
export type Explanation = Static<typeof Explanation>;

/** What would become of one instance. */
export const PlannedInstance = Type.Object({
  name: Type.String(),
  component: Type.String(),
  action: Type.Union([
    Type.Literal("place"),
    Type.Literal("keep"),
    Type.Literal("update"),
    Type.Literal("move"),
    Type.Literal("remove"),
    Type.Literal("wait"),
  ]),
  /** Where it would be; of one that is removed, where it is. */
  node: Type.Optional(Type.String()),
  site: Type.Optional(Type.String()),
  /** Where it is now; only when it moves. */
  from: Type.Optional(Type.String()),
  score: Type.Optional(Type.Number()),
  message: Type.Optional(Type.String()),
});
export type PlannedInstance = Static<typeof PlannedInstance>;

/** What applying an Application would do to its instances, at this moment. */
export const PlacementPlan = Type.Object({
  apiVersion: Type.Literal("scheduling.kurator.dev/v1alpha1"),
  kind: Type.Literal("PlacementPlan"),
  namespace: Type.String(),
  application: Type.String(),
  instances: Type.Array(PlannedInstance),
  /** What stands in the way of whole components. */
  problems: Type.Array(Type.String()),
  /** Instances of others that would have to go. */
  evictions: Type.Array(Type.Object({ instance: Type.String(), reason: Type.String() })),
});
export type PlacementPlan = Static<typeof PlacementPlan>;
