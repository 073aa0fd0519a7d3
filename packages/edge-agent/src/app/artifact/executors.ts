import { must } from "@flotilla/shared/kernel/assert";
import type { Clock } from "@flotilla/shared/kernel/clock";
import type { Log, Metrics } from "@flotilla/shared/kernel/service";
import type { ArtifactStep, ArtifactStepKind } from "../../domain/artifact/artifact-plan.ts";
import { filesOfSet, releasesText, reloadsBetween } from "../../domain/artifact/artifact-sets.ts";
import {
  currentContents,
  type SlotContents,
  type SlotName,
} from "../../domain/artifact/slot-record.ts";
import { recordsExit } from "../../domain/reconcile/transitions.ts";
import type { Seen, WorkloadSignals } from "../reconcile/ports.ts";
import type { Notify } from "../state/notices.ts";
import type { LocalBlobs, ReloadPoster, SlotDisk, TrustGate } from "./ports.ts";
import type { SlotBook } from "./slot-book.ts";
import type { SlotGate } from "./slot-gate.ts";

/** Most tries to tell a workload that its last good files are back; then it is ended, so that it starts with them. */
export const RELOAD_TRIES_MAX = 3;
/** Pause between them. */
export const RELOAD_RETRY_MS = 5_000;

export interface ArtifactExecutorDeps {
  readonly book: SlotBook;
  readonly gate: Pick<SlotGate, "seen" | "fail" | "noteSwitch">;
  readonly disk: SlotDisk;
  readonly blobs: Pick<LocalBlobs, "touch">;
  readonly trust: Pick<TrustGate, "prepared" | "mayRun">;
  readonly signals: WorkloadSignals;
  /** Ends processes, so that the reconciler starts them again. */
  readonly end: (seen: Seen, instanceId: string) => void;
  readonly poster: ReloadPoster;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly notify: Notify;
  /** An instance has got these contents into a slot. */
  readonly onTaken: (contents: SlotContents) => void;
}

type StepByKind = { readonly [K in ArtifactStepKind]: Extract<ArtifactStep, { readonly kind: K }> };
/** What a fetch or a wait needs lies with the service: it is about all instances at once. */
type Carried = Exclude<ArtifactStepKind, "fetch" | "wait">;
type Executors = {
  readonly [K in Carried]: (step: StepByKind[K], signal: AbortSignal) => void | Promise<void>;
};

/** Carries out one step. Rejects when it failed: then it is tried again. */
export function makeArtifactExecutor(
  deps: ArtifactExecutorDeps,
): (step: StepByKind[Carried], signal: AbortSignal) => Promise<void> {
  const { book, disk } = deps;
  const executors: Executors = {
    forget: ({ id }) => {
      disk.remove(id);
      book.forget(id);
    },
    drop: ({ id }) => {
      book.apply(id, { kind: "drop" });
    },
    prepare: (step) => prepare(step, deps),
    check: (step) => check(step, deps),
    reload: (step, signal) => reload(step, deps, signal),
    tell: ({ id }, signal) => tell(id, deps, signal),
  };
  const execute = async <K extends Carried>(
    kind: K,
    step: StepByKind[K],
    signal: AbortSignal,
  ): Promise<void> => {
    await executors[kind](step, signal);
  };
  return (step, signal) => execute(step.kind, step, signal);
}

async function prepare(
  { desired, id, targets }: StepByKind["prepare"],
  deps: ArtifactExecutorDeps,
): Promise<void> {
  const { blobs, book, disk, metrics, trust } = deps;
  const { artifacts = [] } = desired;
  const files = filesOfSet(artifacts);
  const begun = book.apply(id, { kind: "begin" });
  const slot = begun.next;
  if (begun.phase !== "preparing" || slot === undefined) return;
  await disk.prepare(id, slot, files);
  // Meanwhile it may have become another instance's life, or nobody's.
  const now = book.get(id);
  if (now?.phase !== "preparing" || now.next !== slot) return;
  const contents = { set: book.setOf(artifacts), desired, targets };
  const made = book.transaction(() => {
    trust.prepared(targets);
    return book.apply(id, { kind: "made", contents });
  });
  book.markChecked(id, slot);
  for (const { sha256 } of files) blobs.touch(sha256);
  metrics.count("flotilla_agent_artifact_prepared_total");
  deps.onTaken(must(made[slot], "it was made"));
}

