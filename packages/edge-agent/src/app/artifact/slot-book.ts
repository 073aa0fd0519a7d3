import type { DesiredArtifact } from "@flotilla/shared/model/artifact";
import { NO_SET, type SetDigest, setText } from "../../domain/artifact/artifact-sets.ts";
import type { SlotName, SlotRecord } from "../../domain/artifact/slot-record.ts";
import {
  afterSlotEvent,
  emptySlotRecord,
  type SlotEvent,
} from "../../domain/artifact/slot-transitions.ts";
import type { SlotDisk, SlotStore } from "./ports.ts";

export interface SlotBookDeps {
  readonly store: SlotStore;
  readonly disk: Pick<SlotDisk, "current">;
  /** One durable transaction of the agent's store. */
  readonly transaction: <T>(work: () => T) => T;
  /** SHA-256 of a text in hexadecimal. */
  readonly sha256: (text: string) => string;
}

/** The records of slots with their transitions, and what is known of slots in this life of the agent only. */
export class SlotBook {
  readonly #deps: SlotBookDeps;
  #records: Map<string, SlotRecord> | undefined;
  readonly #checked = new Map<string, string>();
  readonly #digests = new WeakMap<readonly DesiredArtifact[], string>();

  constructor(deps: SlotBookDeps) {
    this.#deps = deps;
  }

  /** Digest of a set of artifacts. */
  readonly setOf: SetDigest = (artifacts) => {
    if (artifacts === undefined || artifacts.length === 0) return NO_SET;
    const known = this.#digests.get(artifacts);
    if (known !== undefined) return known;
    const digest = this.#deps.sha256(setText(artifacts));
    this.#digests.set(artifacts, digest);
    return digest;
  };

  get(id: string): SlotRecord | undefined {
    return this.#all().get(id);
  }

  all(): readonly SlotRecord[] {
    return [...this.#all().values()];
  }

  /** The record after the event, durable. One that was not there begins with what the disk says. */
  apply(id: string, event: SlotEvent): SlotRecord {
    const before = this.get(id) ?? this.#found(id);
    const after = afterSlotEvent(before, event);
    if (after !== before) this.#put(after);
    return after;
  }

  /** Writes records and whatever else belongs to them as one. */
  transaction<T>(work: () => T): T {
    try {
      return this.#deps.transaction(work);
    } catch (error) {
      this.#records = undefined;
      throw error;
    }
  }

  forget(id: string): void {
    this.#deps.store.deleteSlot(id);
    this.#all().delete(id);
    this.#unchecked(id);
  }

  /** The slot was found to be what its record says. Holds until something is started with it, or it is made anew. */
  markChecked(id: string, slot: SlotName): void {
    const contents = this.get(id)?.[slot];
    if (contents !== undefined) this.#checked.set(`${slot} ${id}`, contents.set);
  }

  isChecked(id: string, slot: SlotName): boolean {
    const set = this.get(id)?.[slot]?.set;
    return set !== undefined && this.#checked.get(`${slot} ${id}`) === set;
  }

  /** The next use of this slot asks for another look. */
  useUp(id: string, slot: SlotName): void {
    this.#checked.delete(`${slot} ${id}`);
  }

  #unchecked(id: string): void {
    this.useUp(id, "a");
    this.useUp(id, "b");
  }

  #found(id: string): SlotRecord {
    const current = this.#deps.disk.current(id);
    const empty = emptySlotRecord(id);
    return current === undefined ? empty : { ...empty, current };
  }

  #put(record: SlotRecord): void {
    try {
      this.#deps.store.putSlot(record);
    } catch (error) {
      this.#records = undefined;
      throw error;
    }
    this.#all().set(record.id, record);
  }

  #all(): Map<string, SlotRecord> {
    this.#records ??= new Map(this.#deps.store.slots().map((record) => [record.id, record]));
    return this.#records;
  }
}
