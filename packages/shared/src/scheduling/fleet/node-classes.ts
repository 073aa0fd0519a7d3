import type { DeviceFacts, NodeFacts, SiteFacts } from "../facts.ts";
import { byName } from "../select.ts";
import type { LabelTracker } from "./label-tracker.ts";

/** A class that no node is of any more is kept under its number for the next one. */
export const NO_CLASS = 0;

/** Nodes that no static filter and no static part of a score can tell apart. */
export interface NodeClass {
  /** One of them without what tells it from the others; what it has free says nothing. Undefined: the class of rows without a node. */
  representative: NodeFacts | undefined;
  /** Nodes of the class. */
  count: number;
  /** When it was made, as `NodeClasses.changes`; what was derived from the number before is void. */
  madeAt: number;
  key: string;
  /** The key without readiness and cordon. */
  lastingKey: string;
}

/**
 * Numbers for classes of nodes. There are never more than one for each node, and mostly a few for each site: what differs from node
 * to node (the hostname) counts only as far as some request asks for it (`LabelTracker`).
 */
export class NodeClasses {
  readonly #labels: LabelTracker;
  readonly #list: NodeClass[] = [
    { representative: undefined, count: 0, madeAt: 0, key: "", lastingKey: "" },
  ];
  readonly #byKey = new Map<string, number>();
  readonly #free: number[] = [];
  readonly #siteKeys = new WeakMap<SiteFacts, string>();
  /** Grows with every class that is made or becomes empty. */
  changes = 0;

  constructor(deps: { readonly labels: LabelTracker }) {
    this.#labels = deps.labels;
  }

  get list(): readonly NodeClass[] {
    return this.#list;
  }

  /** Class of a node that has joined, or changed, with these facts. */
  enter(facts: NodeFacts): number {
    const lastingKey = this.#lastingKeyOf(facts);
    const key = `${facts.life} ${facts.unschedulable} ${lastingKey}`;
    const known = this.#byKey.get(key);
    const number = known ?? this.#make({ key, lastingKey }, facts);
    const nodeClass = this.#list[number];
    if (nodeClass !== undefined) nodeClass.count++;
    return number;
  }

  /** One node fewer in the class. */
  leave(number: number): void {
    const nodeClass = this.#list[number];
    if (nodeClass === undefined || number === NO_CLASS || --nodeClass.count > 0) return;
    this.#byKey.delete(nodeClass.key);
    nodeClass.representative = undefined;
    this.#free.push(number);
    this.changes++;
  }

  /** Whether nodes of the two classes differ in readiness and cordon alone. */
  isSameButReadiness(a: number, b: number): boolean {
    return this.#list[a]?.lastingKey === this.#list[b]?.lastingKey;
  }

  #make(keys: Pick<NodeClass, "key" | "lastingKey">, facts: NodeFacts): number {
    const representative = this.#labels.coarse(facts);
    const number = this.#free.pop() ?? this.#list.length;
    this.changes++;
    this.#list[number] = { representative, count: 0, madeAt: this.changes, ...keys };
    this.#byKey.set(keys.key, number);
    return number;
  }

  #lastingKeyOf(facts: NodeFacts): string {
    const { taints, runtimes, devices } = facts;
    return JSON.stringify([
      this.#siteKey(facts.site),
      this.#labels.partOf(facts),
      taints.map(({ key, value = "", effect }) => [key, value, effect]),
      runtimes,
      deviceKeys(devices),
    ]);
  }

  #siteKey(site: SiteFacts): string {
    const known = this.#siteKeys.get(site);
    if (known !== undefined) return known;
    const key = plainKey(site);
    this.#siteKeys.set(site, key);
    return key;
  }
}

/** Devices without what is free of them; links by position, so that machines of one make are alike. */
function deviceKeys(devices: readonly DeviceFacts[]): readonly unknown[] {
  return devices.map((device, i) => [
    device.model,
    device.memoryBytes,
    device.migProfile ?? "",
    devices
      .slice(i + 1)
      .map((other) => device.links.get(other.uuid) ?? other.links.get(device.uuid) ?? ""),
  ]);
}

/** One text for equal plain values; keys sorted, sets and maps as sorted lists, numbers that JSON lacks by name. */
export function plainKey(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) => {
    if (typeof inner === "number" && !Number.isFinite(inner)) return `number ${inner}`;
    if (inner instanceof Set) return [...inner].map(String).toSorted(byName);
    if (inner instanceof Map) return [...inner].toSorted(([a], [b]) => (a < b ? -1 : 1));
    if (typeof inner !== "object" || inner === null || Array.isArray(inner)) return inner;
    return Object.fromEntries(Object.entries(inner).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  });
}
