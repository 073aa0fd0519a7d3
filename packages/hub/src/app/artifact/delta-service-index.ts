import { DELTA_FORMAT_VERSION } from "@flotilla/shared/delta/envelope";
import { messageOf } from "@flotilla/shared/kernel/errors";
import type { Log } from "@flotilla/shared/kernel/service";
import { type Static, Type } from "typebox";
import { Check } from "typebox/value";
import type { DeltaWork, MadeDelta } from "../../domain/artifact/choice.ts";
import type { DeltaIndexFile, PayloadStore } from "./ports.ts";

/** Raised when encoders find smaller deltas than before: what is cached is then made anew. */
const ENCODER_REVISION = 1;
/** Format and encoder that a cached delta was made by. */
export const CODEC_VERSION: string = `${DELTA_FORMAT_VERSION}.${ENCODER_REVISION}`;
/** So many different nodes have to report that a delta failed before it is not offered to anybody any more. */
export const FAILED_NODES_MAX = 3;
/** Most deltas that are remembered; those dropped longest ago are forgotten first. */
export const DELTA_RECORDS_MAX = 20_000;

const Sha = Type.String({ pattern: "^[0-9a-f]{64}$" });
const Size = Type.Integer({ minimum: 0 });

const IndexRecord = Type.Object({
  base: Type.Optional(Sha),
  target: Sha,
  profile: Type.Union([
    Type.Literal("fast"),
    Type.Literal("slow"),
    Type.Literal("small"),
    Type.Literal("plain"),
  ]),
  manifestSha256: Sha,
  manifestBytes: Size,
  payloadBytes: Size,
  memoryBytes: Size,
  codecBytes: Type.Record(Type.String({ maxLength: 32 }), Size, { maxProperties: 32 }),
  /** Why its payload was removed though it would be made again: it saves too little, or it failed on nodes. */
  refused: Type.Optional(Type.Union([Type.Literal("useless"), Type.Literal("failed")])),
  failedOn: Type.Optional(
    Type.Array(Type.String({ maxLength: 63 }), { maxItems: FAILED_NODES_MAX }),
  ),
});
type IndexRecord = Static<typeof IndexRecord>;

const IndexText = Type.Object({ codecVersion: Type.String(), records: Type.Array(IndexRecord) });

/** A delta with what the index knows beyond what a choice needs. */
export interface IndexedDelta extends MadeDelta {
  /** Bytes of the payload by codec. */
  readonly codecBytes: Readonly<Record<string, number>>;
}

/**
 * Which deltas are made: by base, target and profile, for one version of the codecs. Lies in a file beside the payloads, written
 * after a payload has been taken over and before one is removed; what a crash leaves on either side alone goes at the next start.
 */
export class DeltaIndex {
  readonly #records = new Map<string, IndexRecord>();
  readonly #file: DeltaIndexFile;
  readonly #payloads: PayloadStore;
  readonly #log: Log;
  /** What `made` answers; undefined when it has to be gathered anew. */
  #made: readonly IndexedDelta[] | undefined;

