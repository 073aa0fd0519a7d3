import type { DesiredArtifact, ReleaseFile } from "@flotilla/shared/model/artifact";
import type { DesiredInstance } from "@flotilla/shared/model/desired-state";
import type { TrustedTarget } from "@flotilla/shared/trust/state";
import { runDigest } from "../reconcile/devices.ts";
import type { InstanceRecord } from "../reconcile/instance-record.ts";
import type { Progress } from "./artifact-report.ts";
import { NO_SET, type SetDigest } from "./artifact-sets.ts";
import {
  currentContents,
  failureOf,
  lastGood,
  otherSlot,
  type SlotName,
  type SlotRecord,
  usableSlot,
} from "./slot-record.ts";
import { freeSlot } from "./slot-transitions.ts";

/**
 * What is to be done next for the artifacts of one instance. Level triggered, as the reconciler's plan: what is wanted, what lies
 * here, what runs → steps as data, one executor a kind. Two lanes, so that a long download holds up no check before a start.
 */

/** Most contents that are offered as bases of a delta. */
export const BASES_MAX = 8;

export interface MissingFile {
  readonly file: ReleaseFile;
  /** Contents here that a delta may begin from, likeliest first. */
  readonly bases: readonly string[];
}

export type ArtifactStep =
  /** Neither desired nor there: slots and record go. */
  | { readonly kind: "forget"; readonly id: string }
  /** What was prepared is not wanted any more. */
  | { readonly kind: "drop"; readonly id: string }
  /** Contents that are not here. */
  | {
      readonly kind: "fetch";
      readonly id: string;
      readonly files: readonly MissingFile[];
      /** The instance cannot run without them. */
      readonly isUrgent: boolean;
      /** Of all files of the set. */
      readonly totalBytes: number;
    }
  /** All contents are here: make the other slot. */
  | {
      readonly kind: "prepare";
      readonly id: string;
      readonly desired: DesiredInstance;
      readonly targets: readonly TrustedTarget[];
    }
  /** Look whether a slot is what it was made as, before it is used. */
  | { readonly kind: "check"; readonly id: string; readonly slot: SlotName }
  /** Switch under the running workload. */
  | {
      readonly kind: "reload";
      readonly id: string;
      readonly slot: SlotName;
      readonly desired: DesiredInstance;
    }
  /** Tell the running workload of a switch that was done. */
  | { readonly kind: "tell"; readonly id: string }
  | { readonly kind: "wait"; readonly id: string; readonly progress: Progress };

export type ArtifactStepKind = ArtifactStep["kind"];

/** What trust says of the artifacts that are wanted; undefined: it has not been asked, or has not answered yet. */
export type SetVerdict =
  | { readonly kind: "accepted"; readonly install: ReadonlyMap<string, TrustedTarget> }
  | {
      readonly kind: "refused";
      readonly code: string;
      readonly subject: string;
      readonly message: string;
      readonly mend: string;
    }
  | { readonly kind: "unknown"; readonly reason: string };

/** Everything that is looked at of one instance. */
export interface ArtifactView {
  readonly id: string;
  readonly wanted: DesiredInstance | undefined;
  /** What is to run of it now: `chooseInstance`. */
  readonly run: DesiredInstance | undefined;
  readonly slots: SlotRecord | undefined;
  readonly record: InstanceRecord | undefined;
  /** A container of it lives. */
  readonly isAlive: boolean;
  readonly verdict: SetVerdict | undefined;
  readonly isChecked: (slot: SlotName) => boolean;
  readonly hasContent: (sha256: string) => boolean;
  /** Contents of other releases of an artifact, such as those fetched ahead. */
  readonly otherBases: (artifact: string) => readonly string[];
}

/** The next steps, at most two. */
export function planArtifacts(view: ArtifactView, setOf: SetDigest): readonly ArtifactStep[] {
  if (isGone(view)) return view.slots === undefined ? [] : [{ kind: "forget", id: view.id }];
  return [...useStep(view, setOf), ...makeStep(view, setOf)];
}

/** Nothing of the instance uses artifacts, or will. */
function isGone({ wanted, record }: ArtifactView): boolean {
  return wanted?.artifacts === undefined && record?.desired.artifacts === undefined;
}

/** What brings files into use: checks, the switch under a running workload, and telling it. */
function useStep(view: ArtifactView, setOf: SetDigest): readonly ArtifactStep[] {
  const { id, record, run, slots, wanted } = view;
  if (slots === undefined) return [];
  const next = usableSlot(slots, setOf(wanted?.artifacts));
  if (next !== undefined && next === slots.next && !view.isChecked(next))
    return [{ kind: "check", id, slot: next }];
  const set = setOf(run?.artifacts);
  const slot = set === NO_SET ? undefined : usableSlot(slots, set);
  if (slot === undefined || run === undefined) return [];
  const runsOn =
    record?.intent === "running" && view.isAlive && runDigest(record.desired) === runDigest(run);
  if (runsOn && slot === slots.current)
    return slots.reloads.length === 0 ? [] : [{ kind: "tell", id }];
  if (!view.isChecked(slot)) return [{ kind: "check", id, slot }];
  return runsOn ? [{ kind: "reload", id, slot, desired: run }] : [];
}

