import type { Clock } from "@flotilla/shared/kernel/clock";
import { isoTime } from "@flotilla/shared/kernel/iso-time";
import { jsonEqual } from "@flotilla/shared/kernel/json";
import type { Metrics, Service } from "@flotilla/shared/kernel/service";
import type { KindName } from "@flotilla/shared/model/kinds";
import {
  type FleetHappening,
  type FleetView,
  reconcileFleet,
  siteStatus,
  transitions,
} from "../../domain/fleet/reconcile.ts";
import { latencyMatrix } from "../../domain/measures/latency-matrix.ts";
import { changeOf } from "../control/change.ts";
import { PassLoop } from "../control/pass-loop.ts";
import { concerns } from "../control/relevance.ts";
import type { EventRecorder } from "../events/event-recorder.ts";
import type { AnyObject, ResourceStore } from "../resources/ports.ts";

const KINDS_SEEN: readonly KindName[] = ["Fleet", "Site", "Cluster", "Secret", "EdgeNode"];

/** Keeps the status of sites and fleets true: membership, components, policies, status, as in the article. */
export class FleetController implements Service {
  readonly name = "fleet";
  readonly #deps: FleetDeps;
  readonly #loop: PassLoop;

  constructor(
    options: { readonly resyncMs?: number; readonly coalesceMs?: number },
    deps: FleetDeps,
  ) {
    this.#deps = deps;
    this.#loop = new PassLoop(
      { ...options, name: this.name },
      { ...deps, isRelevant: (e) => concerns(e, KINDS_SEEN), pass: () => this.pass() },
    );
  }

  run(signal: AbortSignal): Promise<void> {
    return this.#loop.run(signal);
  }

  /** One look at all sites and fleets. Rejects when the store fails. */
  async pass(): Promise<void> {
    const { store, clock, metrics } = this.#deps;
    const nowIso = isoTime(clock.wallMs());
    const [sites, nodes] = [store.list("Site"), store.list("EdgeNode")];
    const nodesOfSite = Map.groupBy(nodes, (n) => n.spec.site);
    const matrix = latencyMatrix(sites, nodes);
    for (const site of sites) {
      const here = nodesOfSite.get(site.metadata.name) ?? [];
      const status = siteStatus(site, here, { matrix, nowIso });
      const happenings = transitions(site.status?.conditions ?? [], status.conditions ?? []);
      await this.#write(site, { ...site, status: { ...site.status, ...status } }, happenings);
    }
    const view: FleetView = {
      sites: new Map(store.list("Site").map((s) => [s.metadata.name, s])),
      nodesOfSite,
      clusterOf: (namespace, name) => store.get("Cluster", namespace, name),
      hasSecret: (namespace, name) => store.get("Secret", namespace, name) !== undefined,
    };
    const fleets = store.list("Fleet");
    for (const fleet of fleets) {
      const { status, happenings } = reconcileFleet(fleet, view, nowIso);
      await this.#write(fleet, { ...fleet, status: { ...fleet.status, ...status } }, happenings);
    }
    metrics.set("flotilla_hub_fleets", fleets.length);
  }

  /** A conflict is left to the pass that the other writer causes. */
  async #write(
    before: AnyObject,
    after: AnyObject,
    happenings: readonly FleetHappening[],
  ): Promise<void> {
    if (jsonEqual(before, after)) return;
    const result = await this.#deps.store.commit({ changes: [changeOf(before, after)] });
    if (!result.ok) {
      this.#deps.metrics.count("flotilla_hub_pass_conflicts_total", { controller: this.name });
      return;
    }
    for (const happening of happenings) this.#deps.events.record({ about: before, ...happening });
  }
}

interface FleetDeps {
  readonly store: ResourceStore;
  readonly events: Pick<EventRecorder, "record">;
  readonly clock: Clock;
  readonly metrics: Metrics;
}
