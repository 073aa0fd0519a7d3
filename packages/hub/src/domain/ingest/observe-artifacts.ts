import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { type Condition, withCondition } from "@flotilla/shared/model/metadata";
import type { ReportedState } from "@flotilla/shared/model/reported-state";
import type { NodeHappening } from "./happening.ts";

/** Condition of a node that refuses what it was asked to install, by the metadata that it goes by. */
export const TRUST_REFUSED = "TrustRefused";

/** Conditions after a report: TrustRefused is True while a refusal stands, and False once one has been resolved. */
export function withTrust(
  conditions: Condition[] | undefined,
  { artifacts }: ReportedState,
  nowIso: string,
): Condition[] | undefined {
  const refusal = artifacts?.trust?.refusal;
  if (refusal !== undefined)
    return withCondition(
      conditions,
      {
        type: TRUST_REFUSED,
        status: "True",
        reason: conditionReason(refusal.code),
        message: `${refusal.code}: ${refusal.subject}: ${refusal.message}`,
      },
      nowIso,
    );
  if (conditions?.some((c) => c.type === TRUST_REFUSED && c.status === "True") !== true)
    return conditions;
  return withCondition(
    conditions,
    { type: TRUST_REFUSED, status: "False", reason: "Accepted", message: "nothing is refused" },
    nowIso,
  );
}

/** A refusal that is new, or another one. */
export function trustHappening(
  before: ObjectOf<"EdgeNode">,
  after: ObjectOf<"EdgeNode">,
): readonly NodeHappening[] {
  const [old, now] = [before, after].map((n) =>
    n.status?.conditions?.find((c) => c.type === TRUST_REFUSED && c.status === "True"),
  );
  return now === undefined || now.message === old?.message
    ? []
    : [{ type: "Warning", reason: TRUST_REFUSED, message: now.message }];
}

/** `metadata-expired` → `MetadataExpired`, as reasons of conditions are written. */
function conditionReason(code: string): string {
  const word = code
    .split(/[^A-Za-z0-9]+/)
    .map((part) => part.charAt(0).toUpperCase() + part.slice(1))
    .join("");
  return word === "" ? "Refused" : word;
}
