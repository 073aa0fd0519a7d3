import type { Service } from "@flotilla/shared/kernel/service";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import {
  type DeltaProfile,
  likelyBases,
  mayHaveDeltas,
  WEIGHTS_FORMATS,
  wholeProfiles,
} from "../../domain/artifact/choice.ts";
import type { AnyObject, ResourceStore } from "../resources/ports.ts";
import type { DeltaService } from "./delta-service.ts";
import type { Holders } from "./delta-service-holders.ts";

/** Share of the nodes with an earlier release for which a delta is made before they ask. */
const COVERED_SHARE = 0.95;
/** Most earlier releases from which deltas are made before anybody asks. */
export const AHEAD_BASES_MAX = 8;

type Release = ObjectOf<"Release">;

interface Deps {
  readonly store: Pick<ResourceStore, "get" | "list" | "subscribe">;
  readonly holders: Pick<Holders, "of">;
  readonly deltas: Pick<DeltaService, "want">;
}

/**
 * Has a release's whole files and its deltas made as soon as it is ready, from the releases that nearly all nodes have, so that the
 * first node that asks need not wait.
 */
export class DeltasAhead implements Service {
  readonly name = "deltas-ahead";
  readonly #deps: Deps;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { store } = this.#deps;
    const unsubscribe = store.subscribe((entries) => {
      for (const { object, previous } of entries)
        if (isReadyRelease(object) && !(previous !== undefined && isReadyRelease(previous)))
          this.plan(object);
    });
    for (const release of this.#newest()) this.plan(release);
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener("abort", () => resolve(), { once: true });
    });
    unsubscribe();
  }

  /** What nodes are going to ask for. */
  plan(release: Release): void {
    const { deltas, store } = this.#deps;
    const format = store.get("Artifact", "", release.spec.artifact)?.spec.format ?? "raw";
    const isWeights = WEIGHTS_FORMATS.includes(format);
    for (const { sha256, length } of release.spec.files)
      for (const profile of wholeProfiles(length))
        deltas.want({ base: undefined, target: sha256, profile }, "ahead");
    for (const base of this.#basesOf(release))
      for (const file of release.spec.files) {
        const old = base.spec.files.find((f) => f.path === file.path);
        if (old === undefined || old.sha256 === file.sha256) continue;
        if (!mayHaveDeltas({ fileBytes: file.length, isWeights })) continue;
        for (const profile of this.#profiles())
          deltas.want({ base: old.sha256, target: file.sha256, profile }, "ahead");
      }
  }

  #basesOf({ spec }: Release): readonly Release[] {
    const holders = this.#deps.holders.of(spec.artifact);
    const earlier = new Map([...holders].filter(([counter]) => counter < spec.counter));
    const others = this.#deps.store
      .list("Release")
      .filter((r) => r.spec.artifact === spec.artifact);
    return likelyBases(earlier, COVERED_SHARE)
      .slice(0, AHEAD_BASES_MAX)
      .flatMap((counter) => others.find((r) => r.spec.counter === counter) ?? []);
  }

  #profiles(): readonly DeltaProfile[] {
    const isMetered = this.#deps.store
      .list("Site")
      .some((site) => site.spec.delivery?.metered === true);
    return isMetered ? ["fast", "slow"] : ["fast"];
  }

  /** The newest ready release of each artifact. */
  #newest(): readonly Release[] {
    const newest = new Map<string, Release>();
    for (const release of this.#deps.store.list("Release")) {
      const { artifact, counter } = release.spec;
      const known = newest.get(artifact)?.spec.counter ?? 0;
      if (counter > known && isReadyRelease(release)) newest.set(artifact, release);
    }
    return [...newest.values()];
  }
}

function isReadyRelease(object: AnyObject): object is Release {
  if (object.kind !== "Release") return false;
  const { status } = object as Release;
  return status?.conditions?.some((c) => c.type === "Ready" && c.status === "True") === true;
}
