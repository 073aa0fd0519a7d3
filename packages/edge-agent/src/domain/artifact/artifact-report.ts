import type { ReportedArtifact } from "@flotilla/shared/model/artifact";
import type { DesiredInstance } from "@flotilla/shared/model/desired-state";
import type { Hold } from "../reconcile/step.ts";
import { changedPins, type SetDigest } from "./artifact-sets.ts";
import {
  currentContents,
  failureOf,
  lastGood,
  type SlotRecord,
  usableSlot,
} from "./slot-record.ts";

/** Longest reason and message of an artifact in a report, characters. */
const REASON_LENGTH_MAX = 64;
const MESSAGE_LENGTH_MAX = 512;

/** How far the artifacts are that do not lie ready yet. */
export interface Progress {
  readonly phase: "Checking" | "Downloading" | "Failed";
  /** Whole percent of the bytes. */
  readonly percent?: number;
  /** One word, when something is in the way. */
  readonly reason?: string;
  readonly message: string;
}

/** What is told of each artifact of an instance, in the order of its pins. */
export function artifactReport(
  desired: DesiredInstance,
  facts: {
    readonly slots: SlotRecord | undefined;
    readonly progress: Progress | undefined;
    readonly hold: Hold | undefined;
  },
  setOf: SetDigest,
): readonly ReportedArtifact[] {
  const { artifacts = [] } = desired;
  const contents = facts.slots === undefined ? undefined : currentContents(facts.slots);
  const active = contents?.desired.artifacts ?? [];
  const set = setOf(artifacts);
  // Compared pin by pin only while there is a difference: this is asked every second.
  const changed = contents?.set === set ? new Set() : new Set(changedPins(active, artifacts));
  const state = stateOf(set, facts);
  return artifacts.map((pin): ReportedArtifact => {
    const { name, version } = pin;
    const before = active.find((a) => a.name === name && a.path === pin.path);
    const own: State = changed.has(pin) || contents?.isGood !== true ? state : { phase: "Active" };
    return {
      name,
      version,
      ...own,
      ...(before === undefined ? {} : { activeVersion: before.version }),
    };
  });
}

type State = Omit<ReportedArtifact, "name" | "version" | "activeVersion">;

function stateOf(
  set: string,
  { slots, progress, hold }: Parameters<typeof artifactReport>[1],
): State {
  const contents = slots === undefined ? undefined : currentContents(slots);
  const failure = failureOf(slots, set);
  if (slots !== undefined && failure !== undefined && lastGood(slots) !== undefined)
    return { phase: "RolledBack", ...why(failure) };
  if (contents?.set === set) {
    if (contents.isGood) return { phase: "Active" };
    const failing = slots?.trial?.failing;
    return failing === undefined ? { phase: "Trial" } : { phase: "Failed", ...why(failing) };
  }
  if (usableSlot(slots, set) !== undefined)
    return { phase: "Prepared", ...(hold === undefined ? {} : why(hold)) };
  if (progress === undefined) return { phase: "Checking" };
  return {
    phase: progress.phase,
    ...(progress.phase === "Downloading" && progress.percent !== undefined
      ? { percent: progress.percent }
      : {}),
    ...(progress.reason === undefined
      ? {}
      : why({ reason: progress.reason, message: progress.message })),
  };
}

function why({ reason, message }: { readonly reason: string; readonly message: string }) {
  return {
    reason: reason.slice(0, REASON_LENGTH_MAX),
    message: message.slice(0, MESSAGE_LENGTH_MAX),
  };
}
