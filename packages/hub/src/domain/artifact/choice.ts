import type { ArtifactFormat } from "@flotilla/shared/model/resources/artifact";

/** Which way to a file a node is offered: a delta, some deltas one after the other, or the whole file. */

/**
 * How a delta is made. `slow`: smaller, for links that cost by the byte. `small`: for decoders with SMALL_MEMORY_BYTES, larger.
 * `plain`: a whole file as it is, which takes no time to make.
 */
export type DeltaProfile = "fast" | "slow" | "small" | "plain";

/** Memory that the profile `small` keeps a decoder to: 16 MiB above the runtime. */
export const SMALL_MEMORY_BYTES: number = 16 * 1024 * 1024;
/** A file from this size on lies ready as it is at once, and coded later: 32 MiB. */
export const PLAIN_BYTES_MIN: number = 32 * 1024 * 1024;
/** Above this size a file is not coded, but for weights, for it would take hours: 1 GiB. */
export const CODED_BYTES_MAX: number = 1024 * 1024 * 1024;
/** A delta has to be smaller than this percentage of the whole file: it costs the node work, and can fail. */
export const DELTA_PERCENT_MAX = 85;
/** A node does not wait for a delta of a smaller file than this: 256 KiB. */
export const WAIT_FULL_BYTES_MIN: number = 256 * 1024;
/** Speed of a link of which nothing is known: 256 KiB/s. */
export const LINK_BYTES_PER_SECOND_ASSUMED: number = 256 * 1024;
/** A node waits at least this long for a delta before it is given the whole file: 10 s. */
export const WAIT_MS_MIN = 10_000;
/** A node waits at most this long for a delta: 10 min. */
export const WAIT_MS_MAX = 600_000;

/** What is made: a file out of another, or out of nothing. Names are SHA-256 in hexadecimal. */
export interface DeltaWork {
  /** Undefined: the whole file. */
  readonly base: string | undefined;
  readonly target: string;
  readonly profile: DeltaProfile;
}

/** A delta, or a whole file, that lies ready. */
export interface MadeDelta extends DeltaWork {
  readonly manifestSha256: string;
  readonly manifestBytes: number;
  readonly payloadBytes: number;
  /** Most memory that a decoder needs above the runtime. */
  readonly memoryBytes: number;
}

/** What a node asks for. */
export interface Wish {
  readonly target: string;
  /** What the node has, likeliest first. */
  readonly bases: readonly string[];
  /** What the node can spare for a decoder. */
  readonly memoryBytes: number;
  /** Manifests that are not to be offered: they failed here, or in too many places. */
  readonly failed: ReadonlySet<string>;
  readonly isMetered: boolean;
  /** Most deltas one after the other. */
  readonly stepsMax: number;
  /** Length of the file, and whether it holds weights, whose deltas are quickly made. */
  readonly fileBytes: number;
  readonly isWeights: boolean;
}

export interface Choice {
  readonly kind: "full" | "delta" | "chain";
  readonly steps: readonly MadeDelta[];
  /** Manifests and payloads of all steps. */
  readonly bytes: number;
}

/**
 * The way with the fewest bytes among what is made: never larger than the whole file, never beyond the node's memory (but for the
 * least demanding whole file, for there is no other way), at most `stepsMax` steps. Undefined while the whole file is not made,
 * for nothing can be compared with it then.
 */
export function choose(wish: Wish, made: readonly MadeDelta[]): Choice | undefined {
  const suited = made.filter((m) => isFor(wish, m));
  const usable = suited.filter((m) => !wish.failed.has(m.manifestSha256));
  const isWhole = (m: MadeDelta): boolean => m.base === undefined && m.target === wish.target;
  const wholes = usable.filter(isWhole);
  const full = bestFull(wish, wholes) ?? bestFull(wish, suited.filter(isWhole));
  if (full === undefined) return undefined;
  const steps = shortestWay(
    wish,
    usable.filter((m) => m.memoryBytes <= wish.memoryBytes),
  );
  const bytes = totalOf(steps ?? []);
  const least = Math.min(bytesOf(full), ...wholes.map(bytesOf));
  if (steps !== undefined && isUseful(bytes, least))
    return { kind: steps.length === 1 ? "delta" : "chain", steps, bytes };
  return { kind: "full", steps: [full], bytes: bytesOf(full) };
}

