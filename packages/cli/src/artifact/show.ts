import { formatBytes } from "@flotilla/shared/kernel/quantity";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { releaseName } from "@flotilla/shared/model/resources/artifact";
import { resourcePath } from "../client/api-client.ts";
import { conditionTable, heading } from "../commands/describe.ts";
import { find, getObjects, itemsOf, objectText } from "../commands/objects.ts";
import type { Session } from "../commands/session.ts";
import { CliError } from "../domain/errors.ts";
import { kindByName } from "../domain/kinds.ts";
import { age, formatTable, sizeText } from "../output/table.ts";
import { releasesOf } from "./push.ts";

type Artifact = ObjectOf<"Artifact">;
type Release = ObjectOf<"Release">;
type Assignment = ObjectOf<"Assignment">;

/** Digits of a digest that people compare. */
const DIGEST_DIGITS = 12;

/** `artifact list [NAME]`: all artifacts, or the releases of one, the newest first. */
export async function list(session: Session, name: string | undefined): Promise<void> {
  if (name === undefined)
    return getObjects(session, { kind: kindByName("artifacts"), names: [] }, {});
  const releases = await knownReleases(session, name);
  session.io.out(
    objectListText(session, releases) ?? releaseTable(releases, session.io.nowMs(), session),
  );
}

/** `artifact describe NAME [VERSION]`. */
export async function describe(
  session: Session,
  name: string,
  version: string | undefined,
): Promise<void> {
  const kind = kindByName(version === undefined ? "artifacts" : "releases");
  const object = version === undefined ? name : releaseName(name, version);
  const found = await session.client.json({
    method: "GET",
    path: resourcePath(kind, { name: object }),
  });
  const text = objectText(session, kind, found);
  if (text !== undefined) return session.io.out(text);
  const instances = await instancesOf(session, name);
  const nowMs = session.io.nowMs();
  if (version === undefined) {
    const releases = newestFirst(await releasesOf(session, name));
    session.io.out(artifactText(found as unknown as Artifact, { releases, instances }, nowMs));
  } else {
    const ofVersion = instances.filter((i) => i.wanted === version || i.active === version);
    session.io.out(releaseText(found as unknown as Release, ofVersion, nowMs));
  }
}

/** One release. Throws CliError `not-found` with the versions that there are. */
export async function releaseOf(
  session: Session,
  artifact: string,
  version: string,
): Promise<Release> {
  const kind = kindByName("releases");
  const path = resourcePath(kind, { name: releaseName(artifact, version) });
  const found = await find(session, path);
  if (found !== undefined) return found as unknown as Release;
  const versions = (await knownReleases(session, artifact)).map((r) => r.spec.version);
  throw new CliError("not-found", `${artifact} has no release ${version}`, {
    mend: `one of: ${versions.join(", ")}`,
  });
}

async function knownReleases(session: Session, artifact: string): Promise<readonly Release[]> {
  const releases = await releasesOf(session, artifact);
  if (releases.length === 0)
    throw new CliError("not-found", `${artifact} has no release`, {
      mend: "flotilla artifact list shows what there is",
    });
  return newestFirst(releases);
}

function newestFirst(releases: readonly Release[]): readonly Release[] {
  return releases.toSorted((a, b) => b.spec.counter - a.spec.counter);
}

function objectListText(session: Session, releases: readonly Release[]): string | undefined {
  const kind = kindByName("releases");
  const items = { apiVersion: kind.apiVersion, kind: "ReleaseList", items: releases };
  return objectText(session, kind, items);
}

function releaseTable(
  releases: readonly Release[],
  nowMs: number,
  { noHeaders }: { readonly noHeaders: boolean },
): string {
  const rows = releases.map(({ metadata, spec, status }) => [
    spec.version,
    String(spec.counter),
    String(spec.files.length),
    sizeText(spec.files.reduce((sum, file) => sum + file.length, 0)),
    conditionOf(status, "Stored"),
    conditionOf(status, "Signed"),
    smallestDelta(status),
    String(status?.heldBy ?? 0),
    String(status?.active ?? 0),
    String(status?.rolledBack ?? 0),
    age(metadata.creationTimestamp ?? undefined, nowMs),
  ]);
  const headers = [
    "VERSION",
    "COUNTER",
    "FILES",
    "SIZE",
    "STORED",
    "SIGNED",
    "DELTA",
    "HELD BY",
    "ACTIVE",
    "ROLLED BACK",
    "AGE",
  ];
  return formatTable(headers, rows, { noHeaders });
}

function conditionOf(status: Release["status"], type: string): string {
  const condition = status?.conditions?.find((c) => c.type === type);
  if (condition === undefined) return "unknown";
  return condition.status === "True" ? "yes" : "no";
}

