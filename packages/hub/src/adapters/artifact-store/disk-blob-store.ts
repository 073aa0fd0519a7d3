import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { must } from "@flotilla/shared/kernel/assert";
import type { Clock } from "@flotilla/shared/kernel/clock";
import type { BlobStore, StoredBlob } from "../../app/artifact/ports.ts";
import { SHA256_PATTERN } from "../../domain/artifact/served-path.ts";
import { type Disk, unlinkIfThere } from "./disk.ts";
import { type ArtifactLayout, blobFolder, blobPath } from "./layout.ts";
import { Space } from "./space.ts";

/**
 * What contents there are, in memory. Files get here by another thread, which tells of each; everything under a content's name
 * is whole, so that a look at the names at the start is enough.
 */
export class DiskBlobStore implements BlobStore {
  readonly space: Space;
  readonly #layout: ArtifactLayout;
  readonly #deps: { readonly disk: Disk; readonly clock: Clock };
  readonly #blobs = new Map<string, StoredBlob>();
  readonly #pins = new Map<string, number>();
  readonly #removing = new Map<string, Promise<boolean>>();
  readonly #listeners = new Set<(sha256: string) => void>();

  constructor(
    options: { readonly layout: ArtifactLayout; readonly quotaBytes: number },
    deps: { readonly disk: Disk; readonly clock: Clock },
  ) {
    this.#layout = options.layout;
    this.#deps = deps;
    this.space = new Space(options);
    this.rescan();
  }

  /** Takes in what is on the disk and not known: at the start, and after whoever stores contents may have died before it told. */
  rescan(): void {
    for (const found of scan(this.#layout)) {
      const isKnown = this.#blobs.has(found.sha256) || this.#removing.has(found.sha256);
      if (!isKnown) this.#add(found);
    }
  }

  sizeOf(sha256: string): number | undefined {
    return this.#blobs.get(sha256)?.bytes;
  }

  pathOf(sha256: string): string {
    must(this.#blobs.get(sha256), `content ${sha256} is in the store`);
    return blobPath(this.#layout, sha256);
  }

  pin(sha256s: readonly string[]): () => void {
    const held = new Set(sha256s);
    for (const sha256 of held) this.#pins.set(sha256, (this.#pins.get(sha256) ?? 0) + 1);
    return () => {
      for (const sha256 of held) {
        const left = (this.#pins.get(sha256) ?? 1) - 1;
        if (left > 0) this.#pins.set(sha256, left);
        else this.#pins.delete(sha256);
      }
      held.clear();
    };
  }

  list(): readonly StoredBlob[] {
    return [...this.#blobs.values()];
  }

  remove(sha256: string, unlessSinceWallMs = Number.POSITIVE_INFINITY): Promise<boolean> {
    const blob = this.#blobs.get(sha256);
    if (blob === undefined) return this.#removing.get(sha256) ?? Promise.resolve(true);
    if (this.#pins.has(sha256) || blob.storedWallMs > unlessSinceWallMs)
      return Promise.resolve(false);
    this.#blobs.delete(sha256);
    this.space.subtract(blob.bytes);
    const removing = this.#unlink(blob).finally(() => this.#removing.delete(sha256));
    this.#removing.set(sha256, removing);
    return removing;
  }

  get usedBytes(): number {
    return this.space.usedBytes;
  }

  get quotaBytes(): number {
    return this.space.quotaBytes;
  }

  onStored(listener: (sha256: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Somebody wants to upload it: its bytes when that is not needed, and then it is as new to garbage collection. */
  async claim(sha256: string): Promise<number | undefined> {
    // What is being unlinked must be gone before it is written again under the same name.
    await this.#removing.get(sha256)?.catch(() => undefined);
    const blob = this.#blobs.get(sha256);
    if (blob === undefined) return undefined;
    const storedWallMs = this.#deps.clock.wallMs();
    this.#blobs.set(sha256, { ...blob, storedWallMs });
    // Only a restart forgets it when this fails.
    await this.#deps.disk
      .setTime(blobPath(this.#layout, sha256), storedWallMs)
      .catch(() => undefined);
    return blob.bytes;
  }

  /** It is on the disk under its name. */
  stored(sha256: string, bytes: number): void {
    this.space.release(sha256);
    if (this.#blobs.has(sha256)) return;
    this.#add({ sha256, bytes, storedWallMs: this.#deps.clock.wallMs() });
  }

  #add(blob: StoredBlob): void {
    this.#blobs.set(blob.sha256, blob);
    this.space.add(blob.bytes);
    for (const listener of this.#listeners) listener(blob.sha256);
  }

  async #unlink(blob: StoredBlob): Promise<boolean> {
    const { disk } = this.#deps;
    try {
      await unlinkIfThere(disk, blobPath(this.#layout, blob.sha256));
      await disk.syncFolder(blobFolder(this.#layout, blob.sha256));
      return true;
    } catch (error) {
      // It is still there, so it still counts.
      this.#add(blob);
      throw error;
    }
  }
}

function* scan(layout: ArtifactLayout): Generator<StoredBlob> {
  for (const folder of readdirSync(layout.blobs)) {
    if (!/^[0-9a-f]{2}$/.test(folder)) continue;
    for (const sha256 of readdirSync(join(layout.blobs, folder))) {
      if (!SHA256_PATTERN.test(sha256) || !sha256.startsWith(folder)) continue;
      const stat = lstatSync(blobPath(layout, sha256), { throwIfNoEntry: false });
      if (stat?.isFile() === true) yield { sha256, bytes: stat.size, storedWallMs: stat.mtimeMs };
    }
  }
}
