import type { ReportedInstance } from "@flotilla/shared/model/reported-state";
import { describeStep } from "../../domain/reconcile/describe.ts";
import { reportedInstance } from "../../domain/reconcile/report.ts";
import type { LogTail, ProcessRuntime } from "../reconcile/ports.ts";
import type { Snapshot } from "../reconcile/reconciler.ts";
import type { AgentStore } from "../state/ports.ts";
import type {
  LinkView,
  LocalApi,
  LocalLock,
  LocalPlan,
  LocalStatus,
  LocalWhy,
  PlannedStep,
} from "./ports.ts";

interface InspectorOptions {
  readonly nodeId: string;
  readonly agentVersion: string;
  /** Process id of the agent. */
  readonly pid: number;
}

interface InspectorDeps {
  readonly reconciler: { snapshot(): Snapshot };
  readonly runtime: Pick<ProcessRuntime, "readLog">;
  readonly store: Pick<AgentStore, "outboxCount">;
  readonly link: () => LinkView;
  /** What holds updates back now. */
  readonly locks: () => readonly LocalLock[];
}

/** Answers the local socket's questions from what the reconciler sees at this moment. */
export class LocalInspector implements LocalApi {
  readonly #options: InspectorOptions;
  readonly #deps: InspectorDeps;

  constructor(options: InspectorOptions, deps: InspectorDeps) {
    this.#options = options;
    this.#deps = deps;
  }

  status(): LocalStatus {
    const { reported, nowBootMs, lastPassBootMs } = this.#deps.reconciler.snapshot();
    return {
      nodeId: this.#options.nodeId,
      agentVersion: this.#options.agentVersion,
      pid: this.#options.pid,
      link: this.#deps.link(),
      acceptedRevision: reported.acceptedRevision,
      convergedRevision: reported.convergedRevision,
      outboxCount: this.#deps.store.outboxCount(),
      lastPassAgoMs: Math.max(0, nowBootMs - lastPassBootMs),
      instances: reported.instances,
      locks: this.#deps.locks(),
    };
  }

  plan(): LocalPlan {
    const snapshot = this.#deps.reconciler.snapshot();
    return {
      acceptedRevision: snapshot.desired?.revision ?? 0,
      steps: snapshot.steps.map((step) => describeStep(step, snapshot.nowBootMs)),
    };
  }

  why(instanceId: string): LocalWhy | undefined {
    const snapshot = this.#deps.reconciler.snapshot();
    const record = snapshot.records.find((r) => r.id === instanceId);
    const wanted = snapshot.desired?.instances.find((i) => i.id === instanceId);
    const instance =
      record === undefined
        ? snapshot.reported.instances.find((i) => i.id === instanceId)
        : reportedInstance(record, snapshot.health.get(instanceId));
    if (instance === undefined) return undefined;
    const next = snapshot.steps.find((s) => s.id === instanceId);
    const step = next === undefined ? undefined : describeStep(next, snapshot.nowBootMs);
    const revision = snapshot.desired?.revision ?? 0;
    return {
      instance,
      desired: {
        revision,
        wanted: wanted !== undefined,
        ...(wanted === undefined ? {} : { specDigest: wanted.specDigest }),
      },
      ...(step === undefined ? {} : { step }),
      failureCount: record?.failureCount ?? 0,
      ...(record?.runId === undefined ? {} : { runId: record.runId }),
      processes: (record?.processes ?? []).map(({ container, pid }) => ({ container, pid })),
      because: because(instance, { revision, wantedDigest: wanted?.specDigest, step }),
    };
  }

  log(request: {
    readonly instanceId: string;
    readonly container?: string;
    readonly tailLines: number;
  }): LogTail | undefined {
    return this.#deps.runtime.readLog(request);
  }
}

function because(
  instance: ReportedInstance,
  facts: {
    readonly revision: number;
    readonly wantedDigest: string | undefined;
    readonly step: PlannedStep | undefined;
  },
): string[] {
  const { revision, step, wantedDigest } = facts;
  const asked =
    wantedDigest === undefined
      ? `desired state ${revision} does not ask for it`
      : wantedDigest === instance.specDigest
        ? `desired state ${revision} asks for it with this spec`
        : `desired state ${revision} asks for it with another spec`;
  const reason = instance.reason === undefined ? "" : ` (${instance.reason})`;
  const now = `it is ${instance.phase}${reason}${instance.message === undefined ? "" : `: ${instance.message}`}`;
  const next = step === undefined ? "nothing is left to do" : `next: ${step.message}`;
  return [asked, now, `it was restarted ${instance.restartCount} times`, next];
}
