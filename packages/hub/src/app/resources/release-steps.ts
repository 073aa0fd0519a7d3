import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { counterRival, orderWarning } from "../../domain/artifact/release-order.ts";
import { invalid } from "../../domain/resources/api-error.ts";
import { invalidValue } from "../../domain/resources/causes.ts";
import { subjectOf } from "../../domain/resources/kind-lookup.ts";
import type { Draft, StepEnv } from "./draft.ts";

/**
 * A new release beside those that there are: its counter must be its own, and a doubtful order is warned of. Two that are made at the
 * same instant both pass; the release controller then marks both.
 */
export function compareRelease(draft: Draft, env: StepEnv): Draft {
  if (draft.request.kind !== "Release" || draft.current !== undefined) return draft;
  // `checkWhole` was the last to see it.
  const release = draft.object as unknown as ObjectOf<"Release">;
  const releases = env.store.list("Release");
  const rival = counterRival(release, releases);
  if (rival !== undefined)
    throw invalid(subjectOf("Release", release.metadata.name), [
      invalidValue(
        "spec.counter",
        release.spec.counter,
        `${rival.metadata.name} has it already: counters grow with every release of an artifact`,
      ),
    ]);
  const warning = orderWarning(release, releases);
  return warning === undefined ? draft : { ...draft, warnings: [...draft.warnings, warning] };
}
