import { parseDurationMs } from "@flotilla/shared/kernel/duration";
import { jsonEqual } from "@flotilla/shared/kernel/json";
import { parseBytes, parseQuantity } from "@flotilla/shared/kernel/quantity";
import { ARTIFACT_NAME_PATTERN, type ArtifactPin } from "@flotilla/shared/model/artifact";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { Component } from "@flotilla/shared/model/resources/application";
import { releaseName } from "@flotilla/shared/model/resources/artifact";
import { cronFault } from "../../artifact/cron.ts";
import type { Cause } from "../api-error.ts";
import { duplicates, forbiddenValue, invalidValue, requiredValue } from "../causes.ts";
import { dnsLabelCauses, labelsCauses } from "../names.ts";
import { selectorCauses } from "./selector-checks.ts";

/** Longest health window of a pin. */
export const HEALTH_WINDOW_MS_MAX = 86_400_000;
/** Least speed that a site may be limited to, bytes a second. */
export const DELIVERY_BYTES_PER_SECOND_MIN = 1_024;
/** Shortest and longest delivery window. */
export const DELIVERY_WINDOW_MS_MIN = 60_000;
export const DELIVERY_WINDOW_MS_MAX: number = 7 * 86_400_000;

const NAME = new RegExp(ARTIFACT_NAME_PATTERN);
type Release = ObjectOf<"Release">;
type Delivery = NonNullable<ObjectOf<"Site">["spec"]["delivery"]>;

export function artifactCauses({ metadata }: ObjectOf<"Artifact">): Cause[] {
  return NAME.test(metadata.name)
    ? []
    : [invalidValue("metadata.name", metadata.name, "must be at most 63 characters")];
}

export function releaseCauses({ metadata, spec }: Release): Cause[] {
  const { artifact, version, files, constraints, prestage } = spec;
  const name = releaseName(artifact, version);
  return [
    ...(metadata.name === name
      ? []
      : [
          invalidValue(
            "metadata.name",
            metadata.name,
            `must be ${name}, the artifact's name and the version`,
          ),
        ]),
    ...pathCauses(
      files.map((f) => f.path),
      (index) => `spec.files[${index}].path`,
    ),
    ...duplicates(
      files,
      (f) => f.target,
      (index) => `spec.files[${index}].target`,
    ),
    ...labelsCauses("spec.constraints.nodeLabels", constraints?.nodeLabels ?? {}),
    ...(constraints?.memory === undefined || (parseBytes(constraints.memory) ?? 0) > 0
      ? []
      : [
          invalidValue(
            "spec.constraints.memory",
            constraints.memory,
            "must be an amount of bytes such as 2Gi",
          ),
        ]),
    ...selectorCauses("spec.prestage.nodeSelector", prestage?.nodeSelector),
    ...(prestage?.sites ?? []).flatMap((site, index) =>
      dnsLabelCauses(`spec.prestage.sites[${index}]`, site),
    ),
  ];
}

/** A release is what was signed: another content is another version. */
export function releaseChangeCauses(before: Release, after: Release): Cause[] {
  return jsonEqual(fixedPart(before), fixedPart(after))
    ? []
    : [
        invalidValue(
          "spec",
          "",
          "field is immutable but for prestage and keep: make a release of a new version",
        ),
      ];
}

function fixedPart({ spec }: Release): unknown {
  const { prestage: _prestage, keep: _keep, ...fixed } = spec;
  return fixed;
}

/** What is wrong with the artifacts that a component pins. */
export function pinCauses(field: string, { artifacts = [], type }: Component): Cause[] {
  const at = (index: number): string => `${field}[${index}]`;
  return [
    ...duplicates(
      artifacts,
      (pin) => pin.name,
      (index) => `${at(index)}.name`,
    ),
    ...pathCauses(
      artifacts.map((pin) => pin.path ?? pin.name),
      (index) => `${at(index)}.path`,
    ),
    ...artifacts.flatMap((pin, index) => [
      ...reloadCauses(at(index), pin),
      ...(type === "Job" && (pin.reload ?? "restart") !== "restart"
        ? [
            forbiddenValue(
              `${at(index)}.reload`,
              "a Job runs to its end with the files that it began with: leave it out, or make the component a Deployment",
            ),
          ]
        : []),
    ]),
  ];
}

