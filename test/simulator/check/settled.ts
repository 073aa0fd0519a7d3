import { setText } from "@flotilla/edge-agent/domain/artifact/artifact-sets";
import type { DesiredInstance } from "@flotilla/shared/model/desired-state";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { ReportedInstance } from "@flotilla/shared/model/reported-state";
import { type Depot, isBadPin } from "../artifact/depot.ts";
import type { Machine } from "../node/machine.ts";
import { sha256 } from "../world/signing.ts";

/** True when an instance cannot work with the artifacts that are wanted of it. */
export function isBad({ artifacts = [] }: DesiredInstance, depot: Depot | undefined): boolean {
  return artifacts.some((pin) => {
    const release = depot?.releaseOf(pin.files[0]?.sha256 ?? "");
    return release !== undefined && isBadPin(release, pin);
  });
}

/** What is not settled yet of the artifacts of an instance, as its node says; bad ones must have been found out. */
export function artifactsLeft(
  { metadata, spec }: ObjectOf<"Assignment">,
  reported: ReportedInstance,
  depot: Depot | undefined,
): readonly string[] {
  const told = reported.artifacts ?? [];
  const named = (what: string): string => `${metadata.name} on ${spec.node ?? ""}: ${what}`;
  if (isBad(spec.desired, depot)) {
    const hasFailed = told.some((a) => a.phase === "Failed");
    const isBack = told.some((a) => a.phase === "RolledBack");
    const isActive = told.every((a) => a.phase === "Active");
    const isUp = reported.phase === "Running" && reported.ready;
    if (hasFailed || ((isBack || isActive) && isUp)) return [];
    return [named(`bad artifacts are ${told.map((a) => a.phase).join(", ")}`)];
  }
  return (spec.desired.artifacts ?? []).flatMap(({ name, version }) => {
    const found = told.find((a) => a.name === name && a.version === version);
    return found?.phase === "Active"
      ? []
      : [named(`${name} ${version} is ${found?.phase ?? "not told of"} ${found?.message ?? ""}`)];
  });
}

/** Instances of a node that went back from artifacts that are none the worse for it: an operator asks for another try. */
export function undeserved(machine: Machine, depot: Depot | undefined): readonly string[] {
  const { desired, slots } = machine.disk.database;
  return (desired?.state.instances ?? [])
    .filter(({ artifacts }) => artifacts !== undefined)
    .filter((instance) => !isBad(instance, depot))
    .filter(({ id, artifacts = [] }) => {
      const set = sha256(setText(artifacts));
      return slots.get(id)?.failed.some((failure) => failure.set === set) === true;
    })
    .map(({ id }) => id);
}
