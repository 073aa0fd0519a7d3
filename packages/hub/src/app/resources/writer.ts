import type { Clock } from "@flotilla/shared/kernel/clock";
import { CodedError, hasCode } from "@flotilla/shared/kernel/errors";
import type { Random } from "@flotilla/shared/kernel/random";
import {
  ApiError,
  alreadyExists,
  conflict,
  serviceUnavailable,
  tooLarge,
  tooManyRequests,
} from "../../domain/resources/api-error.ts";
import { nameOf } from "../../domain/resources/api-object.ts";
import { objectAt } from "../../domain/resources/body-shape.ts";
import { subjectOf } from "../../domain/resources/kind-lookup.ts";
import type { Draft, JoinTokenHooks, Step, WriteRequest } from "./draft.ts";
import { dryCommit } from "./dry-run.ts";
import type {
  AnyObject,
  ApiObject,
  Change,
  Commit,
  CommitResult,
  ResourceStore,
  StoreErrorCode,
  WriteOutcome,
} from "./ports.ts";
import { CREATE_STEPS, STATUS_STEPS, UPDATE_STEPS } from "./steps.ts";

/** How often a patch is made anew on what another writer has put there meanwhile. */
export const PATCH_ATTEMPTS_MAX = 8;
const RETRY_AFTER_SECONDS = 1;

/** Runs a write through its steps and commits what comes out. */
export class Writer {
  readonly #store: ResourceStore;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #hooks: JoinTokenHooks;

  constructor(deps: {
    readonly store: ResourceStore;
    readonly clock: Clock;
    readonly random: Random;
    readonly hooks: JoinTokenHooks;
  }) {
    this.#store = deps.store;
    this.#clock = deps.clock;
    this.#random = deps.random;
    this.#hooks = deps.hooks;
  }

  /** Throws ApiError. A write that names no version is tried again when another one came first. */
  async write(request: WriteRequest): Promise<WriteOutcome> {
    for (let attempt = 1; ; attempt++) {
      const draft = this.#draft(request);
      const change = changeOf(draft);
      const commit = { changes: [...draft.changes, change] };
      const result =
        request.options.dryRun === true
          ? dryCommit(this.#store, commit)
          : await commitOrThrow(this.#store, commit);
      if (result.ok) return outcomeOf(draft, change, result);
      const isOwn = result.key.kind === request.kind && result.key.name === change.key.name;
      const subject = subjectOf(request.kind, change.key.name);
      if (isOwn && request.operation === "create") throw alreadyExists(subject);
      if (attempt >= PATCH_ATTEMPTS_MAX || (isOwn && namesVersion(request)))
        throw conflict(subject);
    }
  }

  #draft(request: WriteRequest): Draft {
    const { kind, namespace, name } = request;
    const start: Draft = {
      request,
      current: name === undefined ? undefined : this.#store.get(kind, namespace, name),
      object: {},
      warnings: [],
      changes: [],
      revealed: {},
    };
    const env = {
      store: this.#store,
      random: this.#random,
      nowMs: this.#clock.wallMs(),
      hooks: this.#hooks,
    };
    return stepsOf(request).reduce((draft, step) => step(draft, env), start);
  }
}

/** The commit's result; what the store could not do is told as an ApiError. */
export async function commitOrThrow(store: ResourceStore, commit: Commit): Promise<CommitResult> {
  try {
    return await store.commit(commit);
  } catch (error) {
    throw asApiError(error);
  }
}

/** The number of the version that an object has. */
export function revisionOf(object: AnyObject): number {
  return Number(object.metadata.resourceVersion);
}

function stepsOf(request: WriteRequest): readonly Step[] {
  if (request.operation === "create") return CREATE_STEPS;
  return request.subresource === "status" ? STATUS_STEPS : UPDATE_STEPS;
}

function changeOf(draft: Draft): Change {
  const { request, current } = draft;
  // `checkObject` was the last to see it: it is complete and of its kind.
  const object = draft.object as unknown as AnyObject;
  const key = { kind: request.kind, namespace: request.namespace, name: nameOf(draft.object) };
  if (current === undefined) return { key, expect: "absent", object };
  const isReleased =
    object.metadata.deletionTimestamp !== undefined &&
    (object.metadata.finalizers ?? []).length === 0 &&
    request.kind !== "Namespace";
  return { key, expect: revisionOf(current), object: isReleased ? undefined : object };
}

function outcomeOf(
  draft: Draft,
  change: Change,
  result: Extract<CommitResult, { ok: true }>,
): WriteOutcome {
  const entry = result.entries.find(
    (e) => e.key.kind === change.key.kind && e.key.name === change.key.name,
  );
  const stored = entry?.object ?? draft.current;
  // The last finalizer's going is answered with the object as it was asked to be, without it.
  const shown = change.object === undefined ? draft.object : { ...stored };
  const status = { ...objectAt(shown, "status"), ...draft.revealed };
  const object = Object.keys(draft.revealed).length > 0 ? { ...shown, status } : shown;
  return {
    object: object as unknown as ApiObject,
    warnings: draft.warnings,
    created: draft.request.operation === "create",
  };
}

function namesVersion(request: WriteRequest): boolean {
  const body = request.body;
  const metadata = objectAt({ body: objectAt({ body }, "body") }, "body")["metadata"];
  const version = objectAt({ metadata }, "metadata")["resourceVersion"];
  return typeof version === "string" && version !== "";
}

function asApiError(error: unknown): unknown {
  if (error instanceof ApiError || !(error instanceof CodedError)) return error;
  if (hasCode<StoreErrorCode>(error, "object-too-large")) return tooLarge(error.message);
  if (hasCode<StoreErrorCode>(error, "store-overloaded"))
    return tooManyRequests(error.message, RETRY_AFTER_SECONDS);
  if (hasCode<StoreErrorCode>(error, "store-closed")) return serviceUnavailable(error.message);
  // The path of the database is nobody's business outside; the store has logged it.
  const full = error.code === "database-full";
  return serviceUnavailable(
    full ? "the hub's disk is full: nothing was written" : "the hub could not write to its disk",
  );
}