/** Whether so many bytes are few enough beside those of the whole file. */
export function isUseful(bytes: number, fullBytes: number): boolean {
  return bytes * 100 < DELTA_PERCENT_MAX * fullBytes;
}

/** Formats whose files are tensors: what changed in them is found without looking for copies. */
export const WEIGHTS_FORMATS: readonly ArtifactFormat[] = ["onnx", "safetensors", "tfjs", "gguf"];

/** Bytes that a node fetches for one step. */
export function bytesOf(delta: Pick<MadeDelta, "manifestBytes" | "payloadBytes">): number {
  return delta.manifestBytes + delta.payloadBytes;
}

/** How a whole file of so many bytes is made, the quickest first. */
export function wholeProfiles(fileBytes: number): readonly DeltaProfile[] {
  if (fileBytes > CODED_BYTES_MAX) return ["plain"];
  return fileBytes >= PLAIN_BYTES_MIN ? ["plain", "fast"] : ["fast"];
}

/** Whether a delta to such a file is made in reasonable time. */
export function mayHaveDeltas(of: Pick<Wish, "fileBytes" | "isWeights">): boolean {
  return of.isWeights || of.fileBytes <= CODED_BYTES_MAX;
}

/**
 * What should be made for this wish and is not: the whole file, and a delta from the likeliest base that the hub has. Where what is
 * made asks for too much memory, its small form.
 */
export function workFor(
  wish: Wish,
  made: readonly MadeDelta[],
  hasBase: (sha256: string) => boolean,
): readonly DeltaWork[] {
  const base = wish.bases.find((sha256) => sha256 !== wish.target && hasBase(sha256));
  const wholes = missing(wish, made, undefined, wholeProfiles(wish.fileBytes));
  if (base === undefined || !mayHaveDeltas(wish)) return wholes;
  return [...wholes, ...missing(wish, made, base, [wish.isMetered ? "slow" : "fast"])];
}

/** Those of the profiles that are not made; when all are and none will do here, the small one. */
function missing(
  wish: Wish,
  made: readonly MadeDelta[],
  base: string | undefined,
  profiles: readonly DeltaProfile[],
): readonly DeltaWork[] {
  const { target } = wish;
  const same = made.filter((m) => m.base === base && m.target === target);
  const isMade = (profile: DeltaProfile): boolean => same.some((m) => m.profile === profile);
  const works = profiles
    .filter((profile) => !isMade(profile))
    .map((profile) => ({ base, target, profile }));
  const isUsable = same.some(
    (m) => m.memoryBytes <= wish.memoryBytes && !wish.failed.has(m.manifestSha256),
  );
  const isSmallNext = works.length === 0 && !isUsable && wish.fileBytes <= CODED_BYTES_MAX;
  return isSmallNext && !isMade("small") ? [{ base, target, profile: "small" }] : works;
}

/** Slow deltas take three times the work: they are for links that cost. */
function isFor(wish: Wish, { profile }: MadeDelta): boolean {
  return profile !== "slow" || wish.isMetered;
}

function bestFull(wish: Wish, wholes: readonly MadeDelta[]): MadeDelta | undefined {
  const fitting = wholes.filter((m) => m.memoryBytes <= wish.memoryBytes);
  if (fitting.length > 0) return fitting.toSorted((a, b) => bytesOf(a) - bytesOf(b))[0];
  const least = wholes.toSorted((a, b) => a.memoryBytes - b.memoryBytes)[0];
  return least?.profile === "small" || least?.profile === "plain" ? least : undefined;
}

