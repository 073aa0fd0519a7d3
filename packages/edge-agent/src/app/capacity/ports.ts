import type { CapacityReading, Inventory } from "@flotilla/shared/model/capacity";

/** Reads the machine. Never throws: what cannot be read is absent, and said once in the log. */
export interface CapacityProbe {
  /** What does not change; read once at start. */
  inventory(): Promise<Inventory>;
  /** One reading of what moves; rates are over the time since the reading before. */
  read(): Promise<CapacityReading>;
}
