import { AssertionError } from "@flotilla/shared/kernel/assert";
import type { Clock } from "@flotilla/shared/kernel/clock";
import { CodedError, messageOf } from "@flotilla/shared/kernel/errors";
import type { Random } from "@flotilla/shared/kernel/random";
import { exponentialMs, type RetrySchedule } from "@flotilla/shared/kernel/retry";
import type { Log, Metrics, Service } from "@flotilla/shared/kernel/service";
import type { ReportedArtifacts } from "@flotilla/shared/model/artifact";
import type { DesiredInstance, DesiredState } from "@flotilla/shared/model/desired-state";
import {
  type ArtifactStep,
  type ArtifactView,
  planArtifacts,
} from "../../domain/artifact/artifact-plan.ts";
import type { Progress } from "../../domain/artifact/artifact-report.ts";
import { NO_SET } from "../../domain/artifact/artifact-sets.ts";
import { isWithoutArtifacts, neededContents } from "../../domain/artifact/holdings.ts";
import {
  currentContents,
  failureOf,
  lastGood,
  usableSlot,
} from "../../domain/artifact/slot-record.ts";
import { releaseKey } from "../../domain/artifact/trust-order.ts";
import type { Seen, WorkloadSignals } from "../reconcile/ports.ts";
import type { Notify } from "../state/notices.ts";
import type { ArtifactReporter } from "./artifact-reporter.ts";
import { makeArtifactExecutor } from "./executors.ts";
import { FetchQueue, type WantedContent } from "./fetch-queue.ts";
import { Judgements } from "./judgements.ts";
import type { BlobFetcher, LocalBlobs, ReloadPoster, SlotDisk, TrustGate } from "./ports.ts";
import type { SlotBook } from "./slot-book.ts";
import type { SlotGate } from "./slot-gate.ts";

/** Longest pause between two looks. */
export const ARTIFACT_PASS_INTERVAL_MS = 1_000;
/** Wait after the n-th failure in a row of a step of one instance. */
export const ARTIFACT_STEP_RETRY: RetrySchedule = { baseMs: 1_000, capMs: 60_000 };
/** Key of the one task that is about all instances. */
const JUDGE = "judge";
/** Most failures that are remembered as told, so that none is told twice. */
const TOLD_FAILURES_MAX = 256;

export interface ArtifactServiceDeps {
  readonly desired: () => DesiredState | undefined;
  readonly book: SlotBook;
  readonly gate: SlotGate;
  readonly trust: TrustGate;
  readonly fetcher: BlobFetcher;
  readonly blobs: LocalBlobs;
  readonly disk: SlotDisk;
  readonly reporter: ArtifactReporter;
  /** Brings what is known of contents in line with the disk; before anything is looked at. */
  readonly recover: () => Promise<void>;
  /** Lets go of what came of files that nobody wants any more. */
  readonly forget: (isWanted: (sha256: string) => boolean) => void;
  readonly signals: WorkloadSignals;
  /** Ends an instance's processes, so that the reconciler starts it again. */
  readonly end: (seen: Seen, instanceId: string) => void;
  readonly poster: ReloadPoster;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly notify: Notify;
  /** Something is ready, or stands otherwise: wakes the reconciler. */
  readonly onChange: () => void;
}

interface StepFailure {
  readonly tries: number;
  readonly retryAtBootMs: number;
  readonly code: string;
  readonly message: string;
}

/**
 * Makes ready what the desired state names, and brings it into use where no start is needed: judge, fetch, prepare, check,
 * reload. Level triggered; what takes long runs beside the passes, one thing a key at a time.
 */
export class ArtifactService implements Service {
  readonly name = "artifacts";
  readonly #deps: ArtifactServiceDeps;
  readonly #execute: ReturnType<typeof makeArtifactExecutor>;
  readonly #judgements: Judgements;
  readonly #queue: FetchQueue;
  readonly #underWay = new Map<string, Promise<void>>();
  readonly #failures = new Map<string, StepFailure>();
  readonly #told = new Set<string>();
  readonly #progress = new Map<string, Progress>();
  #isSwept = false;
  #forgotRevision: number | undefined;
  #isWoken = false;
  #alarm: AbortController | undefined;

