import type { Clock } from "@flotilla/shared/kernel/clock";
import { CodedError } from "@flotilla/shared/kernel/errors";
import type { Random } from "@flotilla/shared/kernel/random";
import type { Log, Metrics } from "@flotilla/shared/kernel/service";
import type { ReportedArtifacts } from "@flotilla/shared/model/artifact";
import type { ProcessRuntime, Seen, WorkloadSignals } from "../reconcile/ports.ts";
import { makeNotify } from "../state/notices.ts";
import type { AgentStore } from "../state/ports.ts";
import { ArtifactReporter } from "./artifact-reporter.ts";
import { ArtifactService } from "./artifact-service.ts";
import type {
  BlobFetcher,
  LocalBlobs,
  LockFileReader,
  ReloadPoster,
  SlotDisk,
  SlotStore,
  TrustGate,
} from "./ports.ts";
import { SlotBook } from "./slot-book.ts";
import { SlotGate } from "./slot-gate.ts";
import { UpdateLocks } from "./update-locks.ts";

/** Everything that activation needs of the rest of the agent. */
export interface ActivationDeps {
  readonly store: Pick<AgentStore, "desired" | "enqueue" | "transaction">;
  readonly slots: SlotStore;
  /** SHA-256 of a text in hexadecimal. */
  readonly sha256: (text: string) => string;
  readonly trust: TrustGate;
  readonly fetcher: BlobFetcher;
  readonly blobs: LocalBlobs;
  readonly disk: SlotDisk;
  /** Brings what is known of contents in line with the disk; before anything is looked at. */
  readonly recover: () => Promise<void>;
  /** Lets go of what came of files that nobody wants any more. */
  readonly forget: (isWanted: (sha256: string) => boolean) => void;
  readonly signals: WorkloadSignals;
  readonly runtime: Pick<ProcessRuntime, "signal">;
  readonly poster: ReloadPoster;
  readonly lockFiles: LockFileReader;
  /** Where other nodes of the site reach this node's blocks; undefined: it serves none. */
  readonly peer: () => ReportedArtifacts["peer"];
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Something is ready, or stands otherwise: wakes the reconciler. */
  readonly onChange: () => void;
}

/** The parts of activation, which know each other: what the reconciler asks, what makes things ready, what an operator does. */
export interface Activation {
  readonly gate: SlotGate;
  readonly service: ArtifactService;
  readonly book: SlotBook;
  readonly locks: UpdateLocks;
  /** What failed on an instance may be tried again. Throws `not-found` when this node has no artifacts of it. */
  readonly retry: (instanceId: string) => number;
}

/** Puts the parts of activation together. */
export function makeActivation(
  options: { readonly bootId: string },
  deps: ActivationDeps,
): Activation {
  const { clock, disk, slots: store } = deps;
  const desired = () => deps.store.desired()?.state;
  const notify = makeNotify(deps);
  const { sha256 } = deps;
  const book = new SlotBook({
    store,
    disk,
    sha256,
    transaction: (work) => deps.store.transaction(work),
  });
  const locks = new UpdateLocks({
    store,
    files: deps.lockFiles,
    fileOf: (id) => gate.pathsOf(id).FLOTILLA_UPDATE_LOCK,
    clock,
    bootId: options.bootId,
  });
  const gate: SlotGate = new SlotGate({
    ...deps,
    book,
    locks,
    notify,
    progressOf: (id) => service.progressOf(id),
    report: () => service.report(),
    onPass: () => service.wake(),
  });
  const reporter = new ArtifactReporter({ ...deps, desired, book, store });
  const service: ArtifactService = new ArtifactService({
    ...deps,
    desired,
    book,
    gate,
    reporter,
    notify,
    end: (seen, id) => endInstance(seen, id, deps.runtime),
  });
  const retry = (id: string): number => {
    const slots = book.get(id);
    const isWanted = desired()?.instances.some((i) => i.id === id && i.artifacts !== undefined);
    if (slots === undefined && isWanted === true) return 0;
    if (slots === undefined)
      throw new CodedError("not-found", `this node has no artifacts of instance "${id}"`);
    book.apply(id, { kind: "retry" });
    deps.onChange();
    return slots.failed.length;
  };
  return { gate, service, book, locks, retry };
}

function endInstance(seen: Seen, id: string, runtime: Pick<ProcessRuntime, "signal">): void {
  const record = seen.records.find((r) => r.id === id);
  if (record !== undefined) runtime.signal(record.processes, "SIGTERM");
}
