import { jsonEqual } from "@flotilla/shared/kernel/json";
import type { KindName, ObjectOf } from "@flotilla/shared/model/kinds";
import type { NodeFacts, SiteFacts, Use } from "@flotilla/shared/scheduling/facts";
import { ObservedMix } from "@flotilla/shared/scheduling/fleet/observed-mix";
import type { MixEntry } from "@flotilla/shared/scheduling/gpu/request-mix";
import { PriceBook } from "@flotilla/shared/scheduling/prices/price-book";
import { pinsRelease } from "../../domain/artifact/release-use.ts";
import { idOfMovePlan } from "../../domain/defragment/move-plan.ts";
import { DeviceClaims } from "../../domain/scheduling/device-claims.ts";
import { claimOf, devicesInUse } from "../../domain/scheduling/device-state.ts";
import { nodeFacts, siteFacts, usedBy } from "../../domain/scheduling/snapshot.ts";
import { concerns } from "../control/relevance.ts";
import { isAssignment } from "../node/node-assignments.ts";
import type { LogEntry, ResourceStore } from "../resources/ports.ts";
import { AssignmentIndex, applicationIdOf, applicationIdOfJob, idOf } from "./assignment-index.ts";
import { RoomHolds } from "./room-holds.ts";

/** Kinds that placement is made from. */
export const KINDS_SEEN: readonly KindName[] = [
  "Application",
  "Assignment",
  "EdgeNode",
  "Site",
  "Fleet",
  "Cluster",
  "SchedulingProfile",
  "PropagationPolicy",
  "PriceList",
  "ConfigMap",
  "Queue",
  "PriorityClass",
  "MovePlan",
  "Release",
];

/** Lines of the log that are read at a time. */
const LINES_MAX = 10_000;

/** What has changed since the last time it was taken. */
export interface MirrorChanges {
  /** Applications that may have something to do, as `namespace/name`; `all`: any of them. */
  readonly applications: ReadonlySet<string>;
  readonly all: boolean;
  /** Whether what found no room may find some now. */
  readonly roomMayHaveGrown: boolean;
  /** Nodes of which the spec, the life or what is on them changed. */
  readonly nodes: ReadonlySet<string>;
}

/** What of the fleet table the mirror writes. */
interface Table {
  setNode(facts: NodeFacts): void;
  removeNode(name: string): void;
  assign(id: string, node: string, use: Use): void;
  unassign(id: string): void;
}

/** Collects what changed while entries are followed. */
class Noted {
  readonly applications = new Set<string>();
  readonly nodes = new Set<string>();
  all = false;
  roomMayHaveGrown = false;
}

/**
 * The fleet as the store has it, kept up to date from the store's log: nodes and what is assigned to them in the table that
 * placements are decided on, and indexes from a change to what it may matter to.
 */
export class FleetMirror {
  readonly assignments = new AssignmentIndex();
  /** What was asked for, of all that is placed or was since the hub started: what GPUs are worth is made from it. */
  readonly mix = new ObservedMix();
  /** Room that move plans keep for whom they make it. */
  readonly holds: RoomHolds;
  readonly #store: ResourceStore;
  readonly #table: Table;
  readonly #sites = new Map<string, ObjectOf<"Site">>();
  readonly #siteFacts = new Map<string, SiteFacts>();
  readonly #nodes = new Map<string, ObjectOf<"EdgeNode">>();
  readonly #facts = new Map<string, NodeFacts>();
  readonly #nodesOfSite = new Map<string, Set<string>>();
  readonly #claims = new DeviceClaims();
  #prices = new PriceBook([]);
  /** Revision up to which the log was read; undefined: nothing was. */
  #revision: number | undefined;
  #noted = new Noted();
  /** Revisions that the scheduler's own commits wrote: what they changed is known, and is no news. */
  readonly #own = new Set<number>();

  constructor(deps: { readonly store: ResourceStore; readonly table: Table }) {
    this.#store = deps.store;
    this.#table = deps.table;
    this.holds = new RoomHolds({ table: deps.table, assignments: this.assignments });
  }

  /** Sites by name. */
  get sites(): ReadonlyMap<string, ObjectOf<"Site">> {
    return this.#sites;
  }

  nodeNames(): Iterable<string> {
    return this.#nodes.keys();
  }

  nodesOfSite(site: string): Iterable<string> {
    return this.#nodesOfSite.get(site) ?? [];
  }

  nodeObjectOf(name: string): ObjectOf<"EdgeNode"> | undefined {
    return this.#nodes.get(name);
  }

  /** The node without what is assigned to it. */
  factsOf(name: string): NodeFacts | undefined {
    return this.#facts.get(name);
  }

  /** Reads what was written since the last time. */
  sync(): void {
    for (;;) {
      const entries =
        this.#revision === undefined ? undefined : this.#store.logAfter(this.#revision, LINES_MAX);
      if (entries === undefined) return this.#reload(this.#noted);
      for (const entry of entries) this.#follow(entry, this.#noted);
      const last = entries.at(-1);
      if (last === undefined) return;
      this.#revision = last.revision;
    }
  }