/** What makes the other slot ready. */
function makeStep(view: ArtifactView, setOf: SetDigest): readonly ArtifactStep[] {
  const { id, slots } = view;
  const own = view.wanted;
  if (own?.artifacts === undefined) return dropNext(view);
  const hasFailed = failureOf(slots, setOf(own.artifacts)) !== undefined;
  const good = lastGood(slots);
  // What failed here is not made again; what was good is, when it was damaged meanwhile.
  const wanted = hasFailed && good !== undefined ? good.desired : own;
  const usable = usableSlot(slots, setOf(wanted.artifacts));
  if (usable !== undefined) return usable === slots?.next ? [] : dropNext(view);
  const isOwn = wanted === own;
  if (isOwn && view.verdict?.kind !== "accepted") return [waitForTrust(view)];
  const missing = missingFiles(view, wanted.artifacts ?? []);
  if (missing.length > 0) return [fetchStep({ ...view, wanted }, missing, setOf)];
  if (slots !== undefined && freeSlot(slots) === undefined) return [];
  const targets = isOwn ? acceptedTargets(own, view.verdict) : (good?.targets ?? []);
  return [{ kind: "prepare", id, desired: wanted, targets }];
}

function acceptedTargets(
  { artifacts = [] }: DesiredInstance,
  verdict: SetVerdict | undefined,
): readonly TrustedTarget[] {
  if (verdict?.kind !== "accepted") return [];
  const files = artifacts.flatMap((pin) => pin.files);
  return files.flatMap(({ target }) => verdict.install.get(target) ?? []);
}

function dropNext({ id, slots }: ArtifactView): readonly ArtifactStep[] {
  const isMade = slots?.phase === "preparing" || slots?.phase === "prepared";
  return isMade ? [{ kind: "drop", id }] : [];
}

function waitForTrust({ id, verdict }: ArtifactView): ArtifactStep {
  if (verdict?.kind === "refused") {
    const message = `refused: ${verdict.subject}: ${verdict.message}. ${verdict.mend}`;
    return { kind: "wait", id, progress: { phase: "Failed", reason: verdict.code, message } };
  }
  if (verdict?.kind === "unknown") {
    const message = `whether it may be installed is not known yet: ${verdict.reason}`;
    const progress = { phase: "Checking", reason: "TrustUnknown", message } as const;
    return { kind: "wait", id, progress };
  }
  const message = "whether it may be installed is being looked up";
  return { kind: "wait", id, progress: { phase: "Checking", message } };
}

function fetchStep(
  view: ArtifactView,
  missing: readonly MissingFile[],
  setOf: SetDigest,
): ArtifactStep {
  const totalBytes = (view.wanted?.artifacts ?? [])
    .flatMap((pin) => pin.files)
    .reduce((sum, file) => sum + file.length, 0);
  const cannotRun =
    !view.isAlive && usableSlot(view.slots, setOf(view.run?.artifacts)) === undefined;
  const isUrgent = view.run === undefined || view.record === undefined || cannotRun;
  return { kind: "fetch", id: view.id, files: missing, isUrgent, totalBytes };
}

function missingFiles(
  view: ArtifactView,
  artifacts: readonly DesiredArtifact[],
): readonly MissingFile[] {
  const missing = new Map<string, MissingFile>();
  for (const pin of artifacts)
    for (const file of pin.files)
      if (!view.hasContent(file.sha256))
        missing.set(file.sha256, { file, bases: basesOf(view, pin, file) });
  return [...missing.values()];
}

/** The same file of what is current comes first, then that of the other slot, then other files of the artifact. */
function basesOf(view: ArtifactView, pin: DesiredArtifact, file: ReleaseFile): readonly string[] {
  const { slots } = view;
  const current = slots === undefined ? undefined : currentContents(slots);
  const other = slots?.current === undefined ? undefined : slots[otherSlot(slots.current)];
  const known = [current, other].flatMap((contents) =>
    (contents?.desired.artifacts ?? []).filter((p) => p.name === pin.name).flatMap((p) => p.files),
  );
  const same = known.filter((f) => f.path === file.path);
  const ordered = [...same, ...known].map((f) => f.sha256);
  const bases = [...new Set([...ordered, ...view.otherBases(pin.name)])].filter(view.hasContent);
  return bases.slice(0, BASES_MAX);
}
