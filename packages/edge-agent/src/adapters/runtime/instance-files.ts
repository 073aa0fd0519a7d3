import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { messageOf } from "@flotilla/shared/kernel/errors";
import { fileNameOf, readFileIfExists } from "@flotilla/shared/platform/files";
import type { ExitStatus, LogTail } from "../../app/reconcile/ports.ts";

/** Largest current part of a container's log: 8 MiB. Past it the part is copied aside and cut to nothing. */
export const LOG_PART_BYTES_MAX: number = 8 * 1024 * 1024;
/** Longest answer when the end of a log is read: 64 KiB, what one up message carries. */
export const LOG_TAIL_BYTES_MAX: number = 64 * 1024;

const FOLDER_MODE = 0o750;
const LOG_MODE = 0o640;

/**
 * Files of the instances: `<root>/<instance>/<container>.log`, `.log.1` (the part before) and `exit-<container>-<run>.json`.
 * Workloads hold their log open for append, so cutting it by truncation needs nothing of them.
 */
export class InstanceFiles {
  readonly #root: string;
  readonly #partBytesMax: number;

  constructor(options: { readonly root: string; readonly logPartBytesMax?: number }) {
    this.#root = options.root;
    this.#partBytesMax = options.logPartBytesMax ?? LOG_PART_BYTES_MAX;
    mkdirSync(this.#root, { recursive: true, mode: FOLDER_MODE });
  }

  /** Opens the container's log for append; the caller closes it. Throws what the system throws. */
  openLog(instanceId: string, container: string): number {
    const folder = this.#folder(instanceId);
    mkdirSync(folder, { recursive: true, mode: FOLDER_MODE });
    const { O_APPEND, O_CREAT, O_WRONLY, O_NOFOLLOW } = constants;
    const path = join(folder, `${fileNameOf(container)}.log`);
    return openSync(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, LOG_MODE);
  }

  /**
   * Cuts every log that is over the limit; its last LOG_PART_BYTES_MAX stay as the older part. One that cannot be cut keeps
   * no other from it; the first failure is thrown at the end.
   */
  boundLogs(): void {
    const failures: unknown[] = [];
    for (const folder of namesIn(this.#root))
      for (const name of namesIn(join(this.#root, folder)).filter((n) => n.endsWith(".log"))) {
        try {
          boundLog(join(this.#root, folder, name), this.#partBytesMax);
        } catch (error) {
          failures.push(error);
        }
      }
    const [first] = failures;
    if (first !== undefined) throw new Error(messageOf(first), { cause: first });
  }

  /** The last lines; of all containers the one that wrote last, unless one is named. Undefined: there is no such log. */
  readLog(request: {
    readonly instanceId: string;
    readonly container?: string;
    readonly tailLines: number;
  }): LogTail | undefined {
    const folder = this.#folder(request.instanceId);
    const path =
      request.container === undefined
        ? newestLog(folder)
        : join(folder, `${fileNameOf(request.container)}.log`);
    if (path === undefined) return undefined;
    const now = tailOf(path);
    if (now === undefined) return undefined;
    const wantsMore = now.isWhole && lineCount(now.bytes) < request.tailLines;
    const older = wantsMore ? tailOf(`${path}.1`) : undefined;
    const bytes = Buffer.concat([older?.bytes ?? Buffer.alloc(0), now.bytes]);
    const isWhole = older === undefined ? now.isWhole && !wantsOlder(path) : older.isWhole;
    return lastLines(bytes, request.tailLines, isWhole);
  }

  /** Where a run's exit status is, or will be, written. */
  exitPath(run: {
    readonly instanceId: string;
    readonly runId: string;
    readonly container: string;
  }): string {
    const name = `exit-${fileNameOf(run.container)}-${fileNameOf(run.runId)}.json`;
    return join(this.#folder(run.instanceId), name);
  }

  readExit(run: {
    readonly instanceId: string;
    readonly runId: string;
    readonly container: string;
  }): ExitStatus | undefined {
    return parseExit(readFileIfExists(this.exitPath(run)));
  }

  /** Removes exit records of a container's earlier runs. */
  removeExits(instanceId: string, container: string): void {
    const prefix = `exit-${fileNameOf(container)}-`;
    const folder = this.#folder(instanceId);
    for (const name of namesIn(folder).filter((n) => n.startsWith(prefix)))
      rmSync(join(folder, name), { force: true });
  }

  remove(instanceId: string): void {
    rmSync(this.#folder(instanceId), { recursive: true, force: true });
  }

  #folder(instanceId: string): string {
    return join(this.#root, fileNameOf(instanceId));
  }
}

function parseExit(text: string | undefined): ExitStatus | undefined {
  if (text === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null) return undefined;
    if (!("exitCode" in value) || !("finishedWallMs" in value)) return undefined;
    const { exitCode, finishedWallMs } = value;
    if (typeof exitCode !== "number" || typeof finishedWallMs !== "number") return undefined;
    return { exitCode, finishedWallMs };
  } catch {
    return undefined;
  }
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** Copy, then truncate: what is written between the two is lost, as with logrotate's copytruncate. */
function boundLog(path: string, partBytesMax: number): void {
  const { O_RDWR, O_NOFOLLOW } = constants;
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined || !stat.isFile() || stat.size <= partBytesMax) return;
  const fd = openSync(path, O_RDWR | O_NOFOLLOW);
  try {
    const size = fstatSync(fd).size;
    const bytes = Buffer.alloc(Math.min(size, partBytesMax));
    const read = readSync(fd, bytes, 0, bytes.length, size - bytes.length);
    // Cut first: on a full disk room comes before history.
    ftruncateSync(fd, 0);
    writeFileSync(`${path}.1.tmp`, bytes.subarray(0, read), { mode: LOG_MODE });
    renameSync(`${path}.1.tmp`, `${path}.1`);
  } finally {
    closeSync(fd);
  }
}

function newestLog(folder: string): string | undefined {
  const logs = namesIn(folder)
    .filter((name) => name.endsWith(".log"))
    .map((name) => join(folder, name))
    .map((path) => ({ path, at: statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0 }));
  return logs.sort((a, b) => b.at - a.at)[0]?.path;
}

function wantsOlder(path: string): boolean {
  return (statSync(`${path}.1`, { throwIfNoEntry: false })?.size ?? 0) > 0;
}

function tailOf(path: string): { readonly bytes: Buffer; readonly isWhole: boolean } | undefined {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch {
    return undefined;
  }
  try {
    const size = fstatSync(fd).size;
    const bytes = Buffer.alloc(Math.min(size, LOG_TAIL_BYTES_MAX));
    const read = readSync(fd, bytes, 0, bytes.length, size - bytes.length);
    return { bytes: bytes.subarray(0, read), isWhole: size <= LOG_TAIL_BYTES_MAX };
  } finally {
    closeSync(fd);
  }
}

function lineCount(bytes: Buffer): number {
  let count = 0;
  for (const byte of bytes) if (byte === 10) count++;
  return count;
}

function lastLines(bytes: Buffer, tailLines: number, isWhole: boolean): LogTail {
  const cut = bytes.subarray(Math.max(0, bytes.length - LOG_TAIL_BYTES_MAX));
  const lines = cut.toString("utf8").split(/(?<=\n)/);
  const isCut = !isWhole || cut.length < bytes.length;
  const whole = isCut && lines.length > 1 ? lines.slice(1) : lines;
  const kept = whole.slice(Math.max(0, whole.length - tailLines));
  return { text: kept.join(""), truncated: isCut || kept.length < lines.length };
}
