import { isoTime } from "@flotilla/shared/kernel/iso-time";
import type { DesiredInstance, DesiredState } from "@flotilla/shared/model/desired-state";
import { runDigest } from "../reconcile/devices.ts";
import type { InstanceRecord } from "../reconcile/instance-record.ts";
import type { Hold } from "../reconcile/step.ts";
import { NO_SET, releasesText, type SetDigest } from "./artifact-sets.ts";
import {
  currentContents,
  failureOf,
  lastGood,
  type SlotName,
  type SlotRecord,
  usableSlot,
} from "./slot-record.ts";
import type { ActiveLock } from "./update-lock.ts";

/**
 * The accepted desired state as it can be carried out now. An instance whose new artifacts do not lie ready goes on as what it
 * last was, or is held back when it never ran; one whose new artifacts failed here goes on with the last good ones. Whatever this
 * returns was asked for by some accepted desired state.
 */

/** Said while the files of a slot are read once more before they are used. */
export const CHECKING = "its files are being checked";

/** What is known of one instance. */
export interface InstanceFacts {
  readonly wanted: DesiredInstance;
  readonly slots: SlotRecord | undefined;
  readonly record: InstanceRecord | undefined;
  /** What holds back changes of this instance; asked only when there is one to hold back. */
  readonly lock: () => ActiveLock | undefined;
  /** True: the files of this slot were found right since they were last made or started. */
  readonly isChecked: (slot: SlotName) => boolean;
  /** How far the artifacts are that are not there yet: one sentence. */
  readonly pending: string | undefined;
}

/** What is to run of an instance now; `hold` says in what it falls short of what is wanted. */
export interface Choice {
  /** Undefined: nothing yet. */
  readonly run: DesiredInstance | undefined;
  readonly hold?: Hold;
}

/** What is to run of one instance. */
export function chooseInstance(facts: InstanceFacts, setOf: SetDigest): Choice {
  const { record, slots, wanted } = facts;
  const choice = withoutLock(facts, setOf);
  if (record === undefined || !isUpdate(facts, choice, setOf)) return choice;
  // What failed goes back whatever holds updates back: it does not work as it is.
  if (slots?.phase === "rolling-back" || choice.hold?.reason === "RolledBack") return choice;
  const lock = facts.lock();
  if (lock === undefined) return choice;
  const run = asItWas(facts, setOf) ?? record.desired;
  const { reason, untilBootMs, untilWallMs } = lock;
  const until = untilWallMs === undefined ? "" : ` until ${isoTime(untilWallMs)}`;
  const by = lock.by === "operator" ? "an operator" : "the workload";
  const message = `${changeText(wanted)} waits: locked by ${by}${until}: ${reason}`;
  return { run, hold: { reason: "UpdateLocked", untilBootMs, message } };
}

function withoutLock(facts: InstanceFacts, setOf: SetDigest): Choice {
  const { slots, wanted } = facts;
  const set = setOf(wanted.artifacts);
  if (set === NO_SET) return { run: wanted };
  const current = slots === undefined ? undefined : currentContents(slots);
  const good = lastGood(slots);
  const failure = failureOf(slots, set);
  if (slots?.phase === "rolling-back" && good !== undefined) {
    if (good.set === set) return { run: wanted };
    const hold =
      failure === undefined
        ? pending(facts, "the last good artifacts come back first")
        : rolledBack(facts, failure);
    return { run: good.desired, hold };
  }
  if (current?.set === set) return { run: wanted };
  if (slots?.phase === "trial" && slots.trial?.failing === undefined) {
    const why = `the trial of ${changeText(current?.desired)} comes first`;
    return { run: asItWas(facts, setOf), hold: pending(facts, why) };
  }
  if (failure !== undefined && good !== undefined) {
    const run = current === undefined ? good.desired : asItWas(facts, setOf);
    return { run, hold: rolledBack(facts, failure) };
  }
  const slot = usableSlot(slots, set);
  if (slot === undefined) return { run: asItWas(facts, setOf), hold: pending(facts) };
  if (facts.record !== undefined && !facts.isChecked(slot))
    return { run: asItWas(facts, setOf), hold: pending(facts, CHECKING) };
  return { run: wanted };
}

/** What the instance is now: as its record says where that is true of its files, else as the files say. */
function asItWas(facts: InstanceFacts, setOf: SetDigest): DesiredInstance | undefined {
  const { record, slots } = facts;
  const contents = slots === undefined ? undefined : (currentContents(slots) ?? lastGood(slots));
  if (contents === undefined) return record?.desired;
  return record !== undefined && setOf(record.desired.artifacts) === contents.set
    ? record.desired
    : contents.desired;
}

/** True when carrying the choice out restarts the instance or changes its files. */
function isUpdate(facts: InstanceFacts, choice: Choice, setOf: SetDigest): boolean {
  const { record, slots } = facts;
  const now = asItWas(facts, setOf);
  if (choice.run === undefined || now === undefined || record === undefined) return false;
  const current = slots === undefined ? undefined : currentContents(slots);
  return (
    runDigest(choice.run) !== runDigest(now) ||
    setOf(choice.run.artifacts) !== (current?.set ?? setOf(now.artifacts))
  );
}

function pending(facts: InstanceFacts, why?: string): Hold {
  const message = `${changeText(facts.wanted)}: ${why ?? facts.pending ?? "not looked at yet"}`;
  return { reason: "ArtifactsPending", message };
}

function rolledBack({ slots, wanted }: InstanceFacts, failure: Failed): Hold {
  const good = lastGood(slots)?.desired;
  const message = `${changeText(wanted)} failed here (${failure.reason}: ${failure.message}); ${changeText(good)} runs. It is not tried again until flotilla-agent retry ${wanted.id}`;
  return { reason: "RolledBack", message };
}

type Failed = NonNullable<ReturnType<typeof failureOf>>;

function changeText(desired: DesiredInstance | undefined): string {
  const { artifacts = [] } = desired ?? {};
  return artifacts.length === 0 ? "its new spec" : releasesText(artifacts);
}

/** The desired state with what is to run now, and the holds by instance. The same object when nothing falls short. */
export function effectiveState(
  desired: DesiredState,
  choices: ReadonlyMap<string, Choice>,
): { readonly desired: DesiredState; readonly holds: ReadonlyMap<string, Hold> } {
  const holds = new Map<string, Hold>();
  let isSame = true;
  const instances = desired.instances.flatMap((wanted) => {
    const choice = choices.get(wanted.id);
    if (choice === undefined) return [wanted];
    if (choice.hold !== undefined) holds.set(wanted.id, choice.hold);
    if (choice.run !== wanted) isSame = false;
    return choice.run === undefined ? [] : [choice.run];
  });
  return { desired: isSame ? desired : { ...desired, instances }, holds };
}
