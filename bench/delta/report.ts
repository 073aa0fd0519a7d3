import { tableText } from "../support/table.ts";
import type { PeerResult } from "./peers.ts";
import type { TaskResult } from "./tasks.ts";
import { YARDSTICKS } from "./yardsticks.ts";

/** One way of ours to make and apply a delta. */
export interface Measured {
  readonly profile: string;
  readonly diff: TaskResult;
  readonly patch: TaskResult;
  readonly roundTrip: boolean;
}

/** A delta in which nothing but one codec was allowed; blocks that it does not suit are stored. */
export interface Alone {
  readonly codec: string;
  readonly bytes: number;
  readonly diffCpuSeconds: number;
  readonly patchCpuSeconds: number;
  readonly roundTrip: boolean;
}

export interface Row {
  readonly id: string;
  readonly kind: string;
  readonly dtype: string | undefined;
  readonly targetBytes: number;
  readonly full: Measured | undefined;
  readonly deltas: readonly Measured[];
  /** What each codec makes alone. */
  readonly alone: readonly Alone[];
  readonly peers: readonly PeerResult[];
}

export interface Skipped {
  readonly id: string;
  readonly why: string;
}

/** The smallest delta of any peer: measured here, or published. */
function bestPeerOf(row: Row): number | undefined {
  const here = row.peers.filter((p) => p.roundTrip).map((p) => p.bytes);
  const published = YARDSTICKS[row.id]?.bestPeerBytes;
  const all = published === undefined ? here : [...here, published];
  return all.length === 0 ? undefined : Math.min(...all);
}

export function reportText(rows: readonly Row[], skipped: readonly Skipped[]): string {
  const head = [
    "pair",
    "profile",
    "codecs",
    "target B",
    "full B",
    "delta B",
    "manifest B",
    "saved %",
    "best peer B",
    "/ peer",
    "/ prototype",
    "diff CPU s",
    "diff MB",
    "patch CPU s",
    "patch MB/s",
    "patch +MB",
    "foretold MB",
    "round trip",
  ];
  const lines = rows.flatMap((row) => row.deltas.map((m) => line(row, m)));
  const others = rows.flatMap((row) => [
    ...row.alone.map((a) => [
      row.id,
      `${a.codec} alone`,
      `${a.bytes}`,
      a.diffCpuSeconds.toFixed(2),
      "-",
      a.patchCpuSeconds.toFixed(2),
      "-",
      a.roundTrip ? "ok" : "FAILED",
    ]),
    ...row.peers.map((p) => [
      row.id,
      p.name,
      `${p.bytes}`,
      p.diff?.cpuSeconds.toFixed(2) ?? "-",
      p.diff === undefined ? "-" : mega(p.diff.peakBytes),
      p.patch?.cpuSeconds.toFixed(2) ?? "-",
      p.patch === undefined ? "-" : mega(p.patch.peakBytes),
      p.roundTrip ? "ok" : "FAILED",
    ]),
  ]);
  const othersHead = [
    "pair",
    "by",
    "delta B",
    "diff CPU s",
    "diff MB",
    "patch CPU s",
    "patch MB",
    "round trip",
  ];
  const left = skipped.map((s) => `${s.id}: left out, ${s.why}`);
  const beside = others.length === 0 ? [] : [tableText([othersHead, ...others]), ""];
  return [tableText([head, ...lines]), "", ...beside, ...left, "", ...means(rows)].join("\n");
}

function line(row: Row, m: Measured): readonly string[] {
  const peer = bestPeerOf(row);
  const prototype = YARDSTICKS[row.id]?.prototypeBytes;
  const { payloadBytes } = m.diff;
  const ratio = (to: number | undefined): string =>
    to === undefined ? "-" : (payloadBytes / to).toFixed(3);
  return [
    row.id,
    m.profile,
    m.diff.codecs.join("+"),
    `${row.targetBytes}`,
    row.full === undefined ? "-" : `${row.full.diff.payloadBytes}`,
    `${payloadBytes}`,
    `${m.diff.manifestBytes}`,
    (100 - (100 * payloadBytes) / row.targetBytes).toFixed(1),
    peer === undefined ? "-" : `${peer}`,
    ratio(peer),
    ratio(prototype),
    m.diff.cpuSeconds.toFixed(2),
    mega(m.diff.peakBytes),
    m.patch.cpuSeconds.toFixed(2),
    (row.targetBytes / 1e6 / m.patch.cpuSeconds).toFixed(1),
    mega(m.patch.peakBytes - m.patch.runtimeBytes),
    mega(m.patch.foretoldBytes),
    m.roundTrip ? "ok" : "FAILED",
  ];
}

const mega = (bytes: number): string => (bytes / 1e6).toFixed(0);

/** Mean ratio to the best peer by kind of pair and profile. */
function means(rows: readonly Row[]): readonly string[] {
  const ratios = rows.flatMap((row) => {
    const peer = bestPeerOf(row);
    return peer === undefined
      ? []
      : row.deltas.map((m) => ({
          key: `${row.kind} ${m.profile}`,
          ratio: m.diff.payloadBytes / peer,
        }));
  });
  return [...Map.groupBy(ratios, (r) => r.key)].map(([key, group]) => {
    const mean = group.reduce((sum, r) => sum + r.ratio, 0) / group.length;
    return `mean ratio to the best peer, ${key}: ${mean.toFixed(3)} (${group.length} pairs)`;
  });
}
