import type {
  DeleteOptions,
  ListOptions,
  User,
  WatchOptions,
  WriteOptions,
} from "../../app/resources/ports.ts";
import { ApiError, badRequest } from "../../domain/resources/api-error.ts";
import {
  FIELD_MANAGER_LENGTH_MAX,
  SELECTOR_LENGTH_MAX,
  WATCH_TIMEOUT_SECONDS_DEFAULT,
  WATCH_TIMEOUT_SECONDS_MAX,
} from "./limits.ts";

/** Query parameters of the resource API. Repeated ones: the first counts. Unknown ones are ignored, as clients expect. */

/** `limit`, `continue` and the selectors. */
export function listOptions(query: URLSearchParams, namespace: string): ListOptions {
  const limit = wholeNumber(query, "limit");
  const continueToken = text(query, "continue");
  return {
    ...selection(query, namespace),
    ...(limit === undefined || limit === 0 ? {} : { limit }),
    ...(continueToken === undefined ? {} : { continueToken }),
  };
}

/** What a watch begins with, and when it ends. */
export function watchOptions(
  query: URLSearchParams,
  namespace: string,
): { readonly options: WatchOptions; readonly timeoutMs: number } {
  const resourceVersion = text(query, "resourceVersion");
  const sendInitialEvents = flag(query, "sendInitialEvents");
  const allowBookmarks = flag(query, "allowWatchBookmarks");
  if (sendInitialEvents && query.get("resourceVersionMatch") !== "NotOlderThan")
    throw badRequest("sendInitialEvents=true needs resourceVersionMatch=NotOlderThan");
  const seconds = wholeNumber(query, "timeoutSeconds") ?? 0;
  return {
    options: {
      ...selection(query, namespace),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
      sendInitialEvents,
      allowBookmarks,
    },
    timeoutMs:
      1000 *
      Math.min(seconds === 0 ? WATCH_TIMEOUT_SECONDS_DEFAULT : seconds, WATCH_TIMEOUT_SECONDS_MAX),
  };
}

/** True when the request to a collection asks to watch it. */
export function isWatch(query: URLSearchParams): boolean {
  return flag(query, "watch");
}

/** `fieldValidation` and `fieldManager`; the latter is the client's name when it is not given. */
export function writeOptions(
  query: URLSearchParams,
  user: User,
  userAgent: string | undefined,
): WriteOptions {
  const fieldManager = text(query, "fieldManager") ?? userAgent?.split("/", 1)[0];
  if (fieldManager !== undefined && fieldManager.length > FIELD_MANAGER_LENGTH_MAX)
    throw badRequest(`fieldManager: must be no more than ${FIELD_MANAGER_LENGTH_MAX} characters`);
  return {
    user,
    fieldValidation: fieldValidation(query),
    ...dryRunOf(query.getAll("dryRun")),
    ...(fieldManager === undefined || fieldManager === "" ? {} : { fieldManager }),
  };
}

/** `All` asks for a dry run. What is not understood is refused: it must not be carried out. */
export function dryRunOf(values: readonly string[]): { readonly dryRun?: true } {
  const asked = values.filter((v) => v !== "");
  const unknown = asked.find((v) => v !== "All");
  if (unknown !== undefined)
    throw badRequest(`dryRun: must be "All", is "${unknown.slice(0, 32)}"`);
  return asked.length > 0 ? { dryRun: true } : {};
}

/** Options of a delete from the query, under those of the body. */
export function deleteQuery(
  query: URLSearchParams,
): Pick<DeleteOptions, "propagationPolicy" | "dryRun"> {
  return {
    ...dryRunOf(query.getAll("dryRun")),
    ...propagation(query.get("propagationPolicy"), query.get("orphanDependents")),
  };
}

/** The propagation policy of either spelling. */
export function propagation(
  policy: unknown,
  orphanDependents: unknown,
): Pick<DeleteOptions, "propagationPolicy"> {
  if (policy === "Orphan" || policy === "Background" || policy === "Foreground")
    return { propagationPolicy: policy };
  if (policy !== undefined && policy !== null && policy !== "")
    throw badRequest(`propagationPolicy: must be Orphan, Background or Foreground`);
  if (orphanDependents === true || orphanDependents === "true")
    return { propagationPolicy: "Orphan" };
  return {};
}

/** A whole number that is not negative; undefined when absent. */
export function wholeNumber(query: URLSearchParams, name: string): number | undefined {
  const value = query.get(name);
  if (value === null || value === "") return undefined;
  if (!/^\d{1,15}$/.test(value))
    throw badRequest(`${name}: must be a whole number, is "${value.slice(0, 32)}"`);
  return Number(value);
}

/** `true`, `1` and the bare name are true. */
export function flag(query: URLSearchParams, name: string): boolean {
  const value = query.get(name);
  return value !== null && value !== "false" && value !== "0";
}

/**
 * Checks the version that a list must not be older than. We answer the newest state, which satisfies everything but an
 * exact version and one that has not been written yet.
 */
export function checkListVersion(query: URLSearchParams, current: string): ApiError | undefined {
  const asked = text(query, "resourceVersion");
  const match = text(query, "resourceVersionMatch");
  if (match !== undefined && asked === undefined)
    return badRequest("resourceVersionMatch is forbidden unless resourceVersion is provided");
  if (match !== undefined && match !== "Exact" && match !== "NotOlderThan")
    return badRequest(
      `resourceVersionMatch: must be Exact or NotOlderThan, is "${match.slice(0, 32)}"`,
    );
  if (asked === undefined) return undefined;
  if (!/^\d{1,15}$/.test(asked))
    return badRequest(`resourceVersion: Invalid value: "${asked.slice(0, 32)}"`);
  if (match === "Exact" && asked !== current)
    return new ApiError(
      "Expired",
      `the resource version ${asked} is no longer held; list without it`,
    );
  if (Number(asked) > Number(current))
    return new ApiError("Timeout", `Too large resource version: ${asked}, current: ${current}`, {
      retryAfterSeconds: 1,
      causes: [
        { reason: "UnexpectedServerResponse", message: "Too large resource version", field: "" },
      ],
    });
  return undefined;
}

function selection(
  query: URLSearchParams,
  namespace: string,
): Pick<ListOptions, "namespace" | "labelSelector" | "fieldSelector"> {
  const labelSelector = text(query, "labelSelector");
  const fieldSelector = text(query, "fieldSelector");
  return {
    ...(namespace === "" ? {} : { namespace }),
    ...(labelSelector === undefined ? {} : { labelSelector }),
    ...(fieldSelector === undefined ? {} : { fieldSelector }),
  };
}

function fieldValidation(query: URLSearchParams): WriteOptions["fieldValidation"] {
  const value = query.get("fieldValidation");
  if (value === null || value === "") return "Warn";
  if (value === "Strict" || value === "Warn" || value === "Ignore") return value;
  throw badRequest(`fieldValidation: must be Strict, Warn or Ignore, is "${value.slice(0, 32)}"`);
}

function text(query: URLSearchParams, name: string): string | undefined {
  const value = query.get(name);
  if (value === null || value === "") return undefined;
  if (value.length > SELECTOR_LENGTH_MAX)
    throw badRequest(`${name}: must be no more than ${SELECTOR_LENGTH_MAX} characters`);
  return value;
}
