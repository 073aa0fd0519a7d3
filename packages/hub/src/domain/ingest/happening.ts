import type { ObjectOf } from "@flotilla/shared/model/kinds";

/** What happened, as an Event of the node, or of one of its instances, tells it. */
export interface NodeHappening {
  /** Absent: it is about the node. */
  readonly assignment?: ObjectOf<"Assignment">;
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
}
