import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import type { BlockCodec } from "@flotilla/shared/delta/envelope";
import { messageOf } from "@flotilla/shared/kernel/errors";
import { makeBigPair } from "./delta/big.ts";
import { layoutsOf } from "./delta/layouts.ts";
import { filesOf, lay, type Manifest, type Pair, readManifestFile } from "./delta/manifest.ts";
import { nativeEstimate } from "./delta/native.ts";
import { peersHere, runPeer, sha256Of } from "./delta/peers.ts";
import { type Alone, type Measured, type Row, reportText, type Skipped } from "./delta/report.ts";
import { runTask, type TaskPaths } from "./delta/tasks.ts";

/** Sizes, time and memory of our deltas on pairs of versions, beside those of bsdiff, xdelta3 and zstd in the same run. */
const USAGE = `npm run bench:delta -- --manifest FILE [options]
  --manifest FILE   pairs of versions; npm pairs are fetched by npm into .cache/delta-npm
  --pairs ID,…      only these (default: all)
  --profiles P,…    fast, slow (default both; the second differs for weights only)
  --big-mb N        instead of a manifest: a made model of N megabytes, an eighth of it changed
  --native Q        instead: what releases made as base plus an update in steps of Q (0.25 …) times its size would cost, for fp32
  --no-codecs       leave out what each codec makes alone
  --no-peers        leave out bsdiff, xdelta3 and zstd
  --json            prints JSON instead of a table`;

const CACHE = fileURLToPath(new URL("../.cache/delta-npm", import.meta.url));
const PROFILES = ["fast", "slow"] as const;
type Profile = (typeof PROFILES)[number];

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      manifest: { type: "string" },
      pairs: { type: "string" },
      "big-mb": { type: "string" },
      native: { type: "string" },
      profiles: { type: "string", default: PROFILES.join(",") },
      codecs: { type: "boolean", default: true },
      peers: { type: "boolean", default: true },
      json: { type: "boolean", default: false },
    },
    allowNegative: true,
  });
  if (values["big-mb"] !== undefined) {
    console.log(reportText([await measureBig(Number(values["big-mb"]))], []));
    return;
  }
  if (values.manifest === undefined) throw new Error(`--manifest is missing\n${USAGE}`);
  const manifest = readManifestFile(values.manifest);
  if (values.native !== undefined) {
    const pairs = chosen(manifest, values.pairs?.split(","));
    await reportNative(pairs, manifest, Number(values.native));
    return;
  }
  const profiles = values.profiles.split(",").map(profileOf);
  const peers = values.peers ? await peersHere() : [];
  const rows: Row[] = [];
  const skipped: Skipped[] = [];
  for (const pair of chosen(manifest, values.pairs?.split(","))) {
    const result = await measure(pair, manifest, { profiles, peers, codecs: values.codecs });
    if (typeof result === "string") skipped.push({ id: pair.id, why: result });
    else rows.push(result);
    if (!values.json) console.error(`${pair.id} done`);
  }
  console.log(
    values.json ? JSON.stringify({ rows, skipped }, undefined, 2) : reportText(rows, skipped),
  );
  if (rows.some((r) => [r.full, ...r.deltas].some((m) => m?.roundTrip === false)))
    process.exitCode = 1;
}

function chosen(manifest: Manifest, ids: readonly string[] | undefined): readonly Pair[] {
  if (ids === undefined) return manifest.pairs;
  return ids.map((id) => {
    const pair = manifest.pairs.find((p) => p.id === id);
    if (pair === undefined)
      throw new Error(`no pair ${id}; there are ${manifest.pairs.map((p) => p.id).join(", ")}`);
    return pair;
  });
}

function profileOf(name: string): Profile {
  const profile = PROFILES.find((p) => p === name);
  if (profile === undefined)
    throw new Error(`profile ${name} is unknown; there are ${PROFILES.join(", ")}`);
  return profile;
}

async function reportNative(
  pairs: readonly Pair[],
  manifest: Manifest,
  share: number,
): Promise<void> {
  if (!(share > 0)) throw new Error(`--native is a number above 0\n${USAGE}`);
  for (const pair of pairs.filter((p) => p.dtype === "fp32")) {
    const files = await filesOf(pair, manifest.folder, CACHE);
    if (typeof files === "string") continue;
    const found = nativeEstimate(files, layoutsOf(pair, files), share);
    const error = `${(100 * found.relativeError).toFixed(1)} % of the update lost`;
    console.log(
      `${pair.id}: ${found.bytes} B, ${found.bitsPerWeight.toFixed(2)} bits a weight, ${error}`,
    );
  }
}

