import type { Clock } from "@flotilla/shared/kernel/clock";
import { isoTime } from "@flotilla/shared/kernel/iso-time";
import { jsonEqual } from "@flotilla/shared/kernel/json";
import type { Metrics, Service } from "@flotilla/shared/kernel/service";
import type { KindName, ObjectOf } from "@flotilla/shared/model/kinds";
import {
  artifactsWithReleases,
  artifactWithStatus,
  countUse,
  type ReleaseView,
  releaseWithStatus,
} from "../../domain/artifact/release-status.ts";
import { changeOf } from "../control/change.ts";
import { PassLoop } from "../control/pass-loop.ts";
import type { EventRecorder } from "../events/event-recorder.ts";
import { isAssignment } from "../node/node-assignments.ts";
import type { AnyObject, LogEntry, ResourceStore } from "../resources/ports.ts";
import type { SignedTargets, StoredContents } from "./ports.ts";

/** Reports of nodes within this time share one pass, milliseconds: while a release spreads there are many. */
export const RELEASE_COALESCE_MS = 500;
/** Status writes that share an fsync. */
const WRITES_MAX = 200;

const KINDS_SEEN: readonly KindName[] = ["Artifact", "Release", "EdgeNode", "Assignment"];

/**
 * Keeps the status of artifacts and releases true: whether every file is stored and signed, and how far a release has got in the
 * fleet. `Ready` is what components that pin a release wait for.
 */
export class ReleaseController implements Service {
  readonly name = "release";
  readonly #deps: ReleaseDeps;
  readonly #loop: PassLoop;

  constructor(
    options: { readonly resyncMs?: number; readonly coalesceMs?: number },
    deps: ReleaseDeps,
  ) {
    this.#deps = deps;
    this.#loop = new PassLoop(
      { coalesceMs: RELEASE_COALESCE_MS, ...options, name: this.name },
      { ...deps, isRelevant, pass: () => this.pass() },
    );
  }

  async run(signal: AbortSignal): Promise<void> {
    const wake = (): void => this.#loop.wake();
    const unsubscribe = [this.#deps.contents.onStored(wake), this.#deps.signed.onPublished(wake)];
    try {
      await this.#loop.run(signal);
    } finally {
      for (const stop of unsubscribe) stop();
    }
  }

  /** One look at all artifacts and releases. Rejects when the store fails. */
  async pass(): Promise<void> {
    const { store, clock, metrics, contents, signed } = this.#deps;
    const [artifacts, releases] = [store.list("Artifact"), store.list("Release")];
    metrics.set("flotilla_hub_releases", releases.length);
    if (artifacts.length + releases.length === 0) return;
    const names = new Set(artifacts.map((a) => a.metadata.name));
    const view: ReleaseView = {
      hasArtifact: (name) => names.has(name),
      releases,
      isStored: (file) => contents.sizeOf(file.sha256) === file.length,
      isSigned: (file) => signed.isSigned(file.target, file.length, file.sha256),
      useOf: countUse(store.list("EdgeNode"), store.list("Assignment")),
    };
    const nowIso = isoTime(clock.wallMs());
    const pairs: (readonly [AnyObject, AnyObject])[] = [
      ...releases.map((r) => [r, releaseWithStatus(r, view, nowIso)] as const),
      ...artifactsWithReleases(artifacts, releases).map(
        ([artifact, of]) => [artifact, artifactWithStatus(artifact, of)] as const,
      ),
    ];
    const changed = pairs.filter(([before, after]) => !jsonEqual(before, after));
    for (let first = 0; first < changed.length; first += WRITES_MAX)
      await Promise.all(
        changed.slice(first, first + WRITES_MAX).map((pair) => this.#write(...pair)),
      );
  }

  /** A conflict is left to the pass that the other writer causes. */
  async #write(before: AnyObject, after: AnyObject): Promise<void> {
    const { store, metrics, events } = this.#deps;
    const result = await store.commit({ changes: [changeOf(before, after)] });
    if (!result.ok) {
      metrics.count("flotilla_hub_pass_conflicts_total", { controller: this.name });
      return;
    }
    const [old, now] = [readyOf(before), readyOf(after)];
    if (now === undefined || old?.status === now.status) return;
    // One that has just been made is told of once it is ready.
    if (now.status === "True")
      events.record({ about: before, type: "Normal", reason: "Ready", message: now.message });
    else if (old !== undefined)
      events.record({ about: before, type: "Warning", reason: now.reason, message: now.message });
  }
}

function readyOf(object: AnyObject) {
  return isRelease(object) ? object.status?.conditions?.find((c) => c.type === "Ready") : undefined;
}

function isRelease(object: AnyObject): object is ObjectOf<"Release"> {
  return object.kind === "Release";
}

/** Of nodes and instances only what they say of artifacts. */
function isRelevant({ key, type, object, previous }: LogEntry): boolean {
  if (!KINDS_SEEN.includes(key.kind)) return false;
  if (type !== "MODIFIED" || previous === undefined) return true;
  return key.kind === "Artifact" || key.kind === "Release"
    ? true
    : !jsonEqual(saidOfArtifacts(object), saidOfArtifacts(previous));
}

function saidOfArtifacts(object: AnyObject): unknown {
  if (isNode(object)) return object.status?.artifacts?.held;
  return isAssignment(object)
    ? { node: object.spec.node, said: object.status?.reported?.artifacts }
    : undefined;
}

function isNode(object: AnyObject): object is ObjectOf<"EdgeNode"> {
  return object.kind === "EdgeNode";
}

interface ReleaseDeps {
  readonly store: ResourceStore;
  readonly contents: StoredContents;
  readonly signed: SignedTargets;
  readonly events: Pick<EventRecorder, "record">;
  readonly clock: Clock;
  readonly metrics: Metrics;
}