async function check({ id, slot }: StepByKind["check"], deps: ArtifactExecutorDeps): Promise<void> {
  const { book, disk, log, metrics, notify, trust } = deps;
  const contents = book.get(id)?.[slot];
  if (contents === undefined) return;
  const { artifacts = [] } = contents.desired;
  const found = await disk.intact(id, slot, filesOfSet(artifacts));
  if (book.get(id)?.[slot]?.set !== contents.set) return;
  const distrusted = artifacts
    .flatMap((pin) => pin.files)
    .find(({ length, sha256, target }) => !trust.mayRun(target, { length, sha256 }));
  if (found.kind === "intact" && distrusted === undefined) {
    book.markChecked(id, slot);
    return;
  }
  const why =
    found.kind === "altered"
      ? `${found.path} is not what it was installed as`
      : found.kind === "absent"
        ? "its files are not there"
        : `${distrusted?.target ?? ""} has no receipt`;
  log.error({ instance: id, slot, why }, "files of a slot cannot be used");
  metrics.count("flotilla_agent_artifact_damage_total");
  const message = `${releasesText(artifacts)}: ${why}; it is made anew`;
  notify({ type: "Warning", reason: "ArtifactDamaged", message, instance: id });
  book.apply(id, { kind: "lost", slot });
}

/** Leads `current` elsewhere under the running workload, then tells it. */
async function reload(
  { desired, id, slot }: StepByKind["reload"],
  deps: ArtifactExecutorDeps,
  signal: AbortSignal,
): Promise<void> {
  // A check may be long ago: what was written to since then is checked again.
  if (!deps.disk.isUntouched(id, slot, filesOfSet(desired.artifacts ?? []))) {
    deps.book.useUp(id, slot);
    return;
  }
  switchUnder({ id, slot, desired }, deps);
  await tell(id, deps, signal);
}

function switchUnder(
  { desired, id, slot }: Pick<StepByKind["reload"], "desired" | "id"> & { readonly slot: SlotName },
  { book, clock, disk, gate }: ArtifactExecutorDeps,
): void {
  const seen = must(gate.seen, "a pass has begun");
  const before = book.get(id);
  const from = before === undefined ? [] : (currentContents(before)?.desired.artifacts ?? []);
  const record = seen.records.find((r) => r.id === id);
  book.apply(id, { kind: "intend" });
  disk.switchTo(id, slot);
  const after = book.apply(id, {
    kind: "switched",
    desired,
    failuresBefore: record?.failureCount ?? 0,
    reloads: reloadsBetween(from, desired.artifacts ?? []),
    now: { bootMs: clock.bootMs(), wallMs: clock.wallMs(), bootId: seen.now.bootId },
  });
  book.useUp(id, slot);
  gate.noteSwitch(after);
}

/** Signals first, then POSTs, each once; a POST that is not answered with 2xx fails the trial. */
async function tell(id: string, deps: ArtifactExecutorDeps, signal: AbortSignal): Promise<void> {
  const { book, gate, metrics, signals } = deps;
  const slots = book.get(id);
  const record = gate.seen?.records.find((r) => r.id === id);
  if (slots === undefined || record === undefined) return;
  for (const told of slots.reloads) {
    if (told.kind !== "signal") continue;
    const notice = { signal: told.signal, recordsExit: recordsExit(record.desired) };
    signals.tell(record.processes, notice);
    metrics.count("flotilla_agent_artifact_reloads_total", { kind: "signal", outcome: "ok" });
  }
  for (let tries = 1; ; tries++) {
    const failure = await postAll(id, deps, signal);
    if (signal.aborted || book.get(id)?.current !== slots.current) return;
    if (failure === undefined) break;
    if (slots.phase === "trial") {
      gate.fail(id, { reason: "ReloadFailed", message: failure });
      if (book.get(id)?.phase !== "trial") return;
      break;
    }
    if (tries >= RELOAD_TRIES_MAX) {
      const message = `it does not take its last good files back (${failure}) and is started again`;
      deps.notify({ type: "Warning", reason: "ReloadFailed", message, instance: id });
      if (gate.seen !== undefined) deps.end(gate.seen, id);
      break;
    }
    await deps.clock.sleep(RELOAD_RETRY_MS, signal).catch(() => undefined);
  }
  book.apply(id, { kind: "told" });
}

/** The first failure; undefined when every POST was answered with 2xx. */
async function postAll(
  id: string,
  { book, metrics, poster }: ArtifactExecutorDeps,
  signal: AbortSignal,
): Promise<string | undefined> {
  for (const told of book.get(id)?.reloads ?? []) {
    if (told.kind !== "http") continue;
    const { ok, message } = await poster.post(told, signal);
    const outcome = ok ? "ok" : "failed";
    if (!signal.aborted)
      metrics.count("flotilla_agent_artifact_reloads_total", { kind: "http", outcome });
    if (!ok) return `POST ${told.path}: ${message}`;
  }
  return undefined;
}
