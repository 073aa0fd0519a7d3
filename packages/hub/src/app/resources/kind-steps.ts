import { parseDurationMs } from "@flotilla/shared/kernel/duration";
import { JOIN_TOKEN_MS_DEFAULT } from "../../domain/enrolment/join.ts";
import { memberAt, nameOf, textAt, timestamp } from "../../domain/resources/api-object.ts";
import { mergeStringData } from "../../domain/resources/secret-data.ts";
import type { Draft, StepEnv } from "./draft.ts";

/** What single kinds need beyond the rules of all: fields that the hub fills in. */
export function completeKind(draft: Draft, env: StepEnv): Draft {
  const { kind } = draft.request;
  if (kind === "Secret") return { ...draft, object: mergeStringData(draft.object) };
  if (kind === "Namespace") return completeNamespace(draft);
  return kind === "JoinToken" && draft.current === undefined ? mintToken(draft, env) : draft;
}

/** The secret goes into this answer alone; stored is its hash. */
function mintToken(draft: Draft, env: StepEnv): Draft {
  const { secret, secretHash } = env.hooks.mintSecret();
  const ttl = textAt(draft.object, "spec", "ttl");
  const ttlMs = ttl === undefined ? JOIN_TOKEN_MS_DEFAULT : (parseDurationMs(ttl) ?? 0);
  const status = { secretHash, expiresAt: timestamp(env.nowMs + ttlMs) };
  return {
    ...draft,
    object: { ...draft.object, status },
    revealed: { joinString: env.hooks.joinString(nameOf(draft.object), secret) },
  };
}

/** Its finalizer is what holds a namespace until its content is gone; a client neither sets nor takes it. */
function completeNamespace(draft: Draft): Draft {
  const finalizers =
    draft.current === undefined ? ["kubernetes"] : memberAt(draft.current, "spec", "finalizers");
  return {
    ...draft,
    object: {
      ...draft.object,
      ...(finalizers === undefined ? {} : { spec: { finalizers } }),
      ...(draft.current === undefined ? { status: { phase: "Active" } } : {}),
    },
  };
}
