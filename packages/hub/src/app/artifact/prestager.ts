import type { Clock } from "@flotilla/shared/kernel/clock";
import { isoTime } from "@flotilla/shared/kernel/iso-time";
import { jsonEqual } from "@flotilla/shared/kernel/json";
import type { Metrics, Service } from "@flotilla/shared/kernel/service";
import type { PrestagedRelease } from "@flotilla/shared/model/artifact";
import { DesiredState } from "@flotilla/shared/model/desired-state";
import type { KindName, ObjectOf } from "@flotilla/shared/model/kinds";
import { releaseName } from "@flotilla/shared/model/resources/artifact";
import { Check } from "typebox/value";
import { isResolved, resolveComponent } from "../../domain/application/component.ts";
import { foreseenReleases } from "../../domain/artifact/foreseen.ts";
import {
  PRESTAGE_CAUSES,
  type PrestageView,
  type Prestaging,
  prestagedReleases,
  prestagingsOf,
  type ReleaseBook,
  releaseBook,
} from "../../domain/artifact/prestage.ts";
import { planInputOf } from "../application/plan-input.ts";
import { PassLoop } from "../control/pass-loop.ts";
import { concerns } from "../control/relevance.ts";
import type { Sha256 } from "../desired/ports.ts";
import { isAssignment } from "../node/node-assignments.ts";
import type { LogEntry, ResourceStore, StoredDesired } from "../resources/ports.ts";
import type { Scheduler } from "../scheduling/scheduler.ts";
import { SiteLoads } from "./site-loads.ts";

/** Changes within this time share one look at the fleet, milliseconds. */
export const PRESTAGE_COALESCE_MS = 1_000;

const KINDS_SEEN: readonly KindName[] = [
  "Release",
  "Application",
  "Assignment",
  "EdgeNode",
  "Site",
];

/** What one node is to hold ready. */
interface Held {
  readonly list: readonly Prestaging[];
  readonly names: ReadonlySet<string>;
  readonly releases: readonly PrestagedRelease[];
}

/**
 * Decides what lies ready on which node before it is needed (`domain/artifact/prestage.ts`), and tells who compiles desired states.
 * Looks at everything that is stored, so a new hub comes to the same; what waits for a quiet hour and had begun is read from
 * what was last signed.
 */
export class Prestager implements Service {
  readonly name = "prestage";
  readonly #deps: PrestagerDeps;
  readonly #loop: PassLoop;
  readonly #loads: SiteLoads;
  /** By node; absent: nothing. Undefined before the first look. */
  #held: ReadonlyMap<string, Held> | undefined;
  #listener: (nodes: readonly string[]) => void = () => {};

