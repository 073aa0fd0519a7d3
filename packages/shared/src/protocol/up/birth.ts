import { type Static, Type } from "typebox";
import { CapacityReading, Inventory } from "../../model/capacity.ts";
import { Measures } from "../../model/measures.ts";
import { ReportedState } from "../../model/reported-state.ts";

/** First message of every session: everything that the hub needs to know of the node. Supersedes all that came before. */
export const Birth = Type.Object({
  protocolVersion: Type.Integer({ minimum: 1 }),
  agentVersion: Type.String({ minLength: 1, maxLength: 64 }),
  /** Kernel boot id (/proc/sys/kernel/random/boot_id): tells a reboot from an agent restart. */
  bootId: Type.String({ minLength: 1, maxLength: 64 }),
  inventory: Inventory,
  reading: CapacityReading,
  reported: ReportedState,
  measures: Type.Optional(Measures),
});
export type Birth = Static<typeof Birth>;
