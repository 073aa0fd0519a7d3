import { messageOf } from "@flotilla/shared/kernel/errors";
import type { Log } from "@flotilla/shared/kernel/service";
import { readFileIfExists, writeFileDurable } from "@flotilla/shared/platform/files";

/** Numbers that must not go back. */
export interface Floors {
  /** Highest epoch that was ever taken. */
  readonly epoch: number;
  /** Highest revision of a desired state that was ever accepted. */
  readonly revision: number;
}

const NONE: Floors = { epoch: 0, revision: 0 };
const FILE_MODE = 0o600;

/**
 * A small file beside the database that outlives it: when the database is restored from an older copy, epoch and
 * accepted revision still do not go back. Without a path (database in memory) it keeps the numbers in memory.
 */
export class FloorFile {
  readonly #path: string | undefined;
  #floors: Floors;

  constructor(options: { readonly path: string | undefined }, deps: { readonly log: Log }) {
    this.#path = options.path;
    this.#floors = options.path === undefined ? NONE : readFloors(options.path, deps.log);
  }

  get floors(): Floors {
    return this.#floors;
  }

  /** Durable when it returns. Numbers that are lower than the present ones change nothing. */
  raise(to: Partial<Floors>): void {
    const next: Floors = {
      epoch: Math.max(this.#floors.epoch, to.epoch ?? 0),
      revision: Math.max(this.#floors.revision, to.revision ?? 0),
    };
    if (next.epoch === this.#floors.epoch && next.revision === this.#floors.revision) return;
    if (this.#path !== undefined)
      writeFileDurable(this.#path, `${JSON.stringify(next)}\n`, FILE_MODE);
    this.#floors = next;
  }
}

/** An unreadable file counts as none: the database and the hub (`epoch-behind`) still know. */
function readFloors(path: string, log: Log): Floors {
  try {
    const text = readFileIfExists(path);
    if (text === undefined) return NONE;
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null) throw new Error("it is no object");
    return { epoch: countOf(value, "epoch"), revision: countOf(value, "revision") };
  } catch (error) {
    log.warn({ path, error: messageOf(error) }, "the epoch file cannot be read and is ignored");
    return NONE;
  }
}

function countOf(value: object, key: keyof Floors): number {
  const count: unknown = Object.entries(value).find(([name]) => name === key)?.[1];
  if (typeof count !== "number" || !Number.isSafeInteger(count) || count < 0)
    throw new Error(`its ${key} is no count`);
  return count;
}
