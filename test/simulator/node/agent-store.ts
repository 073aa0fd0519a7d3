import type { MemoKey, SlotRecord, SlotStore } from "@flotilla/edge-agent/app/artifact/ports";
import {
  type AcceptedDesired,
  type AgentStore,
  type InstanceRecord,
  OUTBOX_COUNT_MAX,
  type OutboxDraft,
  type OutboxMessage,
} from "@flotilla/edge-agent/app/state/ports";
import { assert } from "@flotilla/shared/kernel/assert";
import { CodedError } from "@flotilla/shared/kernel/errors";
import { type Random, uuid } from "@flotilla/shared/kernel/random";
import type { Bugs } from "../bugs.ts";
import type { ProcessLife } from "../world/process-life.ts";
import { type AgentDisk, copyOf } from "./agent-disk.ts";

/** What the checks want to see of a store. */
export interface StoreWitness {
  accepted(desired: AcceptedDesired): void;
  /** A message is taken out of the outbox as acknowledged. */
  acknowledged(id: string, kind: string): void;
  gave(epoch: number, seq: number): void;
}

export interface SimAgentStoreDeps {
  readonly disk: AgentDisk;
  readonly life: ProcessLife;
  readonly random: Random;
  readonly witness: StoreWitness;
  readonly bugs: Bugs;
}

/**
 * The agent's store over a simulated disk: each call is one durable transaction, and each may be the last thing that the
 * process does. Epoch and revision have floors in a file of their own, as the real store has.
 */
export class SimAgentStore implements AgentStore, SlotStore {
  readonly #deps: SimAgentStoreDeps;
  #epoch = 0;
  #seq = 0;
  #depth = 0;
  #hasReadSlots = false;

  constructor(deps: SimAgentStoreDeps) {
    this.#deps = deps;
    const { disk, bugs } = deps;
    const grown = Math.max(disk.database.epoch, disk.floor.epoch) + 1;
    this.#takeEpoch(bugs.has("reuse-epoch") ? Math.max(1, grown - 1) : grown);
  }

  get epoch(): number {
    return this.#epoch;
  }

  get droppedCount(): number {
    return this.#deps.disk.database.dropped;
  }

  transaction<T>(work: () => T): T {
    const { disk } = this.#deps;
    const before = copyOf(disk.database);
    this.#depth++;
    try {
      const result = work();
      this.#depth--;
      if (this.#depth === 0) this.#write(() => undefined);
      return result;
    } catch (error) {
      this.#depth = Math.max(0, this.#depth - 1);
      disk.database = before;
      throw error;
    }
  }

  raiseEpoch(epoch: number): void {
    assert(epoch > this.#epoch, `the epoch only grows: ${epoch} after ${this.#epoch}`);
    this.#takeEpoch(epoch);
  }

  nextSeq(): number {
    this.#seq += 1;
    this.#deps.witness.gave(this.#epoch, this.#seq);
    return this.#seq;
  }

  desired(): AcceptedDesired | undefined {
    return this.#read().desired;
  }

  revisionFloor(): number {
    if (this.#deps.bugs.has("accept-any-revision")) return 0;
    const held = this.#read().desired?.state.revision ?? 0;
    return Math.max(held + 1, this.#deps.disk.floor.revision);
  }

  acceptDesired(desired: AcceptedDesired): void {
    const { revision } = desired.state;
    const floor = this.revisionFloor();
    assert(revision >= floor, `revisions only grow: ${revision} is below ${floor}`);
    this.#write((disk) => {
      disk.floor.revision = Math.max(disk.floor.revision, revision);
      disk.database.desired = desired;
      this.#deps.witness.accepted(desired);
    });
  }

  convergedRevision(): number {
    return this.#read().converged;
  }

  setConvergedRevision(revision: number): void {
    if (revision === this.convergedRevision()) return;
    this.#write(({ database }) => {
      database.converged = revision;
    });
  }

