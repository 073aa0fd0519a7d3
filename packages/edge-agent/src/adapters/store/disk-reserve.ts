import { randomFillSync } from "node:crypto";
import { existsSync, rmSync, statfsSync } from "node:fs";
import { dirname } from "node:path";
import type { Clock } from "@flotilla/shared/kernel/clock";
import { messageOf } from "@flotilla/shared/kernel/errors";
import type { Log, Service } from "@flotilla/shared/kernel/service";
import { writeFileDurable } from "@flotilla/shared/platform/files";

/** Size of the reserve: the write-ahead log at its largest, its index, and some growth of the database. */
export const RESERVE_BYTES: number = 4 * 1024 * 1024;
/** With less free space than this the reserve is given up. */
export const RESERVE_RELEASE_BELOW_BYTES: number = 1024 * 1024;
/** It is made, or made again, when this much is free. */
export const RESERVE_MAKE_ABOVE_BYTES: number = 64 * 1024 * 1024;
/** How often the free space is looked at. */
export const RESERVE_INTERVAL_MS = 10_000;

const FILE_MODE = 0o600;

/** Bytes that are free for this user on the file system of a folder. */
function freeBytesOf(folder: string): number {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
}

/**
 * A file that holds space for the agent on a disk that others fill. It is given up when the disk is full, so that an agent that
 * starts there, and a workload that has to be started again, still find room for what must be written first.
 */
export class DiskReserve implements Service {
  readonly name = "disk-reserve";
  readonly #path: string;
  readonly #freeBytes: () => number;
  readonly #deps: { readonly clock: Pick<Clock, "sleep">; readonly log: Log };
  #lastFailure = "";

  constructor(
    options: { readonly path: string; readonly freeBytes?: () => number },
    deps: { readonly clock: Pick<Clock, "sleep">; readonly log: Log },
  ) {
    this.#path = options.path;
    this.#freeBytes = options.freeBytes ?? (() => freeBytesOf(dirname(options.path)));
    this.#deps = deps;
  }

  /** Gives the reserve up when the disk is full. Never throws. */
  release(): void {
    this.#quietly(() => {
      if (!existsSync(this.#path) || this.#freeBytes() >= RESERVE_RELEASE_BELOW_BYTES) return;
      rmSync(this.#path, { force: true });
      this.#deps.log.warn({ bytes: RESERVE_BYTES }, "the disk is full; the reserve is given up");
    });
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#deps.clock.sleep(RESERVE_INTERVAL_MS, signal).catch(() => undefined);
      this.release();
      this.#quietly(() => {
        if (existsSync(this.#path) || this.#freeBytes() < RESERVE_MAKE_ABOVE_BYTES) return;
        // Random, so that no file system compresses it away.
        writeFileDurable(this.#path, randomFillSync(new Uint8Array(RESERVE_BYTES)), FILE_MODE);
      });
    }
  }

  /** A reserve that cannot be had is no reason to stop; said once. */
  #quietly(work: () => void): void {
    try {
      work();
    } catch (error) {
      const failure = messageOf(error);
      if (failure !== this.#lastFailure)
        this.#deps.log.warn({ reason: failure }, "the reserve of disk space cannot be kept");
      this.#lastFailure = failure;
    }
  }
}
