import {
  type NodeFacts,
  release,
  reserve,
  reserveAll,
  type Use,
} from "@flotilla/shared/scheduling/facts";

interface Assigned {
  readonly node: string;
  readonly use: Use;
}

/** Nodes with what is assigned to them. An assignment outlives its node's absence. */
export class FactsTable {
  readonly #nodes = new Map<string, NodeFacts>();
  readonly #assigned = new Map<string, Assigned>();
  readonly #usesOf = new Map<string, Map<string, Use>>();

  get snapshot(): ReadonlyMap<string, NodeFacts> {
    return this.#nodes;
  }

  /** The node as its facts are now; what is assigned to it stays so. */
  setNode(facts: NodeFacts): void {
    const uses = this.#usesOf.get(facts.name);
    this.#nodes.set(facts.name, uses === undefined ? facts : reserveAll(facts, [...uses.values()]));
  }

  removeNode(name: string): void {
    this.#nodes.delete(name);
  }

  /** Gives room to an assignment, which gives back what it had elsewhere. */
  assign(id: string, node: string, use: Use): void {
    this.unassign(id);
    this.#assigned.set(id, { node, use });
    const uses = this.#usesOf.get(node) ?? new Map<string, Use>();
    this.#usesOf.set(node, uses.set(id, use));
    const facts = this.#nodes.get(node);
    if (facts !== undefined) this.#nodes.set(node, reserve(facts, use));
  }

  unassign(id: string): void {
    const held = this.#assigned.get(id);
    if (held === undefined) return;
    this.#assigned.delete(id);
    this.#usesOf.get(held.node)?.delete(id);
    const facts = this.#nodes.get(held.node);
    if (facts !== undefined) this.#nodes.set(held.node, release(facts, held.use));
  }
}
