import type { SlotRecord } from "@flotilla/edge-agent/app/artifact/ports";
import type { AcceptedDesired, InstanceRecord } from "@flotilla/edge-agent/app/state/ports";
import type { UpKind } from "@flotilla/shared/protocol/topics";

/** A message in the outbox as it lies on the disk. */
interface StoredMessage {
  readonly id: string;
  readonly kind: UpKind;
  readonly body: string;
  readonly coalesceKey: string | undefined;
  readonly replyTo: string | undefined;
}

/** What the agent's database holds. */
export interface AgentDatabase {
  epoch: number;
  converged: number;
  dropped: number;
  desired: AcceptedDesired | undefined;
  instances: Map<string, InstanceRecord>;
  outbox: StoredMessage[];
  slots: Map<string, SlotRecord>;
  memos: Map<string, unknown>;
  /** Files that may be run: `TARGET SHA256`. */
  receipts: Set<string>;
}

/** A node's disk, as far as the agent writes it: the database, and beside it the file with the floors. It outlives processes and power cuts. */
export class AgentDisk {
  database: AgentDatabase = {
    epoch: 0,
    converged: 0,
    dropped: 0,
    desired: undefined,
    instances: new Map(),
    outbox: [],
    slots: new Map(),
    memos: new Map(),
    receipts: new Set(),
  };
  readonly floor: { epoch: number; revision: number } = { epoch: 0, revision: 0 };
  isFull = false;
  #lastGood: AgentDatabase | undefined;

  /** The copy that a damaged database is replaced by. */
  saveLastGood(): void {
    this.#lastGood = copyOf(this.database);
  }

  /**
   * The database is found damaged at a start: the last good copy takes its place, or, when there is none, an empty one.
   * `salvaged`: the records of instances could be read out of the damaged file.
   */
  restoreLastGood(options: { readonly salvaged: boolean }): void {
    const { instances, receipts, slots } = this.database;
    this.database = copyOf(this.#lastGood ?? new AgentDisk().database);
    if (!options.salvaged) return;
    for (const [id, record] of instances) this.database.instances.set(id, record);
    for (const [id, record] of slots) this.database.slots.set(id, record);
    for (const receipt of receipts) this.database.receipts.add(receipt);
  }
}

/** A copy that later writes do not reach. Records are never changed in place. */
export function copyOf(database: AgentDatabase): AgentDatabase {
  return {
    ...database,
    instances: new Map(database.instances),
    outbox: [...database.outbox],
    slots: new Map(database.slots),
    memos: new Map(database.memos),
    receipts: new Set(database.receipts),
  };
}
