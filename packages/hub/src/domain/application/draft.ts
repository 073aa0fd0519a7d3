import { jsonEqual } from "@flotilla/shared/kernel/json";
import type { DesiredInstance } from "@flotilla/shared/model/desired-state";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { AssignmentSpec, AssignmentStatus } from "@flotilla/shared/model/resources/edge";
import { summary } from "@flotilla/shared/scheduling/decide";
import type { Decision, Weights } from "@flotilla/shared/scheduling/facts";
import { hasShares } from "@flotilla/shared/scheduling/gpu/shares";
import { shortened } from "@flotilla/shared/scheduling/select";
import { assignmentName, type ResolvedComponent } from "./component.ts";
import type { Outcome } from "./outcome.ts";

type Assignment = ObjectOf<"Assignment">;

/** One change that a plan asks for. */
export interface AssignmentChange {
  /** Undefined: to be created. */
  readonly before: Assignment | undefined;
  /** Undefined: to be deleted. */
  readonly after: Assignment | undefined;
}

/** What to tell about it once it is committed. */
export interface PlanHappening {
  readonly about: "application" | Assignment;
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
}

/** A plan in the making: assignments as they will be, and the changes that lead there. */
export class Draft {
  readonly changes: AssignmentChange[] = [];
  readonly happenings: PlanHappening[] = [];
  readonly #options: DraftOptions;
  readonly #assignments: Map<string, Assignment>;

  constructor(options: DraftOptions) {
    this.#options = options;
    this.#assignments = new Map(options.assignments.map((a) => [a.metadata.name, a]));
  }

  /** True when this plan has as many changes as one commit takes; the rest is left to the next pass. */
  get isFull(): boolean {
    return this.changes.length >= this.#options.changesMax;
  }

  /** The application's assignments as they will be. */
  get assignments(): readonly Assignment[] {
    return [...this.#assignments.values()];
  }

  /** Those of one component, by index. */
  of(component: string): readonly Assignment[] {
    return this.assignments
      .filter((a) => a.spec.component === component)
      .toSorted((a, b) => a.spec.index - b.spec.index);
  }

  remove(assignment: Assignment, why: string): void {
    this.#assignments.delete(assignment.metadata.name);
    this.changes.push({ before: assignment, after: undefined });
    this.tell("application", "Normal", "Removed", `${assignment.metadata.name}: ${why}`);
  }

  /** Puts the assignment in its new form; writes nothing when it is the same. */
  put(before: Assignment | undefined, after: Assignment): void {
    this.#assignments.set(after.metadata.name, after);
    if (before !== undefined && jsonEqual(before, after)) return;
    this.changes.push({ before, after });
  }

  tell(
    about: PlanHappening["about"],
    type: PlanHappening["type"],
    reason: string,
    message: string,
  ): void {
    this.happenings.push({ about, type, reason, message });
  }

  /**
   * Places an assignment by the decision, with the spec that is asked for; without a node it waits, and says why. `why` tells
   * what made it move.
   */
  settle(
    before: Assignment | undefined,
    target: Target,
    decision: Outcome,
    why?: string,
  ): Assignment {
    const { candidates, omitted } = shortened(decision.candidates);
    const message = decision.node === undefined ? waitingMessage(decision) : undefined;
    const stays = before !== undefined && before.spec.node === decision.node;
    const explained: AssignmentStatus = {
      ...(stays ? before.status : {}),
      candidates: [...candidates],
      candidatesOmitted: omitted + (decision.omitted ?? 0),
      ...(decision.waiting === undefined ? {} : { reason: decision.waiting.reason }),
      decidedAt: this.#options.nowIso,
      ...(message === undefined ? {} : { message }),
    };
    const after = this.#assignment(before, target, {
      spec: {
        ...specOf(this.#options.application, target, decision.devices),
        ...placedPart(decision, this.#options),
      },
      status: sameButTime(before?.status, explained) ? (before?.status ?? explained) : explained,
    });
    this.put(before, after);
    this.#tellSettled(before, after, why);
    return after;
  }

  /** Takes an instance off its node for the sake of others; it waits for another place. */
  evict(before: Assignment, message: string): void {
    const {
      node: _node,
      site: _site,
      score: _score,
      parts: _parts,
      devices: _,
      ...spec
    } = before.spec;
    const after: Assignment = {
      ...before,
      metadata: { ...before.metadata, generation: before.metadata.generation + 1 },
      spec: { ...spec, desired: desiredWith(spec.desired, undefined) },
      status: { message, reason: "Evicted", decidedAt: this.#options.nowIso },
    };
    this.put(before, after);
    this.tell(after, "Warning", "Evicted", `from ${before.spec.node}: ${message}`);
  }

  /** True when the assignment is what is asked for already, so that there is nothing to write. */
  isCurrent(assignment: Assignment, { component, index }: Target, message?: string): boolean {
    const { metadata, spec, status } = assignment;
    return (
      spec.applicationUid === this.#options.application.metadata.uid &&
      spec.desired.specDigest === component.specDigest &&
      status?.message === message &&
      jsonEqual(spec.requests, component.request.amounts) &&
      hasShares(spec.devices, component.request) &&
      jsonEqual(spec.desired, desiredWith(component.desired(index), spec.devices)) &&
      jsonEqual(metadata.labels, labelsOf({ component, index })) &&
      (metadata.ownerReferences ?? []).length > 0
    );
  }

  /** The same node, another spec, message or devices. */
  rewrite(
    before: Assignment,
    target: Target,
    { message, devices }: { readonly message?: string; readonly devices: Decision["devices"] },
  ): Assignment {
    const { message: _old, ...status } = before.status ?? {};
    const { node, site, score, parts, weights } = before.spec;
    const place = Object.fromEntries(
      Object.entries({ node, site, score, parts, weights }).filter(([, v]) => v !== undefined),
    );
    const after = this.#assignment(before, target, {
      spec: { ...specOf(this.#options.application, target, devices), ...place },
      status: message === undefined ? status : { ...status, message },
    });
    this.put(before, after);
    return after;
  }

  #assignment(
    before: Assignment | undefined,
    target: Target,
    parts: { readonly spec: AssignmentSpec; readonly status: AssignmentStatus },
  ): Assignment {
    const { application, nowIso, newUid } = this.#options;
    const labels = labelsOf(target);
    const { name, namespace = "", uid } = application.metadata;
    const { apiVersion, kind } = application;
    // Written anew each time: an orphan of an Application of this name is adopted by it.
    const ownerReferences = [
      { apiVersion, kind, name, uid, controller: true, blockOwnerDeletion: true },
    ];
    if (before !== undefined) {
      const grown = jsonEqual(before.spec, parts.spec) ? 0 : 1;
      const generation = before.metadata.generation + grown;
      const metadata = { ...before.metadata, generation, labels, ownerReferences };
      return { ...before, metadata, ...parts };
    }
    return {
      apiVersion: "edge.kurator.dev/v1alpha1",
      kind: "Assignment",
      metadata: {
        name: assignmentName(name, target.component.name, target.index),
        namespace,
        uid: newUid(),
        generation: 1,
        creationTimestamp: nowIso,
        labels,
        ownerReferences,
      },
      ...parts,
    };
  }

  #tellSettled(before: Assignment | undefined, after: Assignment, why: string | undefined): void {
    const [from, to] = [before?.spec.node, after.spec.node];
    const because = why === undefined ? "" : `: ${why}`;
    if (to === undefined) {
      const message = after.status?.message ?? "";
      if (before === undefined || from !== undefined || before.status?.message !== message)
        this.tell(after, "Warning", "FailedScheduling", `${message}${because}`);
    } else if (from === undefined)
      this.tell(after, "Normal", "Scheduled", `assigned to ${placeText(after)}`);
    else if (from !== to)
      this.tell(after, "Normal", "Moved", `from ${from} to ${placeText(after)}${because}`);
  }
}

