import { formatBytes } from "@flotilla/shared/kernel/quantity";
import { numberAt, type ServedObject } from "../api-object.ts";
import {
  AGE,
  type Column,
  column,
  conditionOf,
  countColumn,
  fieldColumn,
  NAME,
  wide,
} from "./column.ts";

const bytes = (object: ServedObject): string | undefined => {
  const count = numberAt(object, "status", "bytes");
  return count === undefined ? undefined : shortBytes(count);
};

export const ARTIFACT_COLUMNS: readonly Column[] = [
  NAME,
  fieldColumn("Format", "What its files are.", "spec", "format"),
  countColumn("Releases", "How many there are.", (o) => numberAt(o, "status", "releases") ?? 0),
  fieldColumn("Latest", "Version of the highest counter.", "status", "latestVersion"),
  column("Size", "Of all releases, each content once.", bytes),
  AGE,
  wide(fieldColumn("Description", "What it is.", "spec", "description")),
];

export const RELEASE_COLUMNS: readonly Column[] = [
  NAME,
  fieldColumn("Artifact", "What it is a release of.", "spec", "artifact"),
  fieldColumn("Version", "Semantic version.", "spec", "version"),
  countColumn("Counter", "Grows with every release of the artifact.", (o) =>
    numberAt(o, "spec", "counter"),
  ),
  column("Stored", "Whether the hub has all its files.", (o) => conditionOf(o, "Stored")),
  column("Signed", "Whether published trust metadata lists all its files.", (o) =>
    conditionOf(o, "Signed"),
  ),
  column("Size", "Of its files.", bytes),
  countColumn("Held-By", "Nodes that have it.", (o) => numberAt(o, "status", "heldBy") ?? 0),
  countColumn("Active", "Instances that run with it.", (o) => numberAt(o, "status", "active") ?? 0),
  AGE,
  wide(
    countColumn(
      "Rolled-Back",
      "Instances that went back from it.",
      (o) => numberAt(o, "status", "rolledBack") ?? 0,
    ),
  ),
];

/** `14Mi`: rounded to whole units. */
function shortBytes(count: number): string {
  let unit = 1;
  while (count / unit >= 10_240) unit *= 1_024;
  return formatBytes(Math.round(count / unit) * unit);
}