/** Memory of patching does not grow with the file: a file that nobody keeps in a repository shows it. */
async function measureBig(megabytes: number): Promise<Row> {
  const folder = mkdtempSync(join(tmpdir(), "flotilla-delta-"));
  try {
    const { layouts, ...laid } = makeBigPair(megabytes, folder);
    const paths = pathsIn(folder, laid);
    writeFileSync(paths.layouts, JSON.stringify(layouts));
    const sha256 = sha256Of(paths.new);
    const delta = await once(paths, { profile: "fast", full: false, sha256 });
    const targetBytes = statSync(paths.new).size;
    return {
      id: `made-${megabytes}mb`,
      kind: "made",
      dtype: "fp32",
      targetBytes,
      full: undefined,
      deltas: [delta],
      alone: [],
      peers: [],
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function pathsIn(folder: string, laid: { old: string; new: string }): TaskPaths {
  return {
    ...laid,
    layouts: join(folder, "layouts"),
    payload: join(folder, "payload"),
    manifest: join(folder, "manifest"),
    made: join(folder, "made"),
  };
}

async function measure(
  pair: Pair,
  manifest: Manifest,
  how: {
    profiles: readonly Profile[];
    peers: Awaited<ReturnType<typeof peersHere>>;
    codecs: boolean;
  },
): Promise<Row | string> {
  const files = await filesOf(pair, manifest.folder, CACHE);
  if (typeof files === "string") return files;
  const folder = mkdtempSync(join(tmpdir(), "flotilla-delta-"));
  try {
    const laid = lay(files, folder);
    const paths = pathsIn(folder, laid);
    const layouts = layoutsOf(pair, files);
    writeFileSync(paths.layouts, JSON.stringify(layouts));
    const sha256 = createHash("sha256").update(files.new).digest("hex");
    // The slow profile only changes how weights are coded.
    const profiles = layouts.new.length === 0 ? how.profiles.slice(0, 1) : how.profiles;
    const deltas: Measured[] = [];
    for (const profile of profiles)
      deltas.push(await once(paths, { profile, full: false, sha256 }));
    const full = await once(paths, { profile: "fast", full: true, sha256 });
    const alone = how.codecs ? await eachAlone(paths, deltas, { sha256, layouts }) : [];
    const results = [];
    for (const peer of how.peers) results.push(await runPeer(peer, { ...laid, folder }, sha256));
    return {
      id: pair.id,
      kind: pair.kind,
      dtype: pair.dtype,
      targetBytes: files.new.length,
      full,
      deltas,
      alone,
      peers: results.filter((r) => r !== undefined),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What each codec that works with a base makes without the others; one that the choice is made of was measured already. */
async function eachAlone(
  paths: TaskPaths,
  deltas: readonly Measured[],
  of: { sha256: string; layouts: { new: readonly unknown[] } },
): Promise<readonly Alone[]> {
  const chosen = deltas[0]?.diff.codecs ?? [];
  const codecs = (["prefix", "bsdiff", "program", "weights"] as const).filter(
    (codec) =>
      !(chosen.length === 1 && chosen[0] === codec) &&
      (codec !== "weights" || of.layouts.new.length > 0),
  );
  const alone: Alone[] = [];
  for (const codec of codecs) {
    const how = { profile: "fast", full: false, sha256: of.sha256, codecs: [codec] } as const;
    const { diff, patch, roundTrip } = await once(paths, how);
    const [diffCpuSeconds, patchCpuSeconds] = [diff.cpuSeconds, patch.cpuSeconds];
    alone.push({ codec, bytes: diff.payloadBytes, diffCpuSeconds, patchCpuSeconds, roundTrip });
  }
  return alone;
}

async function once(
  paths: TaskPaths,
  how: { profile: Profile; full: boolean; sha256: string; codecs?: readonly BlockCodec[] },
): Promise<Measured> {
  const { profile, full, codecs } = how;
  const diff = await runTask({ kind: "diff", paths, profile, full, codecs });
  const patch = await runTask({ kind: "patch", paths });
  return { profile: how.profile, diff, patch, roundTrip: sha256Of(paths.made) === how.sha256 };
}

main().catch((error: unknown) => {
  console.error(messageOf(error));
  process.exitCode = 1;
});