  /** These lines were written by who takes the changes, and need no other look. */
  expect(entries: readonly LogEntry[]): void {
    for (const { revision } of entries) this.#own.add(revision);
  }

  /** What has changed since it was last asked for, also what was read for others meanwhile. */
  takeChanges(): MirrorChanges {
    this.sync();
    const noted = this.#noted;
    this.#noted = new Noted();
    return noted;
  }

  /** Makes the table's part of one assignment what the store has, after a decision that was not committed. */
  restore(id: string): void {
    const assignment = this.assignments.get(id);
    this.#table.unassign(id);
    if (assignment?.spec.node !== undefined)
      this.#table.assign(id, assignment.spec.node, usedBy(assignment));
    this.holds.follow(id);
  }

  /** Everything from the objects themselves: at the start, and when the log does not reach back far enough. */
  #reload(noted: Noted): void {
    const store = this.#store;
    this.#revision = store.revision;
    this.#own.clear();
    for (const { metadata } of this.#nodes.values()) this.#dropNode(metadata.name);
    for (const assignment of this.assignments.values()) this.#table.unassign(idOf(assignment));
    this.assignments.clear();
    this.mix.clear();
    this.holds.clear();
    this.#sites.clear();
    this.#siteFacts.clear();
    this.#readPrices();
    for (const site of store.list("Site")) this.#putSite(site);
    for (const node of store.list("EdgeNode")) this.#putNode(node);
    for (const assignment of store.list("Assignment")) this.#putAssignment(assignment);
    for (const plan of store.list("MovePlan")) this.holds.put(plan);
    for (const name of this.#nodes.keys()) noted.nodes.add(name);
    noted.all = true;
    noted.roomMayHaveGrown = true;
  }

  #follow(entry: LogEntry, noted: Noted): void {
    const { key, object, type } = entry;
    const isOwn = this.#own.delete(entry.revision);
    const matters = isOwn || concerns(entry, KINDS_SEEN);
    const gone = type === "DELETED";
    if (isNode(object)) this.#followNode(object, { gone, matters }, noted);
    else if (isAssignment(object)) this.#followAssignment(object, { gone, matters, isOwn }, noted);
    else if (isSite(object)) this.#followSite(object, { gone, matters }, noted);
    else if (isMovePlan(object)) this.#followMovePlan(object, gone, noted);
    else if (isOwn) return;
    else if (key.kind === "Application") noted.applications.add(`${key.namespace}/${key.name}`);
    else if (isRelease(object)) {
      if (matters) this.#followRelease(object, noted);
    } else if (matters) {
      if (key.kind === "PriceList") this.#repriceAll();
      noted.all = true;
      noted.roomMayHaveGrown = true;
    }
  }

