import { type Static, Type } from "typebox";
import { CapacityReading } from "../../model/capacity.ts";
import { Measures } from "../../model/measures.ts";
import { ReportedState } from "../../model/reported-state.ts";

/** Heartbeat. Carries only what moved since the last report; an empty one renews the lease. */
export const Report = Type.Object({
  reading: Type.Optional(CapacityReading),
  reported: Type.Optional(ReportedState),
  measures: Type.Optional(Measures),
});
export type Report = Static<typeof Report>;
