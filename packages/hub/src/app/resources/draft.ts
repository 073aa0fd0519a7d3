import type { Random } from "@flotilla/shared/kernel/random";
import type { KindName } from "@flotilla/shared/model/kinds";
import type { JsonObject } from "../../domain/resources/body-shape.ts";
import type { AnyObject, Change, ResourceStore, WriteOptions } from "./ports.ts";

/** A write as it was asked for, of a stored kind. */
export interface WriteRequest {
  readonly kind: KindName;
  readonly namespace: string;
  /** Undefined at creation: the body names it. */
  readonly name?: string;
  readonly operation: "create" | "update" | "patch";
  readonly subresource?: "status";
  readonly body: unknown;
  readonly options: WriteOptions;
}

/** A write on its way through the pipeline. */
export interface Draft {
  readonly request: WriteRequest;
  /** What stands there now; undefined at creation. */
  readonly current: AnyObject | undefined;
  /** The object as it is to be stored, more complete after every step. */
  readonly object: JsonObject;
  readonly warnings: readonly string[];
  /** What else the commit changes. */
  readonly changes: readonly Change[];
  /** Status fields of the answer to this request alone; they are never stored. */
  readonly revealed: JsonObject;
}

/** What the resource API needs of enrolment: EnrolmentApi has both. */
export interface JoinTokenHooks {
  mintSecret(): { readonly secret: string; readonly secretHash: string };
  joinString(tokenName: string, secret: string): string;
}

/** What a step may ask. */
export interface StepEnv {
  readonly store: ResourceStore;
  readonly random: Random;
  readonly nowMs: number;
  readonly hooks: JoinTokenHooks;
}

/**
 * One step of a write. Steps hand on a new draft or throw ApiError; they change nothing, so a write can be tried again
 * from the start, and a dry run is the same list without the commit.
 */
export type Step = (draft: Draft, env: StepEnv) => Draft;
