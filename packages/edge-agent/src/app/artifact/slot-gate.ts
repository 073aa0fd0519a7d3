import { AssertionError, must } from "@flotilla/shared/kernel/assert";
import type { Clock } from "@flotilla/shared/kernel/clock";
import { CodedError, messageOf } from "@flotilla/shared/kernel/errors";
import type { Log, Metrics } from "@flotilla/shared/kernel/service";
import type { ReportedArtifact, ReportedArtifacts } from "@flotilla/shared/model/artifact";
import type { DesiredInstance, DesiredState } from "@flotilla/shared/model/desired-state";
import { artifactReport, type Progress } from "../../domain/artifact/artifact-report.ts";
import { filesOfSet, releasesText, reloadsBetween } from "../../domain/artifact/artifact-sets.ts";
import {
  CHECKING,
  type Choice,
  chooseInstance,
  effectiveState,
} from "../../domain/artifact/effective.ts";
import {
  currentContents,
  lastGood,
  type SlotName,
  type SlotRecord,
  usableSlot,
} from "../../domain/artifact/slot-record.ts";
import { judgeTrial, READY_GAP_MS_MAX, TRIAL_GAP_MS_MAX } from "../../domain/artifact/trial.ts";
import { runDigest } from "../../domain/reconcile/devices.ts";
import type { ArtifactPaths } from "../../domain/reconcile/expand.ts";
import type { InstanceRecord } from "../../domain/reconcile/instance-record.ts";
import type { Hold } from "../../domain/reconcile/step.ts";
import { recordsExit } from "../../domain/reconcile/transitions.ts";
import type { ArtifactGate, Effective, Seen } from "../reconcile/ports.ts";
import type { Notify } from "../state/notices.ts";
import type { SlotDisk, TrustGate } from "./ports.ts";
import type { SlotBook } from "./slot-book.ts";
import type { UpdateLocks } from "./update-locks.ts";

/** Failures of the switch before a start. */
export type ActivationErrorCode =
  /** A start was asked for with files that do not lie ready. The next pass holds it back. */
  "artifacts-not-ready";

export interface SlotGateDeps {
  readonly book: SlotBook;
  readonly disk: Pick<SlotDisk, "current" | "isUntouched" | "switchTo" | "pathOf">;
  readonly locks: UpdateLocks;
  readonly trust: Pick<TrustGate, "installed">;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly notify: Notify;
  /** How far what does not lie ready is; from the service that makes it ready. */
  readonly progressOf: (instanceId: string) => Progress | undefined;
  readonly report: () => ReportedArtifacts | undefined;
  readonly onPass: () => void;
}

interface ReadyTime {
  /** Of which run, with which set. */
  readonly run: string;
  readonly readyMs: number;
  readonly seenBootMs: number;
}

/** Between the reconciler and the slots: what may run now, the switch before a start, and the trial after it. */
export class SlotGate implements ArtifactGate {
  readonly #deps: SlotGateDeps;
  #seen: Seen | undefined;
  #holds: ReadonlyMap<string, Hold> = new Map();
  /** How long a run is ready with its set, by instance. */
  readonly #ready = new Map<string, ReadyTime>();
  #lastFailure = "";
  #isResumed = false;

  constructor(deps: SlotGateDeps) {
    this.#deps = deps;
  }

  /** What the reconciler saw last. */
  get seen(): Seen | undefined {
    return this.#seen;
  }