function reloadCauses(field: string, pin: ArtifactPin): Cause[] {
  const { reload = "restart", signal, http, healthWindow } = pin;
  const windowMs = healthWindow === undefined ? 0 : parseDurationMs(healthWindow);
  return [
    ...(signal !== undefined && reload !== "signal"
      ? [forbiddenValue(`${field}.signal`, `only with reload signal; reload is ${reload}`)]
      : []),
    ...(http !== undefined && reload !== "http"
      ? [forbiddenValue(`${field}.http`, `only with reload http; reload is ${reload}`)]
      : []),
    ...(http === undefined && reload === "http"
      ? [requiredValue(`${field}.http`, "say port and path that are told of new files")]
      : []),
    ...(windowMs !== undefined && windowMs <= HEALTH_WINDOW_MS_MAX
      ? []
      : [
          invalidValue(
            `${field}.healthWindow`,
            healthWindow,
            "must be a duration of at most 24h, such as 30s",
          ),
        ]),
  ];
}

/** Paths that are the same, or of which one would be a folder within, or over, another. */
function pathCauses(paths: readonly string[], at: (index: number) => string): Cause[] {
  const first = new Map<string, number>();
  for (const [index, path] of paths.entries()) if (!first.has(path)) first.set(path, index);
  const inside = paths.flatMap((path, index) => {
    const outer = folderOf(path, (folder) => first.has(folder));
    return outer === undefined
      ? []
      : [
          invalidValue(
            at(index),
            path,
            `lies inside ${outer}, which is the path of another: choose paths beside each other`,
          ),
        ];
  });
  return [...duplicates(paths, (path) => path, at), ...inside];
}

/** The nearest folder above a path of which this is true. */
function folderOf(path: string, test: (folder: string) => boolean): string | undefined {
  for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1)) {
    const folder = path.slice(0, end);
    if (test(folder)) return folder;
  }
  return undefined;
}

/** What is wrong with how a site fetches artifacts. */
export function deliveryCauses(field: string, delivery: Delivery | undefined): Cause[] {
  if (delivery === undefined) return [];
  const { bytesPerSecond, windows = [] } = delivery;
  return [
    ...(bytesPerSecond === undefined ||
    (parseQuantity(bytesPerSecond) ?? 0) >= DELIVERY_BYTES_PER_SECOND_MIN
      ? []
      : [
          invalidValue(
            `${field}.bytesPerSecond`,
            bytesPerSecond,
            "must be an amount of bytes of at least 1Ki",
          ),
        ]),
    ...windows.flatMap((window, index) => windowCauses(`${field}.windows[${index}]`, window)),
  ];
}

function windowCauses(
  field: string,
  { start, duration, timeZone }: NonNullable<Delivery["windows"]>[number],
): Cause[] {
  const fault = cronFault(start);
  const durationMs = parseDurationMs(duration) ?? 0;
  const isLong = durationMs >= DELIVERY_WINDOW_MS_MIN && durationMs <= DELIVERY_WINDOW_MS_MAX;
  return [
    ...(fault === undefined ? [] : [invalidValue(`${field}.start`, start, fault)]),
    ...(isLong
      ? []
      : [invalidValue(`${field}.duration`, duration, "must be at least 1m and at most 7d")]),
    ...(timeZone === undefined || isTimeZone(timeZone)
      ? []
      : [
          invalidValue(`${field}.timeZone`, timeZone, "must be an IANA name such as Europe/Berlin"),
        ]),
  ];
}

function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat("en", { timeZone: name }).format(0) !== "";
  } catch {
    return false;
  }
}
