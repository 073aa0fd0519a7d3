import { jsonEqual } from "@flotilla/shared/kernel/json";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { deliveryOf } from "../../domain/artifact/delivery.ts";
import type { NodeArtifactParts } from "../../domain/desired/compile.ts";
import type { DesiredArtifacts } from "../desired/ports.ts";
import type { AnyObject, LogEntry, ResourceStore } from "../resources/ports.ts";
import type { Prestager } from "./prestager.ts";

/** What nodes are told of artifacts beside those of their instances: where bytes come from and when, and what is to lie ready. */
export class NodeArtifacts implements DesiredArtifacts {
  readonly #deps: NodeArtifactsDeps;
  #listener: (nodes: readonly string[]) => void = () => {};

  constructor(deps: NodeArtifactsDeps) {
    this.#deps = deps;
    deps.prestager.onChange((nodes) => this.#listener(nodes));
    deps.store.subscribe((entries) => {
      const nodes = new Set(entries.flatMap((entry) => this.#touched(entry)));
      if (nodes.size > 0) this.#listener([...nodes]);
    });
  }

  partsOf(nodeId: string): NodeArtifactParts {
    const { store, prestager, serverUrl } = this.#deps;
    const prestage = prestager.prestageOf(nodeId);
    const server = serverUrl();
    if (server === undefined) return { prestage };
    const site = store.get("EdgeNode", "", nodeId)?.spec.site ?? "";
    return { delivery: deliveryOf(server, store.get("Site", "", site)), prestage };
  }

  onChange(listener: (nodes: readonly string[]) => void): void {
    this.#listener = listener;
  }

  /** Nodes that get bytes otherwise from now on: those of a site that changed, and one that is of another site now. */
  #touched({ key, object, previous, type }: LogEntry): readonly string[] {
    if (isNode(object))
      return isNode(previous) && previous.spec.site !== object.spec.site ? [key.name] : [];
    if (!isSite(object)) return [];
    const before = isSite(previous) ? previous.spec.delivery : undefined;
    const isSame = type !== "DELETED" && jsonEqual(object.spec.delivery ?? {}, before ?? {});
    if (isSame) return [];
    return this.#deps.store
      .list("EdgeNode")
      .filter((n) => n.spec.site === key.name)
      .map((n) => n.metadata.name);
  }
}

function isNode(object: AnyObject | undefined): object is ObjectOf<"EdgeNode"> {
  return object?.kind === "EdgeNode";
}

function isSite(object: AnyObject | undefined): object is ObjectOf<"Site"> {
  return object?.kind === "Site";
}

interface NodeArtifactsDeps {
  readonly store: ResourceStore;
  readonly prestager: Pick<Prestager, "prestageOf" | "onChange">;
  /** The hub's artifact server, `https://host:port`; undefined while it does not listen. */
  readonly serverUrl: () => string | undefined;
}
