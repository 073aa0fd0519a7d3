import { createHash } from "node:crypto";
import { readdirSync, rmSync, statSync } from "node:fs";
import { type FileHandle, open, readFile, rename, truncate } from "node:fs/promises";
import { join } from "node:path";
import { assert } from "@flotilla/shared/kernel/assert";
import type { Clock } from "@flotilla/shared/kernel/clock";
import { messageOf } from "@flotilla/shared/kernel/errors";
import type { Log } from "@flotilla/shared/kernel/service";
import {
  ensureDirectory,
  fileError,
  syncDirectory,
  systemCode,
} from "@flotilla/shared/platform/files";
import type {
  KeptPayload,
  PayloadCheck,
  PayloadShelf,
  PeerProgress,
  ServedPayloads,
} from "../../app/delivery/ports.ts";

const FOLDER_MODE = 0o700;
const FILE_MODE = 0o600;
/** A payload that is not whole has this behind its name. */
const PART_SUFFIX = ".part";
/** Manifests that are kept; the oldest goes. Each is at most 4 MiB, most a few KiB. */
export const MANIFESTS_KEPT_MAX = 64;

interface Entry {
  readonly lengthBytes: number;
  /** What others may read. */
  availableBytes: number;
  /** What they are told has come. */
  receivedBytes: number;
  isWhole: boolean;
  /** A transfer uses it. */
  isOpen: boolean;
  /** Those who wait for more. */
  readonly waiting: Set<() => void>;
}

/**
 * Payloads in `payloads/<manifest>` and manifests in `manifests/<digest>`. Every byte of it can be fetched again: what a cut leaves behind is
 * checked before it is used, or goes.
 */
export class FilePayloadShelf implements PayloadShelf, ServedPayloads {
  readonly #payloads: string;
  readonly #manifests: string;
  readonly #quotaBytes: number;
  readonly #deps: { readonly clock: Pick<Clock, "sleep">; readonly log: Log };
  /** The one that was used least recently first. */
  readonly #entries = new Map<string, Entry>();

  /** `folder` must be there. Those below are made when something is written: an agent starts on a full disk too. */
  constructor(
    options: { readonly folder: string; readonly quotaBytes: number },
    deps: { readonly clock: Pick<Clock, "sleep">; readonly log: Log },
  ) {
    this.#payloads = join(options.folder, "payloads");
    this.#manifests = join(options.folder, "manifests");
    this.#quotaBytes = options.quotaBytes;
    this.#deps = deps;
    this.#takeStock();
  }

