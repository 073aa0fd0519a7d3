import type { SlotName, SlotRecord } from "@flotilla/edge-agent/app/artifact/ports";
import { filesOfSet } from "@flotilla/edge-agent/domain/artifact/artifact-sets";
import {
  currentContents,
  type SlotContents,
} from "@flotilla/edge-agent/domain/artifact/slot-record";
import type { DesiredArtifact } from "@flotilla/shared/model/artifact";
import { isWhole, type LaidFile } from "../artifact/artifact-disk.ts";
import type { Depot } from "../artifact/depot.ts";
import type { Machine, SimProcess } from "../node/machine.ts";

/** What is known of the slots of one instance on one node, from what was truly there. */
interface SlotTruth {
  seen: SlotRecord | undefined;
  /** Sets that passed their health window here, by digest. */
  readonly good: Map<string, SlotContents>;
  /** Digests of sets that failed here. */
  readonly failed: Set<string>;
  /** What `current` was last led to. */
  current: SlotContents | undefined;
  /** Releases that were asked for since then: what was begun for one edit may end after the next. */
  asked: Set<string>;
}

/** Invariants 5 to 8 as far as they are about artifacts. Looks at the disks, at the database, and at what people signed. */
export class SlotAuditor {
  readonly #deps: {
    readonly depot: Depot;
    readonly broken: (invariant: string, message: string) => void;
    readonly probe: (name: string) => void;
  };
  readonly #nodes = new Map<Machine, { writes: number; readonly slots: Map<string, SlotTruth> }>();

  constructor(deps: {
    readonly depot: Depot;
    readonly broken: (invariant: string, message: string) => void;
    readonly probe: (name: string) => void;
  }) {
    this.#deps = deps;
  }

  watch(machine: Machine): void {
    this.#nodes.set(machine, { writes: 0, slots: new Map() });
  }

  /** The node does not know any more what it has tried. */
  recordsLost(machine: Machine): void {
    this.#nodes.get(machine)?.slots.clear();
  }

  /** An operator wants it tried again. */
  retried(machine: Machine, id: string): void {
    this.#of(machine, id).failed.clear();
  }

  /** True when a run that is as desired is stopped with good reason: its artifacts failed, or it did not take others. */
  mayEnd(machine: Machine, { instanceId, isForgotten }: SimProcess): boolean {
    const record = machine.disk.database.slots.get(instanceId);
    return (
      record !== undefined &&
      (record.phase === "rolling-back" || record.reloads.length > 0 || isForgotten)
    );
  }

  /** A desired state is accepted. */
  accepted(machine: Machine): void {
    for (const { artifacts = [], id } of machine.disk.database.desired?.state.instances ?? [])
      for (const { counter, name } of artifacts)
        this.#of(machine, id).asked.add(`${name} ${counter}`);
  }

  switched(machine: Machine, id: string, slot: SlotName): void {
    this.#deps.probe("artifacts switched");
    const truth = this.#of(machine, id);
    const contents = machine.disk.database.slots.get(id)?.[slot];
    const half = machine.artifacts.of(id)[slot] ?? [];
    this.#lookAtUse(machine, { id, half, contents }, "leads current to");
    this.#lookAtOrder(machine, id, { from: truth.current, to: contents });
    truth.current = contents;
    truth.asked = new Set();
    this.accepted(machine);
  }

  started(machine: Machine, { instanceId: id, hasArtifacts }: SimProcess): void {
    if (!hasArtifacts) return;
    this.#deps.probe("started with artifacts");
    const record = machine.disk.database.slots.get(id);
    const contents = record === undefined ? undefined : currentContents(record);
    const half = machine.artifacts.current(id) ?? [];
    this.#lookAtUse(machine, { id, half, contents }, "is started with");
  }

  /** After every event. */
  look(): void {
    for (const [machine, node] of this.#nodes) {
      const { slots } = machine.disk.database;
      const isOther = node.writes !== machine.artifacts.writes;
      node.writes = machine.artifacts.writes;
      for (const record of slots.values()) {
        const truth = this.#of(machine, record.id);
        if (!isOther && truth.seen === record) continue;
        this.#note(machine, truth, record);
        this.#lookAtGood(machine, truth, record.id);
      }
      const gone = node.slots.size > slots.size ? [...node.slots] : [];
      for (const [id, truth] of gone) {
        if (slots.has(id)) continue;
        this.#lookAtGood(machine, truth, id);
        node.slots.delete(id);
      }
    }
  }

  /** Invariants 5 and 7: what is in use is whole, signed, what its record says, and has not failed here. */
  #lookAtUse(
    machine: Machine,
    what: {
      readonly id: string;
      readonly half: readonly LaidFile[];
      readonly contents: SlotContents | undefined;
    },
    how: string,
  ): void {
    const { broken, depot } = this.#deps;
    const { id, half, contents } = what;
    if (contents === undefined) {
      broken("invariant 5", `${machine.name}: ${id} ${how} files that no record names`);
      return;
    }
    const artifacts = contents.desired.artifacts ?? [];
    const text = textOf(artifacts);
    if (!isWhole(half, filesOfSet(artifacts)))
      broken("invariant 5", `${machine.name}: ${id} ${how} ${text}, which is not whole`);
    const unsigned = artifacts.flatMap((a) => a.files).find((file) => !depot.isSigned(file));
    if (unsigned !== undefined)
      broken(
        "invariant 5",
        `${machine.name}: ${id} ${how} ${unsigned.target}, which nobody signed`,
      );
    if (this.#of(machine, id).failed.has(contents.set))
      broken("invariant 7", `${machine.name}: ${id} ${how} ${text}, which failed there`);
  }

  /** Invariant 8: an older release only where it is asked for, or where the newer one failed. */
  #lookAtOrder(
    machine: Machine,
    id: string,
    {
      from,
      to,
    }: { readonly from?: SlotContents | undefined; readonly to?: SlotContents | undefined },
  ): void {
    if (from === undefined || to === undefined) return;
    const { slots } = machine.disk.database;
    const { asked } = this.#of(machine, id);
    const hasFailed = slots.get(id)?.failed.some((f) => f.set === from.set) === true;
    if (hasFailed) {
      this.#deps.probe("artifacts rolled back");
      return;
    }
    const before = new Map((from.desired.artifacts ?? []).map((a) => [a.name, a.counter]));
    for (const { name, counter } of to.desired.artifacts ?? []) {
      const isBack = counter < (before.get(name) ?? 0);
      if (isBack && !asked.has(`${name} ${counter}`))
        this.#deps.broken(
          "invariant 8",
          `${machine.name}: ${id} goes back from ${name} ${before.get(name) ?? 0} to ${counter}, which did not fail, and nobody asks for it`,
        );
    }
  }

  #note(machine: Machine, truth: SlotTruth, record: SlotRecord): void {
    truth.seen = record;
    for (const { set } of record.failed) truth.failed.add(set);
    for (const slot of ["a", "b"] as const) {
      const contents = record[slot];
      if (contents?.isGood !== true || truth.good.has(contents.set)) continue;
      const half = machine.artifacts.slots.get(record.id)?.[slot];
      // Of a removal that was cut short the record is left.
      if (half === undefined) continue;
      this.#deps.probe("artifacts committed");
      truth.good.set(contents.set, contents);
    }
  }

  /** Invariant 6: once a set was good, one that was lies whole in a slot. */
  #lookAtGood(machine: Machine, truth: SlotTruth, id: string): void {
    if (truth.good.size === 0) return;
    const { a, b } = machine.artifacts.slots.get(id) ?? {};
    const sets = [...truth.good.values()].map((c) => filesOfSet(c.desired.artifacts ?? []));
    const isThere = sets.some((files) =>
      [a, b].some((half) => half !== undefined && isWhole(half, files)),
    );
    if (isThere) return;
    const wanted = machine.disk.database.desired?.state.instances.find((i) => i.id === id);
    if (wanted?.artifacts === undefined) {
      // Nobody wants it any more.
      truth.good.clear();
      return;
    }
    this.#deps.broken(
      "invariant 6",
      `${machine.name}: no slot of ${id} holds a version that has worked`,
    );
  }

  #of(machine: Machine, id: string): SlotTruth {
    const slots = this.#nodes.get(machine)?.slots;
    const found: SlotTruth = slots?.get(id) ?? {
      seen: undefined,
      good: new Map(),
      failed: new Set(),
      current: undefined,
      asked: new Set(),
    };
    slots?.set(id, found);
    return found;
  }
}

function textOf(artifacts: readonly DesiredArtifact[]): string {
  return artifacts.map((a) => `${a.name} ${a.version}`).join(", ");
}
