import type {
  ConnectionRefusal,
  Counts,
  ServedKind,
  ServedOutcome,
  UploadOutcome,
} from "./messages.ts";

/** Counts in the thread until they are told. */
export class Counters {
  #served = new Map<
    string,
    { kind: ServedKind; outcome: ServedOutcome; count: number; bytes: number }
  >();
  #uploads = new Map<UploadOutcome, number>();
  #refusals = new Map<ConnectionRefusal, number>();
  #uploadedBytes = 0;

  served(kind: ServedKind, outcome: ServedOutcome, bytes: number): void {
    const key = `${kind} ${outcome}`;
    const line = this.#served.get(key) ?? { kind, outcome, count: 0, bytes: 0 };
    this.#served.set(key, { ...line, count: line.count + 1, bytes: line.bytes + bytes });
  }

  uploaded(outcome: UploadOutcome, count = 1): void {
    this.#uploads.set(outcome, (this.#uploads.get(outcome) ?? 0) + count);
  }

  received(bytes: number): void {
    this.#uploadedBytes += bytes;
  }

  refused(reason: ConnectionRefusal): void {
    this.#refusals.set(reason, (this.#refusals.get(reason) ?? 0) + 1);
  }

  /** What was counted since the last call. */
  take(connections: number): Counts {
    const counts = {
      served: [...this.#served.values()],
      uploads: [...this.#uploads].map(([outcome, count]) => ({ outcome, count })),
      uploadedBytes: this.#uploadedBytes,
      refusals: [...this.#refusals].map(([reason, count]) => ({ reason, count })),
      connections,
    };
    this.#served = new Map();
    this.#uploads = new Map();
    this.#refusals = new Map();
    this.#uploadedBytes = 0;
    return counts;
  }
}