interface DraftOptions {
  readonly application: ObjectOf<"Application">;
  readonly assignments: readonly Assignment[];
  readonly weights: Weights;
  readonly nowIso: string;
  readonly newUid: () => string;
  readonly changesMax: number;
}

/** The instance that an assignment is for. */
export interface Target {
  readonly component: ResolvedComponent;
  readonly index: number;
  /** Site that the division gives it to; absent: any. */
  readonly site?: string;
}

function labelsOf({ component, index }: Target): Record<string, string> {
  return { ...component.labels, "apps.kurator.dev/index": String(index) };
}

function specOf(
  application: ObjectOf<"Application">,
  target: Target,
  devices: Decision["devices"],
): AssignmentSpec {
  return {
    application: application.metadata.name,
    applicationUid: application.metadata.uid,
    component: target.component.name,
    index: target.index,
    requests: target.component.request.amounts,
    ...(devices === undefined ? {} : { devices: [...devices] }),
    desired: desiredWith(target.component.desired(target.index), devices),
  };
}

function desiredWith(desired: DesiredInstance, devices: Decision["devices"]): DesiredInstance {
  return devices === undefined ? desired : { ...desired, devices: [...devices] };
}

function placedPart(decision: Decision, { weights }: DraftOptions): Partial<AssignmentSpec> {
  const { node, site, score, parts } = decision;
  if (node === undefined || site === undefined || score === undefined || parts === undefined)
    return {};
  return { node, site, score, parts, weights: weights.parts };
}

function waitingMessage(decision: Outcome): string {
  const { waiting, wouldFit, counts } = decision;
  if (waiting?.concernsJob === true && counts?.fitting !== 0) return waiting.message;
  const head = summary(decision);
  const text = wouldFit === undefined ? head : `${head}; ${wouldFit}`;
  return waiting?.concernsJob === true ? `${waiting.message}; ${text}` : text;
}

function placeText({ spec }: Assignment): string {
  return `${spec.node} (site ${spec.site}), score ${(spec.score ?? 0).toFixed(3)}`;
}

/** A decision that came out as before is not worth a write. */
function sameButTime(before: AssignmentStatus | undefined, after: AssignmentStatus): boolean {
  return (
    before !== undefined && jsonEqual({ ...before, decidedAt: "" }, { ...after, decidedAt: "" })
  );
}
