import type { InstanceRecord } from "../../domain/reconcile/instance-record.ts";
import type { AgentStore } from "../state/ports.ts";

/**
 * The instance records, read once and written through: the reconciler is their only writer, and a pass each second should
 * not parse a thousand records. The store is written first, so that memory never knows more than the disk.
 */
export class RecordBook {
  readonly #store: Pick<AgentStore, "instances" | "putInstance" | "deleteInstance">;
  #records = new Map<string, InstanceRecord>();

  constructor(store: Pick<AgentStore, "instances" | "putInstance" | "deleteInstance">) {
    this.#store = store;
    this.reload();
  }

  /** Forgets memory and reads the store. */
  reload(): void {
    this.#records = new Map(this.#store.instances().map((r) => [r.id, r]));
  }

  all(): readonly InstanceRecord[] {
    return [...this.#records.values()];
  }

  get(id: string): InstanceRecord | undefined {
    return this.#records.get(id);
  }

  put(record: InstanceRecord): void {
    this.#store.putInstance(record);
    this.#records.set(record.id, record);
  }

  delete(id: string): void {
    this.#store.deleteInstance(id);
    this.#records.delete(id);
  }
}