  /** Bytes on disk, or set aside for what is being fetched. */
  get usedBytes(): number {
    return [...this.#entries.values()].reduce((sum, e) => sum + e.lengthBytes, 0);
  }

  async manifest(sha256: string): Promise<Uint8Array | undefined> {
    try {
      const bytes = await readFile(join(this.#manifests, sha256));
      return createHash("sha256").update(bytes).digest("hex") === sha256 ? bytes : undefined;
    } catch (error) {
      if (systemCode(error) === "ENOENT") return undefined;
      throw error;
    }
  }

  async keepManifest(sha256: string, bytes: Uint8Array): Promise<void> {
    const path = join(this.#manifests, sha256);
    try {
      ensureDirectory(this.#manifests, FOLDER_MODE);
      this.#dropOldManifests();
      await using file = await open(path + PART_SUFFIX, "w", FILE_MODE);
      await file.writeFile(bytes);
      await file.datasync();
      await rename(path + PART_SUFFIX, path);
      syncDirectory(this.#manifests);
    } catch (error) {
      throw fileError(error, path);
    }
  }

  async open(
    payload: { readonly manifestSha256: string; readonly lengthBytes: number },
    check: PayloadCheck,
  ): Promise<KeptPayload | undefined> {
    const { manifestSha256, lengthBytes } = payload;
    const known = this.#entries.get(manifestSha256);
    assert(known?.isOpen !== true, `payload ${manifestSha256} is open already`);
    if (known !== undefined) this.#entries.delete(manifestSha256);
    if (!this.#makeRoom(lengthBytes)) {
      if (known !== undefined) this.#remove(manifestSha256);
      return undefined;
    }
    const entry: Entry = {
      lengthBytes,
      availableBytes: 0,
      receivedBytes: 0,
      isWhole: known?.isWhole === true && known.lengthBytes === lengthBytes,
      isOpen: true,
      waiting: new Set(),
    };
    this.#entries.set(manifestSha256, entry);
    const path = join(this.#payloads, manifestSha256);
    const wasWhole = entry.isWhole;
    let file: FileHandle | undefined;
    try {
      ensureDirectory(this.#payloads, FOLDER_MODE);
      file = await open(wasWhole ? path : path + PART_SUFFIX, wasWhole ? "r" : "a+", FILE_MODE);
      const kept = new OpenPayload({ path, file, entry });
      await kept.checkWith(check);
      return kept;
    } catch (error) {
      await file?.close();
      this.#entries.delete(manifestSha256);
      this.#remove(manifestSha256);
      // One that was whole and has been altered since is begun anew.
      if (wasWhole) return this.open(payload, check);
      throw fileError(error, path);
    }
  }

  async release(bytes: number): Promise<number> {
    let released = 0;
    for (const [sha256, entry] of this.#entries) {
      if (released >= bytes) break;
      if (entry.isOpen) continue;
      released += entry.lengthBytes;
      this.#entries.delete(sha256);
      this.#remove(sha256);
    }
    return released;
  }

  find(manifestSha256: string): (PeerProgress & { readonly isGrowing: boolean }) | undefined {
    const entry = this.#entries.get(manifestSha256);
    if (entry === undefined || !(entry.isWhole || entry.isOpen)) return undefined;
    const { availableBytes, receivedBytes, isWhole } = entry;
    return { availableBytes, receivedBytes, isGrowing: !isWhole };
  }

  async read(manifestSha256: string, offset: number, length: number): Promise<Uint8Array> {
    const entry = this.#entries.get(manifestSha256);
    assert(
      entry !== undefined && offset + length <= entry.availableBytes,
      "only what is there is read",
    );
    // The most recently used last.
    this.#entries.delete(manifestSha256);
    this.#entries.set(manifestSha256, entry);
    await using file = await this.#openForReading(manifestSha256);
    return readExactly(file, offset, length);
  }

  /** It gets its last name in between, at some time. */
  async #openForReading(manifestSha256: string): Promise<FileHandle> {
    const path = join(this.#payloads, manifestSha256);
    if (this.#entries.get(manifestSha256)?.isWhole === true) return open(path, "r");
    try {
      return await open(path + PART_SUFFIX, "r");
    } catch (error) {
      if (systemCode(error) === "ENOENT") return open(path, "r");
      throw error;
    }
  }

  async grown(
    manifestSha256: string,
    until: { readonly bytes: number; readonly waitMs: number; readonly signal: AbortSignal },
  ): Promise<void> {
    const entry = this.#entries.get(manifestSha256);
    if (entry === undefined || until.waitMs <= 0) return;
    const over = new AbortController();
    const signal = AbortSignal.any([until.signal, over.signal]);
    const isThere = (): boolean =>
      entry.isWhole || !entry.isOpen || entry.availableBytes >= until.bytes;
    const onGrown = (): void => {
      if (isThere()) over.abort();
    };
    entry.waiting.add(onGrown);
    onGrown();
    await this.#deps.clock.sleep(until.waitMs, signal).catch(() => undefined);
    entry.waiting.delete(onGrown);
  }

  /** What an earlier life left: whole payloads serve on, parts wait for their transfer. */
  #takeStock(): void {
    const files = namesIn(this.#payloads)
      .map((name) => ({ name, stat: statSync(join(this.#payloads, name)) }))
      .toSorted((a, b) => a.stat.mtimeMs - b.stat.mtimeMs);
    for (const { name, stat } of files) {
      const isWhole = !name.endsWith(PART_SUFFIX);
      this.#entries.set(isWhole ? name : name.slice(0, -PART_SUFFIX.length), {
        lengthBytes: stat.size,
        availableBytes: isWhole ? stat.size : 0,
        receivedBytes: isWhole ? stat.size : 0,
        isWhole,
        isOpen: false,
        waiting: new Set(),
      });
    }
    this.#makeRoom(0);
  }

  /** False when the quota is too small, also without everything that is not in use: then nothing is removed. */
  #makeRoom(bytes: number): boolean {
    const inUse = [...this.#entries.values()].filter((e) => e.isOpen);
    if (inUse.reduce((sum, e) => sum + e.lengthBytes, bytes) > this.#quotaBytes) return false;
    for (const [sha256, entry] of this.#entries) {
      if (this.usedBytes + bytes <= this.#quotaBytes) break;
      if (entry.isOpen) continue;
      this.#entries.delete(sha256);
      this.#remove(sha256);
    }
    return true;
  }

  #remove(sha256: string): void {
    const path = join(this.#payloads, sha256);
    try {
      for (const file of [path, path + PART_SUFFIX]) rmSync(file, { force: true });
    } catch (error) {
      this.#deps.log.warn({ path, error: messageOf(error) }, "a payload could not be removed");
    }
  }

  #dropOldManifests(): void {
    const files = readdirSync(this.#manifests)
      .map((name) => ({ path: join(this.#manifests, name), name }))
      .map(({ path }) => ({ path, mtimeMs: statSync(path).mtimeMs }))
      .toSorted((a, b) => b.mtimeMs - a.mtimeMs);
    for (const { path } of files.slice(MANIFESTS_KEPT_MAX - 1)) rmSync(path, { force: true });
  }
}

/** A payload in the hands of its transfer. */
class OpenPayload implements KeptPayload {
  readonly #path: string;
  readonly #entry: Entry;
  readonly #file: FileHandle;

  constructor(of: { readonly path: string; readonly file: FileHandle; readonly entry: Entry }) {
    this.#path = of.path;
    this.#entry = of.entry;
    this.#file = of.file;
  }

  get availableBytes(): number {
    return this.#entry.availableBytes;
  }

  /** Takes over what is there, as far as it is what was signed. */
  async checkWith(check: PayloadCheck): Promise<void> {
    const { size } = await this.#file.stat();
    const there = Math.min(size, this.#entry.lengthBytes);
    const good = await check(there, (offset, length) => readExactly(this.#file, offset, length));
    if (this.#entry.isWhole && good < this.#entry.lengthBytes)
      throw new Error(`${this.#path} is not what was signed any more`);
    if (!this.#entry.isWhole && size > good) await truncate(this.#path + PART_SUFFIX, good);
    this.#grow(good);
    await this.#finishWhenWhole();
  }

  read(offset: number, length: number): Promise<Uint8Array> {
    return readExactly(this.#file, offset, length);
  }

  received(bytes: number): void {
    this.#entry.receivedBytes = Math.max(bytes, this.#entry.availableBytes);
  }

  async append(bytes: Uint8Array): Promise<void> {
    const { lengthBytes, availableBytes } = this.#entry;
    assert(availableBytes + bytes.length <= lengthBytes, "no more than the payload is kept");
    try {
      // Opened for appending: it goes to the end, which `checkWith` has set.
      await this.#file.writeFile(bytes);
      await this.#file.datasync();
      this.#grow(availableBytes + bytes.length);
      await this.#finishWhenWhole();
    } catch (error) {
      throw fileError(error, this.#path);
    }
  }

  async close(): Promise<void> {
    this.#entry.isOpen = false;
    for (const tell of this.#entry.waiting) tell();
    await this.#file.close();
  }

  async #finishWhenWhole(): Promise<void> {
    if (this.#entry.isWhole || this.#entry.availableBytes < this.#entry.lengthBytes) return;
    await rename(this.#path + PART_SUFFIX, this.#path);
    this.#entry.isWhole = true;
    syncDirectory(join(this.#path, ".."));
    for (const tell of this.#entry.waiting) tell();
  }

  #grow(availableBytes: number): void {
    this.#entry.availableBytes = availableBytes;
    this.received(availableBytes);
    for (const tell of this.#entry.waiting) tell();
  }
}

/** None when there is no such folder. */
function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (systemCode(error) === "ENOENT") return [];
    throw error;
  }
}

async function readExactly(file: FileHandle, offset: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await file.read(bytes, done, length - done, offset + done);
    if (bytesRead === 0) throw new Error(`${length} bytes at ${offset} are not there any more`);
    done += bytesRead;
  }
  return bytes;
}