  settle(seen: Seen, desired: DesiredState | undefined): void {
    const gapMs = seen.now.bootMs - (this.#seen?.now.bootMs ?? seen.now.bootMs);
    this.#seen = seen;
    this.#quietly(() => {
      if (!this.#isResumed) this.#resume(seen);
      else if (gapMs > TRIAL_GAP_MS_MAX)
        for (const { id } of this.#deps.book.all())
          this.#deps.book.apply(id, { kind: "resumed", now: seen.now });
      this.#isResumed = true;
    });
    const records = new Map(seen.records.map((record) => [record.id, record]));
    for (const id of this.#ready.keys()) if (!records.has(id)) this.#ready.delete(id);
    for (const slots of this.#deps.book.all())
      this.#quietly(() => this.#settleOne(slots, records.get(slots.id), seen));
    for (const wanted of desired?.instances ?? []) this.#quietly(() => this.#withdraw(wanted));
  }

  effective(desired: DesiredState, seen: Seen): Effective {
    const choices = this.choices(desired, seen);
    const state = effectiveState(desired, choices);
    this.#holds = state.holds;
    return { ...state, startHolds: this.#startHolds(state.desired) };
  }

  /** What is to run of each instance that artifacts or locks say something about. */
  choices(desired: DesiredState, seen: Seen): ReadonlyMap<string, Choice> {
    const { book, locks, progressOf } = this.#deps;
    const everyone = locks.isAnyHeld;
    const records = new Map(seen.records.map((record) => [record.id, record]));
    const choices = new Map<string, Choice>();
    for (const wanted of desired.instances) {
      const { id } = wanted;
      const slots = book.get(id);
      if (!everyone && slots === undefined && wanted.artifacts === undefined) continue;
      const facts = {
        wanted,
        slots,
        record: records.get(id),
        lock: () => locks.activeFor(id, slots !== undefined),
        isChecked: (slot: "a" | "b") => book.isChecked(id, slot),
        pending: progressOf(id)?.message,
      };
      choices.set(id, chooseInstance(facts, book.setOf));
    }
    return choices;
  }

  beforeStart(desired: DesiredInstance, before: InstanceRecord | undefined): void {
    const { book, disk, clock } = this.#deps;
    const { id } = desired;
    const slots = book.get(id);
    const slot = usableSlot(slots, book.setOf(desired.artifacts));
    if (slots === undefined || slot === undefined || !this.#isReady(slots, slot))
      throw new CodedError<ActivationErrorCode>(
        "artifacts-not-ready",
        `the artifacts of ${id} do not lie ready`,
        { fields: { instance: id }, mend: "It is started when they do." },
      );
    if (slot === slots.current) {
      disk.switchTo(id, slot);
      book.apply(id, { kind: "told" });
    } else {
      book.apply(id, { kind: "intend" });
      disk.switchTo(id, slot);
      const now = { bootMs: clock.bootMs(), wallMs: clock.wallMs(), bootId: this.#bootId() };
      const isSame = before !== undefined && runDigest(before.desired) === runDigest(desired);
      const failuresBefore = isSame ? before.failureCount : 0;
      this.noteSwitch(
        book.apply(id, { kind: "switched", desired, failuresBefore, reloads: [], now }),
      );
    }
    book.useUp(id, slot);
  }

  /** A check may be long ago: what was written to since then is checked again. */
  #isReady({ id, ...slots }: SlotRecord, slot: SlotName): boolean {
    const { book, disk } = this.#deps;
    if (!book.isChecked(id, slot)) return false;
    const files = filesOfSet(slots[slot]?.desired.artifacts ?? []);
    if (disk.isUntouched(id, slot, files)) return true;
    book.useUp(id, slot);
    return false;
  }

  pathsOf(instanceId: string): ArtifactPaths {
    const current = this.#deps.disk.pathOf(instanceId);
    return { FLOTILLA_ARTIFACTS: current, FLOTILLA_UPDATE_LOCK: lockPathOf(current) };
  }

  reportOf(desired: DesiredInstance): readonly ReportedArtifact[] | undefined {
    if (desired.artifacts === undefined) return undefined;
    const { book, progressOf } = this.#deps;
    const { id } = desired;
    const facts = { slots: book.get(id), progress: progressOf(id), hold: this.#holds.get(id) };
    return artifactReport(desired, facts, book.setOf);
  }

  report(): ReportedArtifacts | undefined {
    return this.#deps.report();
  }

  wake(): void {
    this.#deps.onPass();
  }

  /** Says that `current` leads to other files. */
  noteSwitch(slots: SlotRecord): void {
    const { metrics, notify } = this.#deps;
    const what = releasesText(currentContents(slots)?.desired.artifacts ?? []);
    const isBack = slots.phase === "committed";
    metrics.count("flotilla_agent_artifact_switches_total", { kind: isBack ? "back" : "forward" });
    const reason = isBack ? "ArtifactRestored" : "ArtifactSwitched";
    notify({ type: "Normal", reason, message: `${what} is current now`, instance: slots.id });
  }

  /** The set on trial has failed: goes back, or is tried on where there is nothing to go back to. */
  fail(id: string, failure: { readonly reason: string; readonly message: string }): void {
    const { book, clock, metrics, notify } = this.#deps;
    const what = releasesText(this.#currentArtifacts(id));
    const now = { bootMs: clock.bootMs(), wallMs: clock.wallMs(), bootId: this.#bootId() };
    const before = book.get(id);
    const after = book.apply(id, { kind: "failed", failure, now });
    if (after === before) return;
    const isBack = after.failed.length > 0 && after.failed !== before?.failed;
    metrics.count("flotilla_agent_artifact_trials_total", {
      outcome: isBack ? "rolled-back" : "failing",
    });
    const back = releasesText(lastGood(after)?.desired.artifacts ?? []);
    const why = `${what} failed (${failure.reason}: ${failure.message})`;
    notify({
      type: "Warning",
      reason: isBack ? "ArtifactRolledBack" : "ArtifactFailed",
      message: isBack ? `${why}; back to ${back}` : `${why}; there is nothing to go back to`,
      instance: id,
    });
  }

  #currentArtifacts(id: string) {
    const slots = this.#deps.book.get(id);
    return (slots === undefined ? undefined : currentContents(slots))?.desired.artifacts ?? [];
  }

  /** What an earlier agent, or an earlier boot, has left between intent and deed. */
  #resume(seen: Seen): void {
    const { book, disk } = this.#deps;
    for (const slots of book.all()) {
      const { current, id, next, phase } = slots;
      const onDisk = disk.current(id);
      if (phase === "switching" && next !== undefined && onDisk === next) {
        const desired = must(slots[next], "what is switched to is whole").desired;
        const before = seen.records.find((record) => record.id === id);
        const failuresBefore = before?.failureCount ?? 0;
        const reloads = this.#reloadsOf(slots);
        book.apply(id, { kind: "switched", desired, failuresBefore, reloads, now: seen.now });
      } else if (phase === "switching") book.apply(id, { kind: "unswitched" });
      else if (phase === "rolling-back") continue;
      else if (current !== undefined && onDisk !== current && slots[current] !== undefined)
        disk.switchTo(id, current);
      book.apply(id, { kind: "resumed", now: seen.now });
    }
  }

  /** Of a switch that was cut short: whether the workload runs on is not known, so that it is told. */
  #reloadsOf(slots: SlotRecord) {
    const to = slots.next === undefined ? undefined : slots[slots.next];
    return reloadsBetween(
      currentContents(slots)?.desired.artifacts ?? [],
      to?.desired.artifacts ?? [],
    );
  }

  #settleOne(slots: SlotRecord, record: InstanceRecord | undefined, seen: Seen): void {
    const contents = currentContents(slots);
    if (contents === undefined || record === undefined) return;
    const readyMs = this.#readyMs(slots, record, seen);
    if (slots.trial === undefined) {
      this.#respecify(slots, record, readyMs !== undefined);
      return;
    }
    const health = seen.health.get(slots.id);
    const verdict = judgeTrial(slots, { record, health, readyMs }, seen.now);
    if (verdict?.kind === "failed") this.fail(slots.id, verdict.failure);
    if (verdict?.kind === "proved") this.#commit(slots, record);
  }

  #commit(slots: SlotRecord, record: InstanceRecord): void {
    const { book, metrics, notify, trust } = this.#deps;
    const contents = must(currentContents(slots), "it was proved");
    const isOwn = book.setOf(record.desired.artifacts) === contents.set;
    const desired = isOwn ? record.desired : contents.desired;
    book.transaction(() => {
      trust.installed(contents.targets);
      book.apply(slots.id, { kind: "proved", desired });
    });
    metrics.count("flotilla_agent_artifact_trials_total", { outcome: "committed" });
    const message = `${releasesText(desired.artifacts ?? [])} is active`;
    notify({ type: "Normal", reason: "ArtifactActive", message, instance: slots.id });
  }

  /** A set on trial of which nobody waits for the outcome: the one before is wanted again. */
  #withdraw({ artifacts, id }: DesiredInstance): void {
    const { book, locks } = this.#deps;
    const slots = book.get(id);
    if (slots?.phase !== "trial" || artifacts === undefined) return;
    const set = book.setOf(artifacts);
    if (currentContents(slots)?.set === set || lastGood(slots)?.set !== set) return;
    if (locks.activeFor(id, true) === undefined) book.apply(id, { kind: "withdrawn" });
  }

  /** What is gone back to is the spec that ran well last, with the same files. */
  #respecify(slots: SlotRecord, record: InstanceRecord, isReady: boolean): void {
    const { book } = this.#deps;
    const contents = currentContents(slots);
    if (!isReady || contents?.isGood !== true) return;
    const { desired } = record;
    if (book.setOf(desired.artifacts) !== contents.set) return;
    if (runDigest(desired) === runDigest(contents.desired)) return;
    book.apply(slots.id, { kind: "respecified", desired });
  }

  #readyMs(slots: SlotRecord, record: InstanceRecord, seen: Seen): number | undefined {
    const { id, reloads } = slots;
    const run = `${record.runId ?? ""} ${currentContents(slots)?.set ?? ""}`;
    const leaders = seen.observed.get(id)?.leaders.length ?? 0;
    const isWhole = leaders === record.desired.containers.length || recordsExit(record.desired);
    const isReady =
      record.intent === "running" &&
      leaders > 0 &&
      isWhole &&
      reloads.length === 0 &&
      seen.health.get(id)?.ready === true;
    if (!isReady) {
      this.#ready.delete(id);
      return undefined;
    }
    const { bootMs } = seen.now;
    const before = this.#ready.get(id);
    const gapMs = before?.run === run ? bootMs - before.seenBootMs : 0;
    const readyMs = (before?.run === run ? before.readyMs : 0) + Math.min(gapMs, READY_GAP_MS_MAX);
    this.#ready.set(id, { run, readyMs, seenBootMs: bootMs });
    return readyMs;
  }