  constructor(
    options: { readonly resyncMs?: number; readonly coalesceMs?: number },
    deps: PrestagerDeps,
  ) {
    this.#deps = deps;
    this.#loads = new SiteLoads(deps);
    this.#loop = new PassLoop(
      { coalesceMs: PRESTAGE_COALESCE_MS, ...options, name: this.name },
      { ...deps, isRelevant, pass: () => this.pass() },
    );
  }

  run(signal: AbortSignal): Promise<void> {
    return this.#loop.run(signal);
  }

  /** What a node is to hold ready. Looks at the fleet when nobody has yet: no node is told of nothing because the hub has just started. */
  prestageOf(nodeId: string): readonly PrestagedRelease[] {
    this.#held ??= this.#look();
    return this.#held.get(nodeId)?.releases ?? [];
  }

  /** Names of all releases that some node is to hold ready. */
  releases(): ReadonlySet<string> {
    this.#held ??= this.#look();
    return new Set([...this.#held.values()].flatMap((held) => [...held.names]));
  }

  /** One listener: called with the nodes that are to hold something else. */
  onChange(listener: (nodes: readonly string[]) => void): void {
    this.#listener = listener;
  }

  /** One look at everything. Rejects when the store fails. */
  async pass(): Promise<void> {
    const before = this.#held ?? new Map<string, Held>();
    const after = this.#look();
    this.#held = after;
    const changed = [...new Set([...before.keys(), ...after.keys()])].filter(
      (node) => !jsonEqual(before.get(node)?.releases ?? [], after.get(node)?.releases ?? []),
    );
    if (changed.length > 0) this.#listener(changed);
    this.#measure(after);
    if (this.#deps.store.list("Release").length > 0) await this.#loads.look();
  }

  #look(): ReadonlyMap<string, Held> {
    const { store, scheduler, clock } = this.#deps;
    const { mirror } = scheduler;
    const book = releaseBook(store.list("Release"));
    if (book.byName.size === 0) return new Map();
    mirror.sync();
    const foreseen = this.#foreseen();
    const runs = runsByNode(mirror.assignments.values());
    const nodes =
      book.asked.length > 0 ? mirror.nodeNames() : new Set([...foreseen.keys(), ...runs.keys()]);
    const found = new Map<string, Held>();
    for (const node of nodes) {
      const list = this.#prestagings(
        node,
        { book, nowMs: clock.wallMs() },
        { runs: runs.get(node) ?? [], foreseen: foreseen.get(node) ?? new Set() },
      );
      const names = new Set(list.map((p) => p.release.metadata.name));
      if (list.length > 0) found.set(node, { list, names, releases: prestagedReleases(list) });
    }
    return found;
  }

  #prestagings(
    name: string,
    { book, nowMs }: { readonly book: ReleaseBook; readonly nowMs: number },
    needs: Pick<PrestageView, "runs" | "foreseen">,
  ): readonly Prestaging[] {
    const { store, scheduler } = this.#deps;
    const node = scheduler.mirror.factsOf(name);
    if (node === undefined || node.life === "lost") return [];
    const site = node.site.name;
    const isBusy = this.#loads.isBusy(site, nowMs);
    const isMetered = store.get("Site", "", site)?.spec.delivery?.metered === true;
    const held = isBusy || isMetered ? this.#heldBy(name) : new Set<string>();
    return prestagingsOf({ node, ...needs, held, isBusy, isMetered }, book, nowMs);
  }

  #heldBy(node: string): ReadonlySet<string> {
    if (this.#held !== undefined) return this.#held.get(node)?.names ?? new Set();
    return heldOf(this.#deps.store.desired(node));
  }

  #foreseen(): ReadonlyMap<string, ReadonlySet<string>> {
    const { store, scheduler } = this.#deps;
    const found = new Map<string, Set<string>>();
    for (const application of store.list("Application")) {
      if (!application.spec.components.some((c) => (c.artifacts ?? []).length > 0)) continue;
      for (const [node, names] of this.#foreseenOf(application, scheduler)) {
        const ofNode = found.get(node) ?? new Set<string>();
        found.set(node, ofNode);
        for (const name of names) ofNode.add(name);
      }
    }
    return found;
  }

  #foreseenOf(application: ObjectOf<"Application">, scheduler: Scheduler) {
    const { store, sha256, clock } = this.#deps;
    const { mirror } = scheduler;
    const input = {
      ...planInputOf(application, { store, mirror, scheduler }),
      sha256,
      nowIso: isoTime(clock.wallMs()),
    };
    const { division = [] } = application.status ?? {};
    return foreseenReleases({
      components: application.spec.components
        .map((c) => resolveComponent(c, input))
        .filter((c) => isResolved(c)),
      assignments: input.assignments,
      activeSiteOf: (component) => division.find((d) => d.component === component)?.active,
      factsOf: (node) => mirror.factsOf(node),
      nodesOfSite: (site) => mirror.nodesOfSite(site),
    });
  }

  #measure(held: ReadonlyMap<string, Held>): void {
    const { store, metrics } = this.#deps;
    const all = [...held.values()].flatMap((h) => h.list);
    for (const cause of PRESTAGE_CAUSES)
      metrics.set("flotilla_hub_prestaged_releases", all.filter((p) => p.cause === cause).length, {
        cause,
      });
    let [hits, bytes] = [0, 0];
    for (const { status } of store.list("EdgeNode")) {
      hits += status?.artifacts?.prestageHits ?? 0;
      bytes += status?.artifacts?.prestageHitBytes ?? 0;
    }
    metrics.set("flotilla_hub_prestage_hits", hits);
    metrics.set("flotilla_hub_prestage_hit_bytes", bytes);
  }
}

/** What the instances of each node are asked to run with. */
function runsByNode(
  assignments: Iterable<ObjectOf<"Assignment">>,
): ReadonlyMap<string, PrestageView["runs"]> {
  const found = new Map<string, { name: string; version: string; counter: number }[]>();
  for (const { spec } of assignments) {
    if (spec.node === undefined || spec.desired.artifacts === undefined) continue;
    const runs = found.get(spec.node) ?? [];
    found.set(spec.node, runs);
    for (const { name, version, counter } of spec.desired.artifacts)
      runs.push({ name, version, counter });
  }
  return found;
}

/** Releases that the last signed state of a node asks it to hold ready; none when it is of another form. */
function heldOf(stored: StoredDesired | undefined): ReadonlySet<string> {
  if (stored === undefined) return new Set();
  const state: unknown = JSON.parse(stored.payload);
  const prestage = Check(DesiredState, state) ? (state.prestage ?? []) : [];
  return new Set(prestage.map((p) => releaseName(p.name, p.version)));
}

/** Of instances only where they are and what they are to run with. */
function isRelevant(entry: LogEntry): boolean {
  const { object, previous, type } = entry;
  if (type === "MODIFIED" && isAssignment(object) && previous !== undefined)
    return isAssignment(previous) && !jsonEqual(needsPart(object), needsPart(previous));
  return concerns(entry, KINDS_SEEN);
}

function needsPart({ spec }: ObjectOf<"Assignment">): unknown {
  return { node: spec.node, artifacts: spec.desired.artifacts };
}

interface PrestagerDeps {
  readonly store: ResourceStore;
  /** Its mirror tells what nodes are, and what is where. */
  readonly scheduler: Scheduler;
  readonly sha256: Sha256;
  readonly clock: Clock;
  readonly metrics: Metrics;
}
