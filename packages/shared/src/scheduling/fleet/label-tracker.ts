import type { LabelSelector } from "../../model/metadata.ts";
import { HARDWARE_ID_LABEL, type NodeFacts, type PlacementRequest } from "../facts.ts";

/** Stands for the node's name among label keys; no label key has a space. */
const NODE_NAME = "node name";
/** Followed by a number of bytes: a key that the nodes with at least so much memory have. */
const NODE_MEMORY = "node memory ";
/** The value of such a key. */
const ENOUGH = "enough";

/**
 * Which labels of nodes some request asks for. A selector cannot tell two nodes apart by a value that it does not name, so of
 * each label only the named values count, and of the others that there is one.
 */
export class LabelTracker {
  /** By label key: how many requests name the key, and each value of it. */
  readonly #keys = new Map<string, { count: number; readonly values: Map<string, number> }>();

  /** Counts what the request names. Answers whether the class of this node may have become another one. */
  add(request: PlacementRequest): (facts: NodeFacts) => boolean {
    const newKeys = new Set<string>();
    const newValues = new Map<string, Set<string>>();
    for (const [key, values] of mentionsOf(request)) {
      const entry = this.#keys.get(key) ?? { count: 0, values: new Map<string, number>() };
      if (entry.count++ === 0) newKeys.add(key);
      this.#keys.set(key, entry);
      for (const value of values) {
        const count = entry.values.get(value) ?? 0;
        entry.values.set(value, count + 1);
        if (count === 0) newValues.set(key, (newValues.get(key) ?? new Set()).add(value));
      }
    }
    if (newKeys.size === 0 && newValues.size === 0) return () => false;
    return (facts) => {
      for (const key of newKeys) if (valueOf(facts, key) !== undefined) return true;
      for (const [key, values] of newValues) {
        const value = valueOf(facts, key);
        if (value !== undefined && values.has(value)) return true;
      }
      return false;
    };
  }

  /** The request is not kept any more. Nodes keep their finer classes until they change. */
  remove(request: PlacementRequest): void {
    for (const [key, values] of mentionsOf(request)) {
      const entry = this.#keys.get(key);
      if (entry === undefined) continue;
      if (--entry.count === 0) this.#keys.delete(key);
      for (const value of values) {
        const count = (entry.values.get(value) ?? 1) - 1;
        if (count === 0) entry.values.delete(value);
        else entry.values.set(value, count);
      }
    }
  }

  /**
   * The node as a class sees it. What no request names is left out, for another request may name it later, and then the nodes that
   * stay in the class are those without it. Of its memory so much as some request asks for: those that have more leave the
   * class when a request asks for more.
   */
  coarse(facts: NodeFacts): NodeFacts {
    const labels: Record<string, string> = {};
    let name = SOME_VALUE;
    let memoryBytes = 0;
    for (const [key, { values }] of this.#keys) {
      const value = valueOf(facts, key);
      if (value === undefined) continue;
      const shown = values.has(value) ? value : SOME_VALUE;
      if (key === NODE_NAME) name = shown;
      else if (key.startsWith(NODE_MEMORY)) memoryBytes = Math.max(memoryBytes, bytesOf(key));
      else labels[key] = shown;
    }
    return { ...facts, name, labels, capacity: { ...facts.capacity, memoryBytes } };
  }

  /** What of the node's name and labels counts. */
  partOf(facts: NodeFacts): readonly string[] {
    const part: string[] = [];
    for (const [key, { values }] of this.#keys) {
      const value = valueOf(facts, key);
      if (value === undefined) continue;
      part.push(JSON.stringify(values.has(value) ? [key, value] : [key]));
    }
    return part.toSorted();
  }
}

/** Stands for a value that no request names; no label has it. */
const SOME_VALUE = "some value";

function valueOf(facts: NodeFacts, key: string): string | undefined {
  if (key === NODE_NAME) return facts.name;
  if (key.startsWith(NODE_MEMORY))
    return facts.capacity.memoryBytes >= bytesOf(key) ? ENOUGH : undefined;
  return Object.hasOwn(facts.labels, key) ? facts.labels[key] : undefined;
}

function bytesOf(memoryKey: string): number {
  return Number(memoryKey.slice(NODE_MEMORY.length));
}

/** Label keys that the request's selectors of nodes and its releases name, with the values that they name. */
function mentionsOf(request: PlacementRequest): ReadonlyMap<string, ReadonlySet<string>> {
  const mentions = new Map<string, Set<string>>();
  const mention = (key: string, values: readonly string[]): void => {
    const known = mentions.get(key) ?? new Set<string>();
    for (const value of values) known.add(value);
    mentions.set(key, known);
  };
  if (request.nodeName !== undefined) mention(NODE_NAME, [request.nodeName]);
  const selectors: readonly (LabelSelector | undefined)[] = [
    request.nodeSelector,
    ...request.placements.map((p) => p.nodeSelector),
  ];
  for (const selector of selectors) {
    for (const [key, value] of Object.entries(selector?.matchLabels ?? {})) mention(key, [value]);
    for (const { key, values } of selector?.matchExpressions ?? []) mention(key, values ?? []);
  }
  for (const { hardwareIds, nodeLabels, memoryBytes } of request.releases ?? []) {
    if (hardwareIds !== undefined) mention(HARDWARE_ID_LABEL, hardwareIds);
    for (const [key, value] of Object.entries(nodeLabels ?? {})) mention(key, [value]);
    if (memoryBytes !== undefined) mention(`${NODE_MEMORY}${memoryBytes}`, [ENOUGH]);
  }
  return mentions;
}
