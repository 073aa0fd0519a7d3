import { type NeedView, neededContents } from "../../domain/artifact/needed.ts";
import type { ResourceStore } from "../resources/ports.ts";

/** What garbage collection of the store must not take. Asked for at each collection; looks at everything then. */
export class NeededContents {
  readonly #deps: NeededDeps;

  constructor(deps: NeededDeps) {
    this.#deps = deps;
  }

  /** SHA-256 of every content that must stay. What came a short while ago and no Release names yet is for the collector to spare. */
  contents(): ReadonlySet<string> {
    const { store, prestaged } = this.#deps;
    const view: NeedView = {
      artifacts: store.list("Artifact"),
      releases: store.list("Release"),
      applications: store.list("Application"),
      assignments: store.list("Assignment"),
      nodes: store.list("EdgeNode"),
      prestaged: prestaged(),
    };
    return neededContents(view);
  }
}

interface NeededDeps {
  readonly store: Pick<ResourceStore, "list">;
  /** Names of releases that some node is asked to hold ready. */
  readonly prestaged: () => ReadonlySet<string>;
}