  #followNode(node: ObjectOf<"EdgeNode">, { gone, matters }: Followed, noted: Noted): void {
    const { name } = node.metadata;
    if (gone) this.#dropNode(name);
    else this.#putNode(node);
    if (!matters) return;
    noted.nodes.add(name);
    noted.roomMayHaveGrown = true;
    for (const assignment of this.assignments.ofNode(name))
      noted.applications.add(applicationIdOf(assignment));
  }

  #followAssignment(
    assignment: ObjectOf<"Assignment">,
    { gone, matters, isOwn }: Followed & { readonly isOwn: boolean },
    noted: Noted,
  ): void {
    const id = idOf(assignment);
    const before = this.assignments.get(id);
    if (gone) {
      this.assignments.delete(id);
      this.#table.unassign(id);
      this.holds.follow(id);
    } else this.#putAssignment(assignment);
    this.#refreshRivals(before?.spec.node);
    if (!matters) return;
    if (!isOwn) noted.applications.add(applicationIdOf(assignment));
    for (const node of [before?.spec.node, assignment.spec.node])
      if (node !== undefined) noted.nodes.add(node);
    // It may have left a node, ended, or ask for less.
    if (before?.spec.node !== undefined) noted.roomMayHaveGrown = true;
  }

  #followSite(site: ObjectOf<"Site">, { gone, matters }: Followed, noted: Noted): void {
    const { name } = site.metadata;
    if (!matters && this.#sites.has(name)) {
      this.#sites.set(name, site);
      return;
    }
    if (gone) {
      this.#sites.delete(name);
      this.#siteFacts.delete(name);
    } else this.#putSite(site);
    for (const node of this.#nodesOfSite.get(name) ?? []) {
      const object = this.#nodes.get(node);
      if (object !== undefined) this.#putNode(object);
    }
    noted.all = true;
    noted.roomMayHaveGrown = true;
  }

  /** What room is made for is told how far it is, and may take it. */
  #followMovePlan(plan: ObjectOf<"MovePlan">, gone: boolean, noted: Noted): void {
    if (gone) this.holds.drop(idOfMovePlan(plan));
    else this.holds.put(plan);
    noted.applications.add(applicationIdOfJob(plan.spec.job));
    noted.roomMayHaveGrown = true;
  }

  /** Whoever pins it may have waited for it. */
  #followRelease({ spec }: ObjectOf<"Release">, noted: Noted): void {
    for (const application of this.#store.list("Application"))
      if (pinsRelease(application, spec))
        noted.applications.add(
          `${application.metadata.namespace ?? ""}/${application.metadata.name}`,
        );
  }

  #readPrices(): void {
    this.#prices = new PriceBook(
      this.#store.list("PriceList").map(({ metadata, spec }) => ({
        name: metadata.name,
        createdAt: metadata.creationTimestamp ?? "",
        spec,
      })),
    );
  }

  #repriceAll(): void {
    this.#readPrices();
    for (const site of this.#sites.values()) this.#putSite(site);
    for (const node of this.#nodes.values()) this.#putNode(node);
  }

  #putSite(site: ObjectOf<"Site">): void {
    this.#sites.set(site.metadata.name, site);
    this.#siteFacts.set(site.metadata.name, siteFacts(site, this.#prices));
  }

  #putNode(node: ObjectOf<"EdgeNode">): void {
    const { name } = node.metadata;
    const before = this.#nodes.get(name);
    if (before !== undefined && before.spec.site !== node.spec.site)
      this.#nodesOfSite.get(before.spec.site)?.delete(name);
    const ofSite = this.#nodesOfSite.get(node.spec.site) ?? new Set();
    this.#nodesOfSite.set(node.spec.site, ofSite.add(name));
    this.#nodes.set(name, node);
    const rivals = this.#claims.put(claimOf(node));
    this.#refresh(name);
    for (const rival of rivals) this.#refresh(rival);
  }

  /** Makes the facts of a node anew. */
  #refresh(name: string): void {
    const node = this.#nodes.get(name);
    if (node === undefined) return;
    const withheld = this.#claims.withheldFrom(name, (other, uuid) =>
      devicesInUse(this.assignments.ofNode(other)).has(uuid),
    );
    const facts = nodeFacts(node, this.#siteFacts.get(node.spec.site), withheld, this.#prices);
    this.#facts.set(name, facts);
    this.#table.setNode(facts);
  }

  /** What is in use on a node decides who has a device that two report. */
  #refreshRivals(node: string | undefined): void {
    if (node !== undefined) for (const rival of this.#claims.rivalsOf(node)) this.#refresh(rival);
  }

  #dropNode(name: string): void {
    const site = this.#nodes.get(name)?.spec.site;
    if (site !== undefined) this.#nodesOfSite.get(site)?.delete(name);
    this.#nodes.delete(name);
    this.#facts.delete(name);
    this.#table.removeNode(name);
    for (const rival of this.#claims.drop(name)) this.#refresh(rival);
  }

  #putAssignment(assignment: ObjectOf<"Assignment">): void {
    const { node } = assignment.spec;
    const id = idOf(assignment);
    const before = this.assignments.get(id);
    this.assignments.put(assignment);
    if (node !== undefined && !isAskedAgain(before, assignment))
      this.mix.add(this.#ask(assignment));
    if (node === undefined) this.#table.unassign(id);
    else this.#table.assign(id, node, usedBy(assignment));
    this.holds.follow(id);
    this.#refreshRivals(node);
  }

  /** What it asks for, of GPUs and beside them. A MIG device is no part of a card. */
  #ask({ spec }: ObjectOf<"Assignment">): Omit<MixEntry, "count"> {
    const { node = "", requests, devices = [] } = spec;
    const told = this.#facts.get(node)?.devices ?? [];
    const cards = devices.filter(
      ({ uuid }) => told.find((d) => d.uuid === uuid)?.migProfile === undefined,
    );
    return {
      milliCpu: requests.milliCpu,
      gpuCount: cards.length,
      gpuMilli: cards[0]?.milli ?? 0,
    };
  }
}

interface Followed {
  readonly gone: boolean;
  /** Whether anything that decides was changed. */
  readonly matters: boolean;
}

/** Whether it was placed before and asks for the same: a move or another status is no request. */
function isAskedAgain(
  before: ObjectOf<"Assignment"> | undefined,
  { spec }: ObjectOf<"Assignment">,
): boolean {
  if (before?.spec.node === undefined) return false;
  const milliOf = ({ devices = [] }: typeof spec): readonly number[] => devices.map((d) => d.milli);
  return (
    before.spec.requests.milliCpu === spec.requests.milliCpu &&
    jsonEqual(milliOf(before.spec), milliOf(spec))
  );
}

function isNode(object: LogEntry["object"]): object is ObjectOf<"EdgeNode"> {
  return object.kind === "EdgeNode";
}

function isRelease(object: LogEntry["object"]): object is ObjectOf<"Release"> {
  return object.kind === "Release";
}

function isMovePlan(object: LogEntry["object"]): object is ObjectOf<"MovePlan"> {
  return object.kind === "MovePlan";
}

function isSite(object: LogEntry["object"]): object is ObjectOf<"Site"> {
  return object.kind === "Site";
}
