import { createHash } from "node:crypto";
import { lstatSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { CodedError } from "@flotilla/shared/kernel/errors";
import { fileError, systemCode } from "@flotilla/shared/platform/files";
import type { ArtifactStoreErrorCode, PayloadStore } from "../../app/artifact/ports.ts";
import { SHA256_PATTERN } from "../../domain/artifact/served-path.ts";
import { type Disk, replaceFile, unlinkIfThere, withDiskFile } from "./disk.ts";
import {
  type ArtifactLayout,
  CONTENT_MODE,
  manifestPath,
  PART_MODE,
  payloadPath,
} from "./layout.ts";

interface Stored {
  readonly payloadBytes: number;
  readonly manifestBytes: number;
}

/**
 * Deltas and full files as nodes fetch them. A payload gets its name before its manifest does, so a manifest means a whole payload.
 * What a crash left behind goes at the next start.
 */
export class DiskPayloadStore implements PayloadStore {
  readonly workDir: string;
  readonly quotaBytes: number;
  readonly #layout: ArtifactLayout;
  readonly #disk: Disk;
  /** Those used longest ago first. */
  readonly #stored = new Map<string, Stored>();
  readonly #removing = new Map<string, Promise<void>>();
  #usedBytes = 0;
  /** Being taken over: counted already, so that two of them do not take the same room. */
  #comingBytes = 0;

  constructor(
    options: { readonly layout: ArtifactLayout; readonly quotaBytes: number },
    deps: { readonly disk: Disk },
  ) {
    this.#layout = options.layout;
    this.#disk = deps.disk;
    this.quotaBytes = options.quotaBytes;
    this.workDir = options.layout.work;
    emptyFolder(this.workDir);
    this.#scan();
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  manifest(manifestSha256: string): Uint8Array | undefined {
    if (this.#use(manifestSha256) === undefined) return undefined;
    try {
      return readFileSync(manifestPath(this.#layout, manifestSha256));
    } catch (error) {
      if (systemCode(error) === "ENOENT") return undefined;
      throw error;
    }
  }

  payloadBytes(manifestSha256: string): number | undefined {
    return this.#use(manifestSha256)?.payloadBytes;
  }

  async adopt(manifest: Uint8Array, payload: string): Promise<string> {
    const sha256 = createHash("sha256").update(manifest).digest("hex");
    let bytes = 0;
    try {
      await this.#removing.get(sha256);
      const payloadBytes = (await stat(payload)).size;
      bytes = payloadBytes + manifest.length;
      this.#comingBytes += bytes;
      await this.#makeRoom(bytes);
      await this.#write(sha256, { manifest, payload });
      this.#forget(sha256);
      this.#remember(sha256, { payloadBytes, manifestBytes: manifest.length });
      return sha256;
    } catch (error) {
      await unlinkIfThere(this.#disk, payload).catch(() => undefined);
      throw fileError(error, this.#layout.payloads);
    } finally {
      this.#comingBytes -= bytes;
    }
  }

  async remove(manifestSha256: string): Promise<void> {
    this.#forget(manifestSha256);
    const removing = this.#unlink(manifestSha256).finally(() =>
      this.#removing.delete(manifestSha256),
    );
    this.#removing.set(manifestSha256, removing);
    await removing;
  }

  list(): readonly { readonly manifestSha256: string; readonly bytes: number }[] {
    return [...this.#stored].map(([manifestSha256, s]) => ({
      manifestSha256,
      bytes: s.payloadBytes + s.manifestBytes,
    }));
  }

  async #makeRoom(bytes: number): Promise<void> {
    if (bytes > this.quotaBytes) throw cacheFull(bytes, this.quotaBytes);
    for (const sha256 of this.#stored.keys()) {
      if (this.#usedBytes + this.#comingBytes <= this.quotaBytes) return;
      await this.remove(sha256);
    }
  }

  async #write(
    sha256: string,
    { manifest, payload }: { readonly manifest: Uint8Array; readonly payload: string },
  ): Promise<void> {
    const disk = this.#disk;
    await withDiskFile(disk, { path: payload, use: "seal", mode: PART_MODE }, async (file) => {
      await file.chmod(CONTENT_MODE);
      await file.sync();
    });
    await disk.rename(payload, payloadPath(this.#layout, sha256));
    // The payload's name first: what has a manifest is whole.
    await disk.syncFolder(this.#layout.payloads);
    await replaceFile(disk, manifestPath(this.#layout, sha256), {
      bytes: manifest,
      mode: CONTENT_MODE,
    });
    await disk.syncFolder(this.#layout.payloads);
  }

  async #unlink(sha256: string): Promise<void> {
    await unlinkIfThere(this.#disk, manifestPath(this.#layout, sha256));
    await unlinkIfThere(this.#disk, payloadPath(this.#layout, sha256));
  }

  /** Moves it to the end of those that may go. */
  #use(sha256: string): Stored | undefined {
    const stored = this.#stored.get(sha256);
    if (stored === undefined) return undefined;
    this.#stored.delete(sha256);
    this.#stored.set(sha256, stored);
    return stored;
  }

  #remember(sha256: string, stored: Stored): void {
    this.#stored.set(sha256, stored);
    this.#usedBytes += stored.payloadBytes + stored.manifestBytes;
  }

  #forget(sha256: string): void {
    const stored = this.#stored.get(sha256);
    if (stored === undefined) return;
    this.#stored.delete(sha256);
    this.#usedBytes -= stored.payloadBytes + stored.manifestBytes;
  }

  /** Oldest first; a payload without a manifest, or the other way round, is what a crash left. */
  #scan(): void {
    const found: (Stored & { readonly sha256: string; readonly changedMs: number })[] = [];
    for (const name of readdirSync(this.#layout.payloads)) {
      const sha256 = name.replace(/\.manifest$/, "");
      const path = join(this.#layout.payloads, name);
      const isPair = SHA256_PATTERN.test(sha256) && this.#hasBoth(sha256);
      if (!isPair) rmSync(path, { recursive: true, force: true });
      else if (name === sha256) found.push({ sha256, ...this.#sizes(sha256) });
    }
    for (const { sha256, ...stored } of found.toSorted((a, b) => a.changedMs - b.changedMs))
      this.#remember(sha256, stored);
  }

  #hasBoth(sha256: string): boolean {
    return [payloadPath(this.#layout, sha256), manifestPath(this.#layout, sha256)].every(
      (path) => lstatSync(path, { throwIfNoEntry: false })?.isFile() === true,
    );
  }

  #sizes(sha256: string): Stored & { readonly changedMs: number } {
    const payload = lstatSync(payloadPath(this.#layout, sha256));
    const manifest = lstatSync(manifestPath(this.#layout, sha256));
    return {
      payloadBytes: payload.size,
      manifestBytes: manifest.size,
      changedMs: manifest.mtimeMs,
    };
  }
}

function cacheFull(bytes: number, quotaBytes: number): CodedError<ArtifactStoreErrorCode> {
  return new CodedError(
    "artifact-cache-full",
    `a payload of ${bytes} bytes is larger than the cache of ${quotaBytes} bytes`,
    { fields: { bytes, quotaBytes }, mend: "Give the hub a larger artifactCacheBytes." },
  );
}

function emptyFolder(path: string): void {
  for (const name of readdirSync(path)) rmSync(join(path, name), { recursive: true, force: true });
}