  constructor(deps: ArtifactServiceDeps) {
    this.#deps = deps;
    const { book, clock, fetcher, log, random, reporter, trust } = deps;
    this.#execute = makeArtifactExecutor({
      ...deps,
      onTaken: (contents) => reporter.taken(contents.desired.artifacts ?? []),
    });
    this.#judgements = new Judgements({
      trust,
      clock,
      setOf: book.setOf,
      active: (id) => this.#activeTargets(id),
    });
    this.#queue = new FetchQueue({
      fetcher,
      clock,
      random,
      log,
      onFetched: ({ file, isAhead }) => {
        if (isAhead) reporter.fetchedAhead(file);
        reporter.look();
      },
      onChange: () => this.wake(),
    });
  }

  /** Looks again soon. */
  wake(): void {
    this.#isWoken = true;
    this.#alarm?.abort(new DOMException("woken", "AbortError"));
  }

  /** How far the artifacts of an instance are that do not lie ready. */
  progressOf(instanceId: string): Progress | undefined {
    return this.#progress.get(instanceId);
  }

  report(): ReportedArtifacts | undefined {
    return this.#deps.reporter.report();
  }

  /** Contents that must not be removed. */
  needed(): ReadonlySet<string> {
    return neededContents(this.#deps.book.all(), this.#deps.desired());
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps;
    const ended = new AbortController();
    const until = AbortSignal.any([signal, ended.signal]);
    try {
      await this.#recover();
      while (!signal.aborted) {
        this.#isWoken = false;
        this.pass(until);
        const alarm = new AbortController();
        this.#alarm = alarm;
        // Woken while it looked: the loop breathes, then it looks again.
        const pauseMs = this.#isWoken ? 1 : ARTIFACT_PASS_INTERVAL_MS;
        await clock.sleep(pauseMs, AbortSignal.any([signal, alarm.signal])).catch(() => undefined);
      }
    } finally {
      ended.abort(new DOMException("the service of artifacts ended", "AbortError"));
      await Promise.all([...this.#underWay.values(), this.#queue.idle()]);
    }
  }

  /** One look: what is to be done is begun. `run` calls it; so do those that drive the service by hand. */
  pass(signal: AbortSignal): void {
    const { book, gate, log, reporter } = this.#deps;
    const desired = this.#deps.desired();
    const { seen } = gate;
    if (desired === undefined || seen === undefined) return;
    try {
      if (!this.#isSwept) this.#sweep(desired, seen);
      if (isWithoutArtifacts(book.all(), desired)) {
        this.#progress.clear();
        this.#queue.want([], signal);
      } else this.#look(desired, seen, signal);
      this.#forget(desired);
      reporter.refresh();
    } catch (error) {
      if (error instanceof AssertionError) throw error;
      log.error({ err: error }, "a look at artifacts failed; the next one tries again");
    }
  }

  /** What cannot be read is fetched again: no reason to stop. */
  async #recover(): Promise<void> {
    try {
      await this.#deps.recover();
    } catch (error) {
      this.#deps.log.error({ err: error }, "contents of artifacts could not be looked through");
    }
  }

  /** Transfers of what is not wanted any more go, once a desired state. */
  #forget({ revision }: DesiredState): void {
    if (revision === this.#forgotRevision) return;
    const needed = this.needed();
    this.#deps.forget((sha256) => needed.has(sha256));
    this.#forgotRevision = revision;
  }

  #look(desired: DesiredState, seen: Seen, signal: AbortSignal): void {
    this.#judge(desired, signal);
    const contents: WantedContent[] = [];
    this.#progress.clear();
    this.#forgetFailures(desired);
    for (const view of this.#views(desired, seen))
      for (const step of planArtifacts(view, this.#deps.book.setOf))
        this.#take(step, contents, signal);
    this.#queue.want([...contents, ...this.#ahead(desired, contents)], signal);
  }

  /** Failures of instances that are gone are nobody's. */
  #forgetFailures({ instances }: DesiredState): void {
    if (this.#failures.size === 0) return;
    const ids = new Set([...instances, ...this.#deps.book.all()].map(({ id }) => id));
    for (const key of this.#failures.keys())
      if (key !== JUDGE && !ids.has(key.slice(key.indexOf(" ") + 1))) this.#failures.delete(key);
  }

  /** What a step asks for is begun, or noted. */
  #take(step: ArtifactStep, contents: WantedContent[], signal: AbortSignal): void {
    if (step.kind === "wait") {
      this.#progress.set(step.id, step.progress);
      if (step.progress.reason !== undefined && step.progress.phase === "Failed")
        this.#tell(step.id, "ArtifactRefused", step.progress.message);
      return;
    }
    if (step.kind === "fetch") {
      const { isUrgent } = step;
      contents.push(...step.files.map((file) => ({ ...file, isUrgent, isAhead: false })));
      this.#progress.set(step.id, this.#downloadProgress(step));
      return;
    }
    const key = keyOf(step);
    const failure = this.#failures.get(key);
    if (failure !== undefined) {
      const { code: reason, message } = failure;
      this.#progress.set(step.id, { phase: "Downloading", percent: 100, reason, message });
      if (this.#deps.clock.bootMs() < failure.retryAtBootMs) return;
    } else if (step.kind === "prepare")
      this.#progress.set(step.id, {
        phase: "Downloading",
        percent: 100,
        message: "its files are being put in place",
      });
    this.#begin(key, () => this.#execute(step, signal), signal);
  }

  #begin(key: string, work: () => Promise<void>, signal: AbortSignal): void {
    if (this.#underWay.has(key)) return;
    const done = work()
      .then(() => void this.#failures.delete(key))
      .catch((error: unknown) => {
        if (error instanceof AssertionError) throw error;
        if (!signal.aborted) this.#failed(key, error);
      })
      .finally(() => {
        this.#underWay.delete(key);
        this.#deps.reporter.look();
        this.#deps.onChange();
        this.wake();
      });
    this.#underWay.set(key, done);
  }

  #failed(key: string, error: unknown): void {
    const { clock, log } = this.#deps;
    const tries = (this.#failures.get(key)?.tries ?? 0) + 1;
    const code = error instanceof CodedError ? error.code : "failed";
    const message = messageOf(error);
    const retryAtBootMs = clock.bootMs() + exponentialMs(ARTIFACT_STEP_RETRY, tries - 1);
    this.#failures.set(key, { tries, code, message, retryAtBootMs });
    if (tries === 1)
      log.error({ step: key, err: error }, "a step for artifacts failed; tried again");
  }

  #judge(desired: DesiredState, signal: AbortSignal): void {
    const { blobs, book } = this.#deps;
    const open = new Map<string, string>();
    for (const { id, artifacts } of desired.instances) {
      const set = book.setOf(artifacts);
      const slots = book.get(id);
      if (set === NO_SET || usableSlot(slots, set) !== undefined) continue;
      if (failureOf(slots, set) !== undefined && lastGood(slots) !== undefined) continue;
      open.set(id, set);
    }
    const releases = (desired.prestage ?? [])
      .filter((release) => release.files.some((file) => !blobs.has(file.sha256)))
      .map(releaseKey);
    const retryAtBootMs = this.#failures.get(JUDGE)?.retryAtBootMs ?? 0;
    if (this.#deps.clock.bootMs() < retryAtBootMs) return;
    if (!this.#judgements.isDue(open, releases)) return;
    this.#begin(JUDGE, () => this.#judgements.ask(desired, signal), signal);
  }

  /** What is to lie ready and does not; what an instance waits for comes first. */
  #ahead(desired: DesiredState, before: readonly WantedContent[]): readonly WantedContent[] {
    const { blobs, reporter } = this.#deps;
    const known = new Set(before.map(({ file }) => file.sha256));
    return (desired.prestage ?? []).flatMap((release) => {
      if (this.#judgements.ofRelease(release)?.kind !== "accepted") return [];
      const bases = reporter.contentsOf(release.name).filter((sha256) => blobs.has(sha256));
      return release.files
        .filter(({ sha256 }) => !known.has(sha256) && !blobs.has(sha256))
        .map((file) => ({ file, bases, isUrgent: false, isAhead: true }));
    });
  }

  *#views(desired: DesiredState, seen: Seen): Generator<ArtifactView> {
    const { blobs, book, gate, reporter } = this.#deps;
    const choices = gate.choices(desired, seen);
    const wanted = new Map(desired.instances.map((i) => [i.id, i]));
    const records = new Map(seen.records.map((r) => [r.id, r]));
    const hasContent = (sha256: string): boolean => blobs.has(sha256);
    const ids = new Set([
      ...desired.instances.flatMap((i) => (i.artifacts === undefined ? [] : [i.id])),
      ...book.all().map((slots) => slots.id),
    ]);
    for (const id of ids) {
      const own: DesiredInstance | undefined = wanted.get(id);
      yield {
        id,
        wanted: own,
        run: choices.get(id)?.run,
        slots: book.get(id),
        record: records.get(id),
        isAlive: (seen.observed.get(id)?.leaders.length ?? 0) > 0,
        verdict: this.#judgements.ofInstance(id, book.setOf(own?.artifacts)),
        isChecked: (slot) => book.isChecked(id, slot),
        hasContent,
        otherBases: (artifact) => reporter.contentsOf(artifact),
      };
    }
  }

  #downloadProgress(step: Extract<ArtifactStep, { readonly kind: "fetch" }>): Progress {
    const left = step.files.reduce(
      (sum, { file }) => sum + file.length - this.#queue.doneBytesOf(file.sha256),
      0,
    );
    const done = step.totalBytes - left;
    const percent =
      step.totalBytes === 0
        ? 0
        : Math.min(99, Math.max(0, Math.floor((done / step.totalBytes) * 100)));
    const failed = step.files.find(({ file }) => this.#queue.failureOf(file.sha256) !== undefined);
    const failure = failed && this.#queue.failureOf(failed.file.sha256);
    if (failed === undefined || failure === undefined)
      return { phase: "Downloading", percent, message: `downloading, ${percent} %` };
    const message = `downloading, ${percent} %; tried ${failure.tries} times: ${failure.message}`;
    // Numbers in a message, such as the bytes that are free, make no other failure of it.
    this.#tell(step.id, "ArtifactFetchFailed", failure.message, [failed.file.sha256, failure.code]);
    return { phase: "Downloading", percent, reason: failure.code, message };
  }

  /** Each failure is told once; `is` says which it is. */
  #tell(instance: string, reason: string, message: string, is = [message]): void {
    const key = [instance, reason, ...is].join("\n");
    if (this.#told.has(key)) return;
    const oldest = this.#told.keys().next();
    if (this.#told.size >= TOLD_FAILURES_MAX && oldest.done !== true)
      this.#told.delete(oldest.value);
    this.#told.add(key);
    this.#deps.notify({ type: "Warning", reason, message, instance });
  }

  #activeTargets(id: string): ReadonlySet<string> {
    const slots = this.#deps.book.get(id);
    const contents = slots === undefined ? undefined : currentContents(slots);
    const files = (contents?.desired.artifacts ?? []).flatMap((pin) => pin.files);
    return new Set(files.map((file) => file.target));
  }

  /** Once a desired state is known: what of the disk nobody knows goes. */
  #sweep(desired: DesiredState, seen: Seen): void {
    const { book, disk } = this.#deps;
    const ids = [desired.instances, seen.records, book.all()].flatMap((all) =>
      all.map(({ id }) => id),
    );
    disk.sweep(new Set(ids));
    this.#isSwept = true;
  }
}

/** One thing at a time under a key: a reload ends with telling the workload, which must not be told twice meanwhile. */
function keyOf({ id, kind }: ArtifactStep): string {
  return `${kind === "reload" ? "tell" : kind} ${id}`;
}
