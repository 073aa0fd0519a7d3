import type { Clock } from "@flotilla/shared/kernel/clock";
import type { NodeId } from "@flotilla/shared/kernel/ids";
import { isoTime } from "@flotilla/shared/kernel/iso-time";
import type { Random } from "@flotilla/shared/kernel/random";
import { type DesiredInstance, DesiredState } from "@flotilla/shared/model/desired-state";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { withCondition } from "@flotilla/shared/model/metadata";
import { encode } from "@flotilla/shared/protocol/codec";
import { DOWN_MESSAGE_BYTES_MAX } from "@flotilla/shared/protocol/limits";
import { Check } from "typebox/value";
import {
  type Compiled,
  compileDesired,
  DESIRED_INSTANCES_MAX,
  type DesiredTexts,
  desiredContent,
  desiredPayload,
  desiredTexts,
} from "../../domain/desired/compile.ts";
import { changeOf } from "../control/change.ts";
import type { EventRecorder } from "../events/event-recorder.ts";
import type { ProbePlans } from "../measures/probe-plans.ts";
import { downEnvelope } from "../node/down-envelope.ts";
import type { NodeAssignments } from "../node/node-assignments.ts";
import type { Change, ResourceStore, StoredDesired } from "../resources/ports.ts";
import type { DesiredArtifacts, DesiredSigner, Sha256 } from "./ports.ts";

/** How the compilation of one node ended. */
export type CompileOutcome =
  | { readonly kind: "no-node" }
  | { readonly kind: "unchanged" }
  | { readonly kind: "too-large" }
  /** Somebody wrote the node meanwhile: compile again. */
  | { readonly kind: "conflict" }
  | { readonly kind: "signed"; readonly revision: number; readonly instanceCount: number };

/** Condition of a node whose desired state is larger than a message may be. */
const TOO_LARGE = "DesiredStateTooLarge";

/** Most bytes that a UTF-16 unit of JSON text becomes in a message: 3 in UTF-8, 2 for a quotation mark or backslash. */
const BYTES_PER_UNIT_MAX = 3;
/** More than the envelope, the signature and the key's name take. */
const AROUND_PAYLOAD_BYTES_MAX = 4096;

interface Deps {
  readonly store: ResourceStore;
  readonly assignments: Pick<NodeAssignments, "of">;
  readonly probes: Pick<ProbePlans, "planOf">;
  /** Absent: this hub hands no artifacts out. */
  readonly artifacts?: Pick<DesiredArtifacts, "partsOf">;
  readonly signer: DesiredSigner;
  readonly sha256: Sha256;
  readonly events: Pick<EventRecorder, "record">;
  readonly clock: Clock;
  readonly random: Random;
}

