import type { Clock } from "@flotilla/shared/kernel/clock";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { MadeDelta } from "../../domain/artifact/choice.ts";
import type { ResourceStore } from "../resources/ports.ts";
import type { ReleaseFiles } from "./offers-files.ts";

/** Counts of who holds what are kept this long: a minute. */
const COUNTS_KEPT_MS = 60_000;

/** How many nodes hold which release, as they report it. */
export class Holders {
  readonly #deps: {
    readonly store: Pick<ResourceStore, "list">;
    readonly files: ReleaseFiles;
    readonly clock: Clock;
  };
  #counts: ReadonlyMap<string, ReadonlyMap<number, number>> = new Map();
  #countedBootMs: number | undefined;

  constructor(deps: {
    readonly store: Pick<ResourceStore, "list">;
    readonly files: ReleaseFiles;
    readonly clock: Clock;
  }) {
    this.#deps = deps;
  }

  /** Nodes by the release of an artifact that they hold, by its counter. */
  of(artifact: string): ReadonlyMap<number, number> {
    const nowMs = this.#deps.clock.bootMs();
    if (this.#countedBootMs === undefined || nowMs - this.#countedBootMs >= COUNTS_KEPT_MS) {
      this.#counts = countHolders(this.#deps.store.list("EdgeNode"));
      this.#countedBootMs = nowMs;
    }
    return this.#counts.get(artifact) ?? new Map();
  }

  /** Nodes that hold the base of a delta and not its target: so many may still fetch it. */
  expectedDownloads({ base, target }: MadeDelta): number {
    const targets = this.#deps.files.of(target);
    const bases = base === undefined ? targets : this.#deps.files.of(base);
    const have = Math.max(0, ...targets.map((f) => this.#countOf(f.release)));
    if (base !== undefined) return Math.max(0, ...bases.map((f) => this.#countOf(f.release)));
    const all = Math.max(
      0,
      ...targets.map((f) => [...this.of(f.release.spec.artifact).values()].reduce(sum, 0)),
    );
    return Math.max(0, all - have);
  }

  #countOf({ spec }: ObjectOf<"Release">): number {
    return this.of(spec.artifact).get(spec.counter) ?? 0;
  }
}

function countHolders(
  nodes: readonly ObjectOf<"EdgeNode">[],
): ReadonlyMap<string, ReadonlyMap<number, number>> {
  const counts = new Map<string, Map<number, number>>();
  for (const { status } of nodes)
    for (const { name, counter } of status?.artifacts?.held ?? []) {
      const ofArtifact = counts.get(name) ?? new Map<number, number>();
      counts.set(name, ofArtifact.set(counter, (ofArtifact.get(counter) ?? 0) + 1));
    }
  return counts;
}

function sum(a: number, b: number): number {
  return a + b;
}