function smallestDelta(status: Release["status"]): string {
  const deltas = (status?.deltas ?? []).toSorted((a, b) => a.bytes - b.bytes);
  const [first] = deltas;
  return first === undefined ? "" : `${sizeText(first.bytes)} from ${first.from}`;
}

/** One instance that has the artifact, or is to have it. */
interface InstanceRow {
  readonly instance: string;
  readonly node: string;
  readonly wanted: string;
  readonly active: string;
  readonly phase: string;
  readonly why: string;
}

async function instancesOf(session: Session, artifact: string): Promise<readonly InstanceRow[]> {
  const path = resourcePath(kindByName("assignments"), {});
  const assignments = itemsOf(await session.client.json({ method: "GET", path }));
  return (assignments as unknown as readonly Assignment[]).flatMap(({ metadata, spec, status }) => {
    const wanted = spec.desired.artifacts?.find((a) => a.name === artifact);
    const told = status?.reported?.artifacts?.find((a) => a.name === artifact);
    if (wanted === undefined && told === undefined) return [];
    const why = [told?.reason, told?.message].filter((text) => text !== undefined).join(": ");
    return [
      {
        instance: `${metadata.namespace ?? ""}/${metadata.name}`,
        node: spec.node ?? "",
        wanted: wanted?.version ?? told?.version ?? "",
        active: told?.activeVersion ?? "",
        phase: told === undefined ? "unknown" : phaseText(told),
        why,
      },
    ];
  });
}

function phaseText({
  phase,
  percent,
}: {
  readonly phase: string;
  readonly percent?: number;
}): string {
  return percent === undefined ? phase : `${phase} ${percent} %`;
}

function artifactText(
  { metadata, spec, status }: Artifact,
  view: { readonly releases: readonly Release[]; readonly instances: readonly InstanceRow[] },
  nowMs: number,
): string {
  return [
    heading([
      ["Name:", metadata.name],
      ["Format:", spec.format],
      ...(spec.description === undefined ? [] : [["Description:", spec.description] as const]),
      ["Latest:", status?.latestVersion ?? "none"],
      ["Size:", `${sizeText(status?.bytes ?? 0)} in ${view.releases.length} releases`],
      ["Age:", age(metadata.creationTimestamp ?? undefined, nowMs)],
    ]),
    view.releases.length === 0
      ? ""
      : `\nReleases:\n${releaseTable(view.releases, nowMs, { noHeaders: false })}`,
    instanceTable(view.instances),
    conditionTable(status?.conditions, nowMs),
  ].join("");
}

function releaseText(
  { metadata, spec, status }: Release,
  instances: readonly InstanceRow[],
  nowMs: number,
): string {
  const { constraints, prestage } = spec;
  const whole = spec.files.reduce((sum, file) => sum + file.length, 0);
  const files = spec.files.map((f) => [
    f.path,
    sizeText(f.length),
    f.sha256.slice(0, DIGEST_DIGITS),
    f.target,
  ]);
  const deltas = (status?.deltas ?? []).map((d) => [
    d.from,
    sizeText(d.bytes),
    whole === 0 ? "" : `${(100 - (100 * d.bytes) / whole).toFixed(1)} %`,
    d.profile,
  ]);
  return [
    heading([
      ["Artifact:", spec.artifact],
      ["Version:", spec.version],
      ["Counter:", String(spec.counter)],
      ["Size:", sizeText(whole)],
      ["Hardware:", constraints?.hardwareIds?.join(", ") ?? "any"],
      ...(constraints?.memory === undefined
        ? []
        : [["Memory:", memoryText(constraints.memory)] as const]),
      ["Held ready:", prestage === undefined ? "no" : (prestage.sites?.join(", ") ?? "everywhere")],
      ["Held by:", `${status?.heldBy ?? 0} nodes`],
      [
        "Instances:",
        `${status?.active ?? 0} run with it, ${status?.rolledBack ?? 0} went back from it`,
      ],
      ["Age:", age(metadata.creationTimestamp ?? undefined, nowMs)],
    ]),
    `\nFiles:\n${formatTable(["PATH", "SIZE", "SHA-256", "IN METADATA"], files)}`,
    deltas.length === 0
      ? ""
      : `\nDeltas:\n${formatTable(["FROM", "SIZE", "SAVED", "PROFILE"], deltas)}`,
    instanceTable(instances),
    conditionTable(status?.conditions, nowMs),
  ].join("");
}

function memoryText(memory: string | number): string {
  return typeof memory === "number" ? formatBytes(memory) : memory;
}

function instanceTable(instances: readonly InstanceRow[]): string {
  if (instances.length === 0) return "";
  const rows = instances.map((i) => [i.instance, i.node, i.wanted, i.active, i.phase, i.why]);
  return `\nInstances:\n${formatTable(["INSTANCE", "NODE", "WANTED", "ACTIVE", "PHASE", "WHY"], rows)}`;
}