/** Compiles, numbers, signs and stores the desired state of one node. Rejects when the store fails. */
export class DesiredCompiler {
  readonly #deps: Deps;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** A new revision is above the stored one and above `above`; it is made only when the content or the key differs, or `above` asks for it. */
  async compile(nodeId: NodeId, above: number): Promise<CompileOutcome> {
    const { store, sha256, signer } = this.#deps;
    const node = store.get("EdgeNode", "", nodeId);
    if (node === undefined) return { kind: "no-node" };
    const stored = store.desired(nodeId);
    const compiled = this.#compiled(nodeId, stored);
    for (const { assignment, reason, message } of compiled.heldBack)
      this.#deps.events.record({ about: assignment, type: "Warning", reason, message });
    const texts = this.#texts(nodeId, compiled);
    const contentDigest = sha256(desiredContent(texts));
    if (
      isCurrent(stored, { contentDigest, keyId: signer.keyId }, above) ||
      (stored === undefined && above === 0 && isNothing(texts))
    )
      return this.#settle(node, stored);
    const next = this.#signed(nodeId, texts, {
      revision: Math.max(stored?.revision ?? 0, above) + 1,
      contentDigest,
    });
    const byteCount = this.#messageBytes(next);
    if (byteCount > DOWN_MESSAGE_BYTES_MAX || compiled.instances.length > DESIRED_INSTANCES_MAX)
      return this.#refuse(node, compiled.instances.length, byteCount);
    const result = await store.commit({
      changes: this.#nodeChanges(node, next.revision),
      desired: [next],
    });
    return result.ok
      ? { kind: "signed", revision: next.revision, instanceCount: compiled.instances.length }
      : { kind: "conflict" };
  }

  #compiled(nodeId: NodeId, stored: StoredDesired | undefined): Compiled {
    const { store, assignments } = this.#deps;
    return compileDesired(
      nodeId,
      assignments.of(nodeId),
      (namespace, name) => store.get("Secret", namespace, name),
      () => instancesOf(stored),
    );
  }

  /** What lies ready for later is left out where there is no room for it beside what runs. */
  #texts(nodeId: NodeId, { instances }: Compiled): DesiredTexts {
    const probe = this.#deps.probes.planOf(nodeId);
    const artifacts = this.#deps.artifacts?.partsOf(nodeId);
    const said = probe === undefined ? {} : { probe };
    if (artifacts === undefined) return desiredTexts(instances, said);
    const whole = desiredTexts(instances, { ...said, artifacts });
    if (whole.prestage === undefined || fitsSurely(whole)) return whole;
    return desiredTexts(instances, { ...said, artifacts: { ...artifacts, prestage: [] } });
  }

  #signed(
    nodeId: NodeId,
    texts: DesiredTexts,
    numbered: Pick<StoredDesired, "revision" | "contentDigest">,
  ): StoredDesired {
    const { signer, clock } = this.#deps;
    const issuedAt = isoTime(clock.wallMs());
    const payload = desiredPayload({ nodeId, revision: numbered.revision, issuedAt }, texts);
    return { nodeId, ...numbered, payload, signature: signer.sign(payload), keyId: signer.keyId };
  }

  /** Never less than the message has; exactly that where it matters. */
  #messageBytes({ payload, signature, keyId }: StoredDesired): number {
    const atMost = payload.length * BYTES_PER_UNIT_MAX + AROUND_PAYLOAD_BYTES_MAX;
    if (atMost <= DOWN_MESSAGE_BYTES_MAX) return atMost;
    const body = { payload, signature, keyId };
    return encode({ ...downEnvelope(this.#deps), kind: "desired", body }).byteLength;
  }

  /** Nothing new to sign; the node's status may still tell of an older problem or revision. */
  async #settle(
    node: ObjectOf<"EdgeNode">,
    stored: StoredDesired | undefined,
  ): Promise<CompileOutcome> {
    const changes = stored === undefined ? [] : this.#nodeChanges(node, stored.revision);
    if (changes.length === 0) return { kind: "unchanged" };
    return { kind: (await this.#deps.store.commit({ changes })).ok ? "unchanged" : "conflict" };
  }

  async #refuse(
    node: ObjectOf<"EdgeNode">,
    instanceCount: number,
    byteCount: number,
  ): Promise<CompileOutcome> {
    const message = `${instanceCount} instances make ${byteCount} bytes, at most ${DESIRED_INSTANCES_MAX} and ${DOWN_MESSAGE_BYTES_MAX} can be sent; the node keeps its last desired state until some are moved away`;
    const condition = { type: TOO_LARGE, status: "True", reason: "TooLarge", message } as const;
    const nowIso = isoTime(this.#deps.clock.wallMs());
    const conditions = withCondition(node.status?.conditions, condition, nowIso);
    this.#deps.events.record({ about: node, type: "Warning", reason: TOO_LARGE, message });
    const change = changeOf(node, { ...node, status: { ...node.status, conditions } });
    const result = await this.#deps.store.commit({ changes: [change] });
    return { kind: result.ok ? "too-large" : "conflict" };
  }

  #nodeChanges(node: ObjectOf<"EdgeNode">, desiredRevision: number): readonly Change[] {
    const { status = {} } = node;
    const isTooLarge = status.conditions?.some((c) => c.type === TOO_LARGE && c.status === "True");
    if (status.desiredRevision === desiredRevision && isTooLarge !== true) return [];
    const nowIso = isoTime(this.#deps.clock.wallMs());
    const fits = { type: TOO_LARGE, status: "False", reason: "Fits", message: "it fits" } as const;
    const mended =
      isTooLarge === true ? { conditions: withCondition(status.conditions, fits, nowIso) } : {};
    return [changeOf(node, { ...node, status: { ...status, desiredRevision, ...mended } })];
  }
}

function isCurrent(
  stored: StoredDesired | undefined,
  next: Pick<StoredDesired, "contentDigest" | "keyId">,
  above: number,
): boolean {
  return (
    stored !== undefined &&
    stored.contentDigest === next.contentDigest &&
    stored.keyId === next.keyId &&
    stored.revision > above
  );
}

/** A node that was never given anything needs no signed nothing. */
function isNothing({ instances, probe, prestage }: DesiredTexts): boolean {
  return instances === "[]" && probe === undefined && prestage === undefined;
}

/** Whether a message certainly holds it. */
function fitsSurely(texts: DesiredTexts): boolean {
  const units = desiredContent(texts).length;
  return units * BYTES_PER_UNIT_MAX + AROUND_PAYLOAD_BYTES_MAX <= DOWN_MESSAGE_BYTES_MAX;
}

/** Instances of the stored state; none when it is of another form, as one of a later version may be. */
function instancesOf(stored: StoredDesired | undefined): readonly DesiredInstance[] {
  if (stored === undefined) return [];
  const state: unknown = JSON.parse(stored.payload);
  return Check(DesiredState, state) ? state.instances : [];
}
