import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { assert } from "@flotilla/shared/kernel/assert";
import { fileError } from "@flotilla/shared/platform/files";
import type { MetadataStore } from "../../app/artifact/ports.ts";
import { METADATA_FILE_PATTERN } from "../../domain/artifact/served-path.ts";
import { type Disk, replaceFile } from "./disk.ts";
import type { ArtifactLayout } from "./layout.ts";

const METADATA_MODE = 0o640;
/** Names all others: whoever reads it must find them. */
const LAST_FILE = "timestamp.json";

/** Trust metadata in a folder of its own, and in memory. */
export class DiskMetadataStore implements MetadataStore {
  readonly #folder: string;
  readonly #disk: Disk;
  readonly #files = new Map<string, Uint8Array>();

  constructor(options: { readonly layout: ArtifactLayout }, deps: { readonly disk: Disk }) {
    this.#folder = options.layout.metadata;
    this.#disk = deps.disk;
    for (const name of readdirSync(this.#folder)) {
      const path = join(this.#folder, name);
      if (METADATA_FILE_PATTERN.test(name)) this.#files.set(name, readFileSync(path));
      else if (name.endsWith(".tmp")) rmSync(path, { force: true });
    }
  }

  read(file: string): Uint8Array | undefined {
    return this.#files.get(file);
  }

  list(): readonly string[] {
    return [...this.#files.keys()].toSorted();
  }

  async publish(files: ReadonlyMap<string, Uint8Array>): Promise<void> {
    try {
      const last = files.get(LAST_FILE);
      const others = [...files].filter(([name]) => name !== LAST_FILE);
      for (const [name, bytes] of others) await this.#write(name, bytes);
      await this.#disk.syncFolder(this.#folder);
      if (last === undefined) return;
      await this.#write(LAST_FILE, last);
      await this.#disk.syncFolder(this.#folder);
    } catch (error) {
      throw fileError(error, this.#folder);
    }
  }

  async #write(name: string, bytes: Uint8Array): Promise<void> {
    assert(METADATA_FILE_PATTERN.test(name), `${name} is a name of trust metadata`);
    await replaceFile(this.#disk, join(this.#folder, name), { bytes, mode: METADATA_MODE });
    this.#files.set(name, bytes);
  }
}