  constructor(deps: {
    readonly file: DeltaIndexFile;
    readonly payloads: PayloadStore;
    readonly log: Log;
  }) {
    this.#file = deps.file;
    this.#payloads = deps.payloads;
    this.#log = deps.log;
    for (const record of this.#read()) this.#records.set(keyOf(workOf(record)), record);
  }

  /** Makes index and payloads agree. To be called once, before anything is asked. */
  async open(): Promise<void> {
    const stored = new Set(this.#payloads.list().map((p) => p.manifestSha256));
    const known = new Set<string>();
    for (const [key, record] of this.#records) {
      if (record.refused !== undefined) continue;
      if (stored.has(record.manifestSha256)) known.add(record.manifestSha256);
      else this.#records.delete(key);
    }
    this.#made = undefined;
    for (const sha256 of stored) if (!known.has(sha256)) await this.#payloads.remove(sha256);
  }

  /** Everything that can be offered. */
  made(): readonly IndexedDelta[] {
    this.#made ??= [...this.#records.values()].filter((r) => r.refused === undefined).map(deltaOf);
    return this.#made;
  }

  /** What was made for this, also when it is not offered any more. */
  find(work: DeltaWork): { readonly delta: IndexedDelta; readonly isRefused: boolean } | undefined {
    const record = this.#records.get(keyOf(work));
    return record && { delta: deltaOf(record), isRefused: record.refused !== undefined };
  }

  /** Notes a delta whose payload was taken over. */
  add(delta: IndexedDelta): void {
    const { base, target, profile, ...rest } = delta;
    const record: IndexRecord = {
      ...(base === undefined ? {} : { base }),
      target,
      profile,
      ...rest,
      codecBytes: { ...delta.codecBytes },
    };
    this.#records.set(keyOf(delta), record);
    this.#forgetSurplus();
    this.#write();
  }

  /** Removes a payload. With a reason the delta is not made again. */
  async drop(work: DeltaWork, refused?: "useless" | "failed"): Promise<void> {
    const record = this.#records.get(keyOf(work));
    if (record === undefined) return;
    this.#records.delete(keyOf(work));
    if (refused !== undefined) this.#records.set(keyOf(work), { ...record, refused });
    this.#write();
    // Two works may make the same bytes: a small form that is no smaller.
    const isShared = this.made().some((d) => d.manifestSha256 === record.manifestSha256);
    if (!isShared) await this.#payloads.remove(record.manifestSha256);
  }

  /** A payload is not there any more, for the store needed room: it can be made again. */
  forget(work: DeltaWork): void {
    if (this.#records.delete(keyOf(work))) this.#write();
  }

  /** A node says that a manifest failed there. Returns the deltas of that manifest that have now failed on too many nodes. */
  noteFailure(manifestSha256: string, nodeId: string): readonly IndexedDelta[] {
    const withdrawn: IndexedDelta[] = [];
    let isNew = false;
    for (const [key, record] of this.#records) {
      const { failedOn = [] } = record;
      if (record.manifestSha256 !== manifestSha256 || record.refused !== undefined) continue;
      if (failedOn.includes(nodeId)) continue;
      isNew = true;
      const nodes = [...failedOn, nodeId];
      this.#records.set(key, { ...record, failedOn: nodes.slice(0, FAILED_NODES_MAX) });
      if (nodes.length >= FAILED_NODES_MAX) withdrawn.push(deltaOf(record));
    }
    if (isNew) this.#write();
    return withdrawn;
  }

  #forgetSurplus(): void {
    for (const [key, record] of this.#records) {
      if (this.#records.size <= DELTA_RECORDS_MAX) return;
      if (record.refused !== undefined) this.#records.delete(key);
    }
  }

  #read(): readonly IndexRecord[] {
    const text = this.#file.read();
    if (text === undefined) return [];
    try {
      const value: unknown = JSON.parse(text);
      if (Check(IndexText, value)) return value.codecVersion === CODEC_VERSION ? value.records : [];
    } catch {
      // Read as one that is damaged.
    }
    this.#log.warn({}, "the index of deltas cannot be read; they are made anew");
    return [];
  }

  /** What cannot be written is made again after the next start, and nothing worse. */
  #write(): void {
    this.#made = undefined;
    const records = [...this.#records.values()];
    try {
      this.#file.write(JSON.stringify({ codecVersion: CODEC_VERSION, records }));
    } catch (error) {
      this.#log.warn({ error: messageOf(error) }, "the index of deltas was not written");
    }
  }
}

/** One name for one piece of work. */
export function keyOf({ base, target, profile }: DeltaWork): string {
  return `${base ?? "-"}>${target}/${profile}`;
}

function workOf({ base, target, profile }: IndexRecord): DeltaWork {
  return { base, target, profile };
}

function deltaOf(record: IndexRecord): IndexedDelta {
  const { manifestSha256, manifestBytes, payloadBytes, memoryBytes, codecBytes } = record;
  return {
    ...workOf(record),
    manifestSha256,
    manifestBytes,
    payloadBytes,
    memoryBytes,
    codecBytes,
  };
}
