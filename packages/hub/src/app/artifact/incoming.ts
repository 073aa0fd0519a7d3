import type { Clock } from "@flotilla/shared/kernel/clock";
import { CodedError, messageOf } from "@flotilla/shared/kernel/errors";
import { jsonEqual } from "@flotilla/shared/kernel/json";
import type { Log, Metrics, Service } from "@flotilla/shared/kernel/service";
import type { ReleaseFile } from "@flotilla/shared/model/artifact";
import { apiVersionOf, KINDS } from "@flotilla/shared/model/kinds";
import { type PlannedRelease, planRelease } from "../../domain/artifact/incoming.ts";
import { ApiError } from "../../domain/resources/api-error.ts";
import type { ResourceApi } from "../resources/ports.ts";
import type { ArrivedRelease, FileTaker, IncomingFolder } from "./ports.ts";

/** The folder is looked at this often. */
export const INCOMING_LOOK_MS = 2_000;
/** A release is taken in when nothing in its folder has changed for so long. */
export const INCOMING_QUIET_MS = 6_000;
/** What failed for a reason that passes, such as a full disk, is tried again after this. */
export const INCOMING_RETRY_MS = 60_000;
/** Largest file: that of a release. */
const FILE_BYTES_MAX: number = 2 ** 36;
/** In the log, and as the writer of what it makes. */
const USER = { name: "incoming-folder", groups: [] } as const;
/** Codes of what the folder is not to blame for. */
const PASSING: readonly string[] = [
  "artifact-quota",
  "disk-full",
  "not-writable",
  "artifact-server-died",
  "upload-too-many",
  "ServiceUnavailable",
  "InternalError",
];

/** Why a release in the folder is moved to `failed`, beside what the stores and the API refuse. */
export type IncomingErrorCode = "release-refused";

interface Deps {
  readonly folder: IncomingFolder;
  readonly taker: FileTaker;
  readonly resources: Pick<ResourceApi, "get" | "create">;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
}

interface Seen {
  readonly stamp: string;
  /** When it was first seen like this. */
  readonly sinceMs: number;
}

/**
 * Makes releases of what is put into the watched folder, as a client of the API would. Everything that it does can be done twice:
 * after a kill it begins anew, and what was stored or made already is found.
 */
export class IncomingReleases implements Service {
  readonly name = "incoming";
  readonly #deps: Deps;
  #seen: ReadonlyMap<string, Seen> = new Map();
  readonly #retryAtMs = new Map<string, number>();
  #lastFailure: string | undefined;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#lookQuietly();
      await this.#deps.clock.sleep(INCOMING_LOOK_MS, signal).catch(() => undefined);
    }
  }

  /** One look: takes in what has lain unchanged for long enough, one after the other. Rejects when the folder cannot be read. */
  async look(): Promise<void> {
    const { clock, folder } = this.#deps;
    const found = await folder.look();
    const nowMs = clock.bootMs();
    this.#seen = new Map(found.map((a) => [keyOf(a), this.#since(a, nowMs)]));
    for (const arrived of found) {
      const key = keyOf(arrived);
      const sinceMs = this.#seen.get(key)?.sinceMs ?? nowMs;
      const retryAtMs = this.#retryAtMs.get(key) ?? 0;
      if (nowMs - sinceMs < INCOMING_QUIET_MS || nowMs < retryAtMs) continue;
      await this.#take(arrived);
    }
  }

  /** A folder that cannot be read is said once, and looked at again. */
  async #lookQuietly(): Promise<void> {
    try {
      await this.look();
      this.#lastFailure = undefined;
    } catch (error) {
      const reason = messageOf(error);
      if (reason !== this.#lastFailure)
        this.#deps.log.warn({ reason }, "the folder of incoming releases cannot be read");
      this.#lastFailure = reason;
    }
  }

  #since(arrived: ArrivedRelease, nowMs: number): Seen {
    const before = this.#seen.get(keyOf(arrived));
    const isSame = before?.stamp === arrived.stamp;
    return isSame ? before : { stamp: arrived.stamp, sinceMs: nowMs };
  }

  async #take(arrived: ArrivedRelease): Promise<void> {
    const { folder, log, metrics, clock } = this.#deps;
    const { name, version } = arrived;
    const key = keyOf(arrived);
    this.#retryAtMs.delete(key);
    try {
      const plan = planRelease(arrived);
      if ("refused" in plan) throw refused(plan.refused);
      await this.#make(arrived, plan);
      await folder.settle(arrived, { kind: "done" });
      metrics.count("flotilla_hub_artifact_incoming_total", { outcome: "done" });
      log.info({ name, version }, "a release was taken in from the folder");
    } catch (error) {
      const reason = messageOf(error);
      if (isPassing(error)) {
        this.#retryAtMs.set(key, clock.bootMs() + INCOMING_RETRY_MS);
        metrics.count("flotilla_hub_artifact_incoming_total", { outcome: "waiting" });
        log.warn({ name, version, reason }, "a release in the folder has to wait");
        return;
      }
      await folder.settle(arrived, { kind: "failed", reason });
      metrics.count("flotilla_hub_artifact_incoming_total", { outcome: "failed" });
      log.warn({ name, version, reason }, "a release in the folder was refused");
    }
  }

  async #make(arrived: ArrivedRelease, plan: PlannedRelease): Promise<void> {
    const files: ReleaseFile[] = [];
    for (const { path, target } of plan.files) {
      const source = this.#deps.folder.pathOf(arrived, path);
      files.push({ path, target, ...(await this.#deps.taker.take(source, FILE_BYTES_MAX)) });
    }
    await this.#create("Artifact", plan.artifact, ["format"]);
    const spec = { ...plan.release.spec, files };
    await this.#create("Release", { ...plan.release, spec }, Object.keys(spec));
  }

  /** What is there already must be the same in these fields. */
  async #create(
    kind: "Artifact" | "Release",
    { name, spec }: { readonly name: string; readonly spec: object },
    fields: readonly string[],
  ): Promise<void> {
    const { resources } = this.#deps;
    const body = { apiVersion: apiVersionOf(KINDS[kind]), kind, metadata: { name }, spec };
    try {
      await resources.create(kind, "", body, { user: USER, fieldValidation: "Strict" });
    } catch (error) {
      if (!(error instanceof ApiError) || error.reason !== "AlreadyExists") throw error;
      const there = fieldsOf(resources.get(kind, "", name)["spec"]);
      const wanted = fieldsOf(spec);
      const other = fields.find((field) => !jsonEqual(there[field], wanted[field]));
      if (other === undefined) return;
      throw refused(`${kind} ${name} is there already, with another ${other}`);
    }
  }
}

function refused(reason: string): CodedError<IncomingErrorCode> {
  return new CodedError("release-refused", reason, {
    mend: "Correct it and put the release into the folder again.",
  });
}

function keyOf({ name, version }: ArrivedRelease): string {
  return `${name}/${version}`;
}

function fieldsOf(spec: unknown): Readonly<Record<string, unknown>> {
  return typeof spec === "object" && spec !== null ? { ...spec } : {};
}

function isPassing(error: unknown): boolean {
  return error instanceof CodedError && PASSING.includes(error.code);
}
