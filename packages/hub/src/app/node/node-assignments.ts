import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { AnyObject, LogEntry, ResourceStore } from "../resources/ports.ts";

/**
 * The assignments of each node, kept up to date from the store's log, so that a report of one node does not look through
 * the whole fleet. An assignment belongs to the node that it is assigned to, and to the one that last reported it.
 */
export class NodeAssignments {
  readonly #store: ResourceStore;
  /** Node → `namespace/name` of its assignments. */
  readonly #names = new Map<string, Set<string>>();

  constructor(deps: { readonly store: ResourceStore }) {
    this.#store = deps.store;
    for (const assignment of deps.store.list("Assignment")) this.#add(assignment);
    deps.store.subscribe((entries) => {
      for (const entry of entries) this.#follow(entry);
    });
  }

  /** As they stand now, sorted by namespace and name. */
  of(nodeId: string): readonly ObjectOf<"Assignment">[] {
    const names = [...(this.#names.get(nodeId) ?? [])].toSorted();
    return names.flatMap((name) => {
      const [namespace = "", assignment = ""] = name.split("/");
      return this.#store.get("Assignment", namespace, assignment) ?? [];
    });
  }

  #follow(entry: LogEntry): void {
    if (entry.previous !== undefined) this.#remove(entry.previous);
    if (entry.type === "DELETED") this.#remove(entry.object);
    else this.#add(entry.object);
  }

  #add(object: AnyObject): void {
    for (const node of nodesOf(object)) {
      const names = this.#names.get(node) ?? new Set();
      names.add(nameOf(object));
      this.#names.set(node, names);
    }
  }

  #remove(object: AnyObject): void {
    for (const node of nodesOf(object)) {
      const names = this.#names.get(node);
      names?.delete(nameOf(object));
      if (names?.size === 0) this.#names.delete(node);
    }
  }
}

/** Nodes that an object is an assignment of; none for other kinds. */
export function nodesOf(object: AnyObject): readonly string[] {
  if (!isAssignment(object)) return [];
  const { spec, status } = object;
  return [...new Set([spec.node, status?.reportedBy].filter((n) => n !== undefined))];
}

/** Tells an assignment from other objects. */
export function isAssignment(object: AnyObject): object is ObjectOf<"Assignment"> {
  return object.kind === "Assignment";
}

function nameOf(object: AnyObject): string {
  return `${object.metadata.namespace ?? ""}/${object.metadata.name}`;
}
