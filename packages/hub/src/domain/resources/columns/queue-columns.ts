import { itemsAt, numberAt, type ServedObject, textAt } from "../api-object.ts";
import {
  AGE,
  type Column,
  column,
  countColumn,
  fieldColumn,
  fraction,
  NAME,
  wide,
} from "./column.ts";

/** `12.5%` of the fleet. */
const percent =
  (field: string) =>
  (object: ServedObject): string | undefined => {
    const share = numberAt(object, "status", field);
    return share === undefined ? undefined : `${Math.round(share * 1_000) / 10}%`;
  };

export const QUEUE_COLUMNS: readonly Column[] = [
  NAME,
  column("Parent", "The queue above.", (o) => textAt(o, "spec", "parent") ?? "root"),
  column(
    "State",
    "Open, Closed, or Closing while something still runs.",
    (o) => textAt(o, "status", "state") ?? textAt(o, "spec", "state") ?? "Open",
  ),
  countColumn("Weight", "Against queues beside it.", (o) => numberAt(o, "spec", "weight") ?? 1),
  column("Share", "Part of the fleet that it has.", percent("share")),
  column("Fair", "Part of the fleet that is fair.", percent("fairShare")),
  countColumn("Running", "Jobs that run.", (o) => numberAt(o, "status", "running") ?? 0),
  countColumn("Pending", "Jobs that wait.", (o) => numberAt(o, "status", "pending") ?? 0),
  AGE,
  wide(fieldColumn("Resource", "Of which it has the greatest part.", "status", "dominantResource")),
  wide(fieldColumn("Reserved For", "Job that room is kept for.", "status", "reservation", "job")),
];

/** Moves that are over, however they ended. */
const MOVES_OVER: readonly unknown[] = ["arrived", "returned", "left", "gone"];

export const MOVE_PLAN_COLUMNS: readonly Column[] = [
  NAME,
  fieldColumn("For", "What waits for the room.", "spec", "job"),
  column("Phase", "How far it is.", (o) => textAt(o, "status", "phase")),
  column("Moves", "Moves that are over, of all.", (o) =>
    fraction(
      itemsAt(o, "status", "moves").filter((m) => MOVES_OVER.includes(m["state"])).length,
      itemsAt(o, "spec", "moves").length,
    ),
  ),
  fieldColumn("Broken-By", "Why it was given up.", "status", "brokenBy"),
  AGE,
  wide(
    column("Rooms", "Nodes that room is made on.", (o) =>
      itemsAt(o, "spec", "rooms")
        .map((room) => textAt(room, "node") ?? "")
        .join(","),
    ),
  ),
];

/** As kubectl shows them against a Kubernetes API. */
export const PRIORITY_CLASS_COLUMNS: readonly Column[] = [
  NAME,
  countColumn("Value", "The greater goes first.", (o) => numberAt(o, "value")),
  column("Global-Default", "Counts for what names no class.", (o) =>
    String(o["globalDefault"] === true),
  ),
  AGE,
  column(
    "PreemptionPolicy",
    "Whether it may evict what has a lower value.",
    (o) => textAt(o, "preemptionPolicy") ?? "PreemptLowerPriority",
  ),
];
