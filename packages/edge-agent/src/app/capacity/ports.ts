import type { CapacityReading, Inventory } from "@flotilla/shared/model/capacity";

/** Reads the machine. Never throws: what cannot be read is absent, and said once in the log. */
export interface CapacityProbe {
  /** What does not change, and the cards that are there at the start; read once. */
  inventory(): Promise<Inventory>;
  /** One reading of what moves, with the cards when they are others than at the start; rates are over the time since the reading before. */
  read(): Promise<CapacityReading>;
}
