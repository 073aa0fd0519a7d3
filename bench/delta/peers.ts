import { existsSync, readFileSync, rmSync, statSync } from "node:fs";
import { identityOf } from "@flotilla/shared/delta/identity";
import { FileAccess } from "@flotilla/shared/platform/delta/file-access";
import { nodeDigests } from "@flotilla/shared/platform/delta/node-compressor";
import { run } from "./tasks.ts";

interface Peer {
  readonly name: string;
  /** Answers with status 0 or 1 when the tool is there. */
  readonly probe: readonly string[];
  diff(old: string, fresh: string, delta: string): readonly string[];
  patch(old: string, delta: string, made: string): readonly string[];
}

const PEERS: readonly Peer[] = [
  {
    name: "bsdiff",
    probe: ["bsdiff"],
    diff: (old, fresh, delta) => ["bsdiff", old, fresh, delta],
    patch: (old, delta, made) => ["bspatch", old, made, delta],
  },
  {
    name: "xdelta3",
    probe: ["xdelta3", "-V"],
    diff: (old, fresh, delta) => {
      const window = Math.max(statSync(old).size, 1 << 20);
      return [
        "xdelta3",
        "-e",
        "-9",
        "-S",
        "lzma",
        "-f",
        "-B",
        `${window}`,
        "-s",
        old,
        fresh,
        delta,
      ];
    },
    patch: (old, delta, made) => {
      const window = Math.max(statSync(old).size, 1 << 20);
      return ["xdelta3", "-d", "-f", "-B", `${window}`, "-s", old, delta, made];
    },
  },
  {
    name: "zstd",
    probe: ["zstd", "--version"],
    diff: (old, fresh, delta) => [
      "zstd",
      "-q",
      "-f",
      "-19",
      "--long=31",
      `--patch-from=${old}`,
      fresh,
      "-o",
      delta,
    ],
    patch: (old, delta, made) => [
      "zstd",
      "-q",
      "-f",
      "-d",
      "--long=31",
      `--patch-from=${old}`,
      delta,
      "-o",
      made,
    ],
  },
];

export interface PeerResult {
  readonly name: string;
  readonly bytes: number;
  readonly roundTrip: boolean;
  /** Undefined where the machine has no `time` of its own. */
  readonly diff: Cost | undefined;
  readonly patch: Cost | undefined;
}

interface Cost {
  readonly cpuSeconds: number;
  readonly peakBytes: number;
}

/** The peers that this machine has. */
export async function peersHere(): Promise<readonly Peer[]> {
  const found = await Promise.all(
    PEERS.map(async (peer) => (await execute(peer.probe)).code !== null),
  );
  return PEERS.filter((_, i) => found[i]);
}

export async function runPeer(
  peer: Peer,
  paths: { old: string; new: string; folder: string },
  sha256: string,
): Promise<PeerResult | undefined> {
  const delta = `${paths.folder}/${peer.name}.delta`;
  const made = `${paths.folder}/${peer.name}.made`;
  try {
    const diffed = await timed(peer.diff(paths.old, paths.new, delta), paths.folder);
    if (diffed.code !== 0) return undefined;
    const applied = await timed(peer.patch(paths.old, delta, made), paths.folder);
    const roundTrip = applied.code === 0 && sha256Of(made) === sha256;
    const bytes = statSync(delta).size;
    return { name: peer.name, bytes, roundTrip, diff: diffed.cost, patch: applied.cost };
  } finally {
    rmSync(delta, { force: true });
    rmSync(made, { force: true });
  }
}

const TIME = "/usr/bin/time";

/** Runs a command; where GNU time is there it tells CPU-seconds and peak memory. */
async function timed(
  command: readonly string[],
  folder: string,
): Promise<{ code: number | null; cost: Cost | undefined }> {
  if (!existsSync(TIME)) return { code: (await execute(command)).code, cost: undefined };
  const file = `${folder}/time`;
  const { code } = await execute([TIME, "-q", "-f", "%U %S %M", "-o", file, ...command]);
  const [user = 0, system = 0, peakKib = 0] = readFileSync(file, "utf8").split(" ").map(Number);
  return { code, cost: { cpuSeconds: user + system, peakBytes: peakKib * 1024 } };
}

export function sha256Of(path: string): string {
  using file = new FileAccess(path);
  return Buffer.from(identityOf(file, nodeDigests).sha256).toString("hex");
}

function execute([program = "", ...args]: readonly string[]): ReturnType<typeof run> {
  return run(program, args);
}