/** Fewest bytes from one of the bases to the target in at most `stepsMax` deltas; of two ways the one with fewer steps. */
function shortestWay(wish: Wish, deltas: readonly MadeDelta[]): readonly MadeDelta[] | undefined {
  const from = Map.groupBy(
    deltas.filter((d) => d.base !== undefined),
    (d) => d.base,
  );
  let reached = new Map<string, readonly MadeDelta[]>(wish.bases.map((sha256) => [sha256, []]));
  let best: readonly MadeDelta[] | undefined;
  for (let step = 0; step < wish.stepsMax; step++) {
    const next = new Map<string, readonly MadeDelta[]>();
    const longer = [...reached].flatMap(([sha256, way]) =>
      (from.get(sha256) ?? []).map((delta) => [...way, delta]),
    );
    for (const way of longer) {
      const end = way.at(-1)?.target ?? "";
      const known = next.get(end);
      if (known === undefined || totalOf(way) < totalOf(known)) next.set(end, way);
    }
    const arrived = next.get(wish.target);
    if (arrived !== undefined && (best === undefined || totalOf(arrived) < totalOf(best)))
      best = arrived;
    reached = next;
  }
  return best;
}

function totalOf(steps: readonly MadeDelta[]): number {
  return steps.reduce((sum, step) => sum + bytesOf(step), 0);
}

/**
 * Whether a node should ask again for a delta that is being made instead of fetching the whole file now. It pays while it takes no
 * longer than the whole file would on its link; where bytes count for more than time, up to WAIT_MS_MAX.
 */
export function isWorthWaiting(about: {
  readonly fullBytes: number;
  /** The link costs by the byte, or nothing waits: what runs goes on as it is meanwhile. */
  readonly isPatient: boolean;
  readonly bytesPerSecond: number | undefined;
  /** Since this node first asked. */
  readonly waitedMs: number;
  /** Until it is made, as far as can be said. */
  readonly expectedMs: number;
}): boolean {
  if (about.fullBytes < WAIT_FULL_BYTES_MIN) return false;
  const perSecond = about.bytesPerSecond ?? LINK_BYTES_PER_SECOND_ASSUMED;
  const linkMs = (about.fullBytes / perSecond) * 1_000;
  const patienceMs = about.isPatient
    ? WAIT_MS_MAX
    : Math.min(WAIT_MS_MAX, Math.max(WAIT_MS_MIN, linkMs));
  return about.waitedMs + about.expectedMs <= patienceMs;
}

/** What a delta in the cache is worth: bytes that it saves, times how often it will be fetched. */
export function worthOf(
  delta: MadeDelta,
  about: { readonly fullBytes: number; readonly expectedDownloads: number },
): number {
  // A whole file is what everything falls back on.
  const savedBytes = delta.base === undefined ? about.fullBytes : about.fullBytes - bytesOf(delta);
  return savedBytes * (about.expectedDownloads + 0.01);
}

/** Which deltas to drop, the least worth first, until so many bytes are free. Never one of `kept`. */
export function victimsOf(
  cached: readonly { readonly delta: MadeDelta; readonly worth: number }[],
  bytes: number,
  kept: ReadonlySet<string>,
): readonly MadeDelta[] {
  const victims: MadeDelta[] = [];
  let free = 0;
  for (const { delta } of cached.toSorted((a, b) => a.worth - b.worth)) {
    if (free >= bytes) break;
    if (kept.has(delta.manifestSha256)) continue;
    victims.push(delta);
    free += bytesOf(delta);
  }
  return victims;
}

/**
 * Bases from which deltas are made before anybody asks: the releases that together cover `share` of the nodes that hold one, the
 * most widely held first.
 */
export function likelyBases<T>(holders: ReadonlyMap<T, number>, share: number): readonly T[] {
  const sorted = [...holders].filter(([, count]) => count > 0).toSorted(([, a], [, b]) => b - a);
  const all = sorted.reduce((sum, [, count]) => sum + count, 0);
  const bases: T[] = [];
  let covered = 0;
  for (const [base, count] of sorted) {
    if (covered >= share * all) break;
    bases.push(base);
    covered += count;
  }
  return bases;
}
