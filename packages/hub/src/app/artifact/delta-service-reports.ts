import type { Clock } from "@flotilla/shared/kernel/clock";
import { jsonEqual } from "@flotilla/shared/kernel/json";
import type { Metrics, Service } from "@flotilla/shared/kernel/service";
import { deltasOf } from "../../domain/artifact/choice-report.ts";
import { changeOf } from "../control/change.ts";
import { PassLoop } from "../control/pass-loop.ts";
import type { ResourceStore } from "../resources/ports.ts";
import type { DeltaService } from "./delta-service.ts";

/** Deltas that are made within this time share one pass, milliseconds. */
const REPORT_COALESCE_MS = 1_000;
/** Most bases in the status of one release; the smallest deltas are told. */
export const REPORTED_DELTAS_MAX = 32;

interface Deps {
  readonly store: ResourceStore;
  readonly deltas: Pick<DeltaService, "made" | "onChange">;
  readonly clock: Clock;
  readonly metrics: Metrics;
}

/** Writes into the status of each release what an update to it costs, from each release that a delta was made from. */
export class DeltaReports implements Service {
  readonly name = "delta-reports";
  readonly #deps: Deps;
  readonly #loop: PassLoop;

  constructor(options: { readonly coalesceMs?: number }, deps: Deps) {
    this.#deps = deps;
    this.#loop = new PassLoop(
      { coalesceMs: REPORT_COALESCE_MS, ...options, name: this.name },
      {
        ...deps,
        isRelevant: ({ key, type }) => key.kind === "Release" && type !== "MODIFIED",
        pass: () => this.pass(),
      },
    );
  }

  async run(signal: AbortSignal): Promise<void> {
    const unsubscribe = this.#deps.deltas.onChange(() => this.#loop.wake());
    try {
      await this.#loop.run(signal);
    } finally {
      unsubscribe();
    }
  }

  /** One look at all releases. Rejects when the store fails. */
  async pass(): Promise<void> {
    const { store, deltas, metrics } = this.#deps;
    const byTarget = Map.groupBy(deltas.made(), (d) => d.target);
    const releases = store.list("Release");
    const byArtifact = Map.groupBy(releases, (r) => r.spec.artifact);
    for (const release of releases) {
      const made = release.spec.files.flatMap((f) => byTarget.get(f.sha256) ?? []);
      const before = release.status?.deltas ?? [];
      if (made.length === 0 && before.length === 0) continue;
      const found = deltasOf(release, byArtifact.get(release.spec.artifact) ?? [], made);
      const told = found.toSorted((a, b) => a.bytes - b.bytes).slice(0, REPORTED_DELTAS_MAX);
      if (jsonEqual(before, told)) continue;
      const after = { ...release, status: { ...release.status, deltas: [...told] } };
      const result = await store.commit({ changes: [changeOf(release, after)] });
      // What another writer changed meanwhile is looked at with the next pass.
      if (result.ok) continue;
      metrics.count("flotilla_hub_pass_conflicts_total", { controller: this.name });
      this.#loop.wake();
    }
  }
}