  instances(): readonly InstanceRecord[] {
    return [...this.#read().instances.values()].toSorted((a, b) => (a.id < b.id ? -1 : 1));
  }

  putInstance(record: InstanceRecord): void {
    this.#write(({ database }) => void database.instances.set(record.id, record));
  }

  deleteInstance(id: string): void {
    this.#write(({ database }) => void database.instances.delete(id));
  }

  enqueue(message: OutboxDraft): void {
    const id = uuid(this.#deps.random, "outbox.id");
    this.#write(({ database }) => {
      const { kind, coalesceKey, replyTo } = message;
      if (coalesceKey !== undefined)
        database.outbox = database.outbox.filter((m) => m.coalesceKey !== coalesceKey);
      if (database.outbox.length >= OUTBOX_COUNT_MAX) {
        const notice = database.outbox.findIndex((m) => m.kind === "notice");
        database.outbox.splice(Math.max(0, notice), 1);
        database.dropped++;
      }
      database.outbox.push({ id, kind, body: JSON.stringify(message.body), coalesceKey, replyTo });
    });
  }

  outbox(limit: number): readonly OutboxMessage[] {
    return this.#read()
      .outbox.slice(0, limit)
      .map(({ id, kind, body, replyTo }) => {
        const parsed: unknown = JSON.parse(body);
        return { id, kind, body: parsed, ...(replyTo === undefined ? {} : { replyTo }) };
      });
  }

  outboxCount(): number {
    return this.#read().outbox.length;
  }

  acknowledge(ids: readonly string[]): void {
    if (ids.length === 0) return;
    const gone = new Set(ids);
    this.#write(({ database }) => {
      for (const { id, kind } of database.outbox)
        if (gone.has(id)) this.#deps.witness.acknowledged(id, kind);
      database.outbox = database.outbox.filter((m) => !gone.has(m.id));
    });
  }

  supersedeReports(): void {
    this.#write(({ database }) => {
      database.outbox = database.outbox.filter((m) => m.kind !== "report" && m.kind !== "birth");
    });
  }

  slots(): readonly SlotRecord[] {
    const { bugs } = this.#deps;
    const found = [...this.#read().slots.values()];
    if (this.#hasReadSlots) return found;
    this.#hasReadSlots = true;
    if (bugs.has("forget-failures")) return found.map((record) => ({ ...record, failed: [] }));
    return bugs.has("slots-swapped") ? found.map(swapped) : found;
  }

  putSlot(record: SlotRecord): void {
    this.#write(({ database }) => void database.slots.set(record.id, record));
  }

  deleteSlot(id: string): void {
    this.#write(({ database }) => void database.slots.delete(id));
  }

  memo(key: MemoKey): unknown {
    return this.#read().memos.get(key);
  }

  putMemo(key: MemoKey, value: unknown): void {
    this.#write(({ database }) => void database.memos.set(key, value));
  }

  hasReceipt(receipt: string): boolean {
    return this.#read().receipts.has(receipt);
  }

  putReceipts(receipts: readonly string[]): void {
    this.#write(({ database }) => {
      for (const receipt of receipts) database.receipts.add(receipt);
    });
  }

  #takeEpoch(epoch: number): void {
    this.#write((disk) => {
      disk.floor.epoch = Math.max(disk.floor.epoch, epoch);
      disk.database.epoch = epoch;
    });
    this.#epoch = epoch;
    this.#seq = 0;
  }

  #read(): AgentDisk["database"] {
    return this.#deps.life.call(() => this.#deps.disk.database);
  }

  #write(effect: (disk: AgentDisk) => void): void {
    const { disk, life } = this.#deps;
    if (this.#depth > 0) {
      effect(disk);
      return;
    }
    life.call(() => {
      if (disk.isFull)
        throw new CodedError("database-full", "the disk is full", { mend: "free some space" });
      effect(disk);
    });
  }
}

/** The record with its current slot mistaken, where the other one holds something as well. */
function swapped(record: SlotRecord): SlotRecord {
  const current = record.current === "a" ? "b" : "a";
  const isSure = record.phase === "committed" && record[current] !== undefined;
  return isSure ? { ...record, current } : record;
}
