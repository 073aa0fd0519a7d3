import { setTimeout as sleep } from "node:timers/promises";
import type { ReleaseFile } from "@flotilla/shared/model/artifact";
import { type Static, Type } from "typebox";
import { Check } from "typebox/value";
import type { Session } from "../commands/session.ts";
import { CliError } from "../domain/errors.ts";
import { formatObject } from "../output/objects.ts";
import { formatTable, sizeText } from "../output/table.ts";
import { releaseOf } from "./show.ts";

/** The hub makes a delta in the time that it says, but is not waited for longer than this: 10 min. */
export const DIFF_WAIT_MS_MAX = 600_000;
/** The hub is asked at most this often. */
const ASK_MS_MIN = 200;

const Way = Type.Object({
  kind: Type.Union([Type.Literal("full"), Type.Literal("delta")]),
  profile: Type.String(),
  bytes: Type.Integer(),
  memoryBytes: Type.Integer(),
  codecs: Type.Array(Type.String()),
  isOffered: Type.Boolean(),
});
type Way = Static<typeof Way>;
const DeltaReport = Type.Object({
  status: Type.Union([Type.Literal("ready"), Type.Literal("pending"), Type.Literal("unknown")]),
  retryAfterMs: Type.Optional(Type.Integer({ minimum: 0 })),
  ways: Type.Array(Way),
});
type DeltaReport = Static<typeof DeltaReport>;

/** One file of the newer release. */
interface FileDiff {
  readonly path: string;
  readonly change: "same" | "changed" | "new";
  readonly length: number;
  readonly ways: readonly Way[];
  /** What a node that has the older release fetches; undefined: the hub does not have both contents. */
  readonly costBytes: number | undefined;
}

/** `artifact diff NAME V1 V2`: what an update from one release to another costs, file by file. */
export async function diff(
  session: Session,
  artifact: string,
  [from, to]: readonly [string, string],
): Promise<void> {
  const before = await releaseOf(session, artifact, from);
  const after = await releaseOf(session, artifact, to);
  const files: FileDiff[] = [];
  const deadlineMs = session.io.nowMs() + DIFF_WAIT_MS_MAX;
  for (const file of after.spec.files)
    files.push(await diffOf(session, file, baseOf(file, before.spec.files), deadlineMs));
  const kept = new Set(after.spec.files.map((file) => file.path));
  const gone = before.spec.files.map((file) => file.path).filter((path) => !kept.has(path));
  const { output } = session;
  session.io.out(
    output === "json" || output === "yaml"
      ? formatObject({ artifact, from, to, files, gone }, output)
      : textOf({ from, to, files, gone }),
  );
}

/** The content that a node would begin from: the file of the same path, else the one of the same name. */
function baseOf(file: ReleaseFile, files: readonly ReleaseFile[]): ReleaseFile | undefined {
  const name = (path: string): string => path.slice(path.lastIndexOf("/") + 1);
  return (
    files.find((other) => other.path === file.path) ??
    files.find((other) => name(other.path) === name(file.path))
  );
}

async function diffOf(
  session: Session,
  file: ReleaseFile,
  base: ReleaseFile | undefined,
  deadlineMs: number,
): Promise<FileDiff> {
  const { path, length, sha256 } = file;
  if (base?.sha256 === sha256) return { path, length, change: "same", ways: [], costBytes: 0 };
  // Without a base the whole file is asked for by a delta from itself, which nobody makes.
  const report = await askDelta(session, base?.sha256 ?? sha256, sha256, deadlineMs);
  const ways = base === undefined ? report.ways.filter((w) => w.kind === "full") : report.ways;
  const offered = ways.filter((way) => way.isOffered && way.profile !== "slow");
  const costs = offered.map((way) => way.bytes);
  return {
    path,
    length,
    change: base === undefined ? "new" : "changed",
    ways,
    costBytes: costs.length === 0 ? undefined : Math.min(...costs),
  };
}

async function askDelta(
  session: Session,
  from: string,
  to: string,
  deadlineMs: number,
): Promise<DeltaReport> {
  const path = `/artifacts/v1/deltas?from=${from}&to=${to}`;
  for (;;) {
    const report: unknown = await session.client.json({ method: "GET", path });
    if (!Check(DeltaReport, report))
      throw new CliError("failed", "the hub's answer about a delta has another form", {
        mend: "Use the flotilla of the hub's version.",
      });
    if (report.status !== "pending") return report;
    if (session.io.nowMs() >= deadlineMs)
      throw new CliError("timeout", "the hub has not made the delta yet", {
        mend: "It goes on making it: ask again later.",
      });
    await sleep(Math.max(ASK_MS_MIN, report.retryAfterMs ?? 0));
  }
}

function textOf(found: {
  readonly from: string;
  readonly to: string;
  readonly files: readonly FileDiff[];
  readonly gone: readonly string[];
}): string {
  const { files, gone } = found;
  const sizeOf = (way: Way | undefined): string => (way === undefined ? "" : sizeText(way.bytes));
  const rows = files.map((file) => {
    const way = (kind: Way["kind"], profile: string): Way | undefined =>
      file.ways.find((w) => w.kind === kind && w.profile === profile);
    const delta = way("delta", "fast");
    const isUsed = delta?.isOffered === true;
    return [
      file.path,
      sizeText(file.length),
      sizeOf(way("full", "fast")),
      delta === undefined ? "" : `${sizeOf(delta)}${isUsed ? "" : " (not used)"}`,
      sizeOf(way("delta", "slow")),
      delta?.codecs.join(", ") ?? "",
      file.change === "changed" ? savedText(file.length, file.costBytes) : file.change,
    ];
  });
  const whole = files.reduce((sum, file) => sum + file.length, 0);
  const costs = files.map((file) => file.costBytes);
  const isKnown = costs.every((cost) => cost !== undefined);
  const cost = costs.reduce<number>((sum, bytes) => sum + (bytes ?? 0), 0);
  return [
    formatTable(["FILE", "SIZE", "FULL", "DELTA", "SLOW DELTA", "CODECS", "SAVED"], rows),
    ...(gone.length === 0 ? [] : [`gone: ${gone.join(", ")}\n`]),
    isKnown
      ? `${found.from} to ${found.to}: ${sizeText(cost)} of ${sizeText(whole)} to fetch, ${savedText(whole, cost)} saved\n`
      : `${found.from} to ${found.to}: the hub does not have every content\n`,
  ].join("");
}

function savedText(whole: number, cost: number | undefined): string {
  if (cost === undefined) return "unknown";
  return whole === 0 ? "0 %" : `${(100 - (100 * cost) / whole).toFixed(1)} %`;
}