  #startHolds(desired: DesiredState): ReadonlyMap<string, Hold> {
    const { book, progressOf } = this.#deps;
    const holds = new Map<string, Hold>();
    for (const { id, artifacts } of desired.instances) {
      if (artifacts === undefined) continue;
      const slot = usableSlot(book.get(id), book.setOf(artifacts));
      if (slot !== undefined && book.isChecked(id, slot)) continue;
      const why = slot === undefined ? (progressOf(id)?.message ?? "not looked at yet") : CHECKING;
      const message = `${releasesText(artifacts)}: ${why}`;
      holds.set(id, { reason: "ArtifactsPending", message });
    }
    return holds;
  }

  #bootId(): string {
    return must(this.#seen, "a pass has begun").now.bootId;
  }

  /** A full disk must not keep the node from what else is to be done; said once. */
  #quietly(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (error instanceof AssertionError) throw error;
      const failure = messageOf(error);
      if (failure !== this.#lastFailure)
        this.#deps.log.error(
          { err: error },
          "what came of artifacts could not be noted; tried again",
        );
      this.#lastFailure = failure;
    }
  }
}

/** Beside `current`, so that it is the instance's and not of one set. */
function lockPathOf(currentPath: string): string {
  return `${currentPath.slice(0, currentPath.lastIndexOf("/"))}/update.lock`;
}
