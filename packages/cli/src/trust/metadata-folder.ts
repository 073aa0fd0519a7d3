import { createHash } from "node:crypto";
import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
} from "node:fs";
import { join } from "node:path";
import { messageOf } from "@flotilla/shared/kernel/errors";
import { ensureDirectory, systemCode, writeFileDurable } from "@flotilla/shared/platform/files";
import { TARGETS_BYTES_MAX } from "@flotilla/shared/trust/limits";
import { fileNameOf } from "@flotilla/shared/trust/publish";
import { CliError } from "../domain/errors.ts";

const VERSIONED = /^([1-9]\d{0,9})\.([a-z][a-z0-9-]{0,62})\.json$/;
const HASH_CHUNK_BYTES = 1024 * 1024;

/**
 * A folder of metadata, as a web server would serve it: `N.role.json` and `timestamp.json`. What still lacks signatures lies in
 * `pending/` under it and is never served. Published files are never altered.
 */
export class MetadataFolder {
  readonly path: string;

  constructor(options: { readonly path: string }) {
    this.path = options.path;
  }

  /** Version of the newest file of a role; undefined when there is none. */
  newestVersion(role: string): number | undefined {
    const versions = this.#names().flatMap((name) => {
      const [, version = "", of = ""] = VERSIONED.exec(name) ?? [];
      return of === role ? [Number(version)] : [];
    });
    return versions.length === 0 ? undefined : Math.max(...versions);
  }

  /** Roles that have a file here. */
  roles(): readonly string[] {
    const found = this.#names().map((name) => VERSIONED.exec(name)?.[2] ?? "");
    return [...new Set(found.filter((role) => role !== ""))];
  }

  /** Everything that the hub is sent: all roots, and the newest of each targets role. */
  published(): ReadonlyMap<string, Uint8Array> {
    const newest = (role: string): number => this.newestVersion(role) ?? 0;
    const names = this.#names().filter((name) => {
      const [, version = "", role = ""] = VERSIONED.exec(name) ?? [];
      if (role === "" || role === "snapshot") return false;
      return role === "root" || Number(version) === newest(role);
    });
    return new Map(names.map((name) => [name, this.#readFile(join(this.path, name))]));
  }

  /** A published file. Throws CliError `not-found` naming it. */
  read(role: string, version: number): Uint8Array {
    return this.#readFile(join(this.path, fileNameOf(role, version)));
  }

  /** The file of this name; "absent" when there is none. */
  offer(name: string): Uint8Array | "absent" {
    const path = join(this.path, name);
    return existsSync(path) ? this.#readFile(path) : "absent";
  }

  /** Writes a file once; the timestamp is replaced. A pending one of the role goes. */
  publish(role: string, version: number, bytes: Uint8Array): string {
    const name = fileNameOf(role, version);
    const path = join(this.path, name);
    if (role !== "timestamp" && existsSync(path))
      throw new CliError("conflict", `${path} is published already`, {
        mend: "Look at it with flotilla trust verify; a published version is never replaced.",
      });
    ensureDirectory(this.path, 0o755);
    writeFileDurable(path, bytes, 0o644);
    rmSync(this.#pendingPath(role), { force: true });
    return path;
  }

  /** What waits for signatures. */
  readPending(role: string): Uint8Array | undefined {
    const path = this.#pendingPath(role);
    return existsSync(path) ? this.#readFile(path) : undefined;
  }

  /** Stores what waits for signatures. */
  writePending(role: string, bytes: Uint8Array): string {
    const path = this.#pendingPath(role);
    ensureDirectory(join(this.path, "pending"), 0o755);
    writeFileDurable(path, bytes, 0o644);
    return path;
  }

  /** Path of what waits for signatures. */
  #pendingPath(role: string): string {
    return join(this.path, "pending", `${role}.json`);
  }

  #names(): readonly string[] {
    try {
      return readdirSync(this.path);
    } catch (error) {
      if (systemCode(error) === "ENOENT") return [];
      throw new CliError("usage", `${this.path} cannot be read as a folder`, {
        fields: { why: messageOf(error) },
        mend: "Name the folder of metadata.",
      });
    }
  }

  #readFile(path: string): Uint8Array {
    try {
      if (statSync(path).size > TARGETS_BYTES_MAX)
        throw new CliError("invalid", `${path} is larger than ${TARGETS_BYTES_MAX} bytes`, {
          mend: "Restore the file; no metadata is that large.",
        });
      return new Uint8Array(readFileSync(path));
    } catch (error) {
      if (error instanceof CliError) throw error;
      throw new CliError(
        systemCode(error) === "ENOENT" ? "not-found" : "usage",
        `${path} cannot be read`,
        {
          fields: { why: messageOf(error) },
          mend: "Name a folder made by flotilla trust init, or restore the file.",
        },
      );
    }
  }
}

/** Length and SHA-256 of a file of any size. */
export function measureFile(path: string): { readonly length: number; readonly sha256: string } {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (error) {
    throw new CliError(
      systemCode(error) === "ENOENT" ? "not-found" : "usage",
      `${path} cannot be read`,
      {
        fields: { why: messageOf(error) },
        mend: "Name the file to release: --target FILE",
      },
    );
  }
  try {
    const hash = createHash("sha256");
    const chunk = Buffer.alloc(HASH_CHUNK_BYTES);
    let length = 0;
    for (let count = readSync(fd, chunk); count > 0; count = readSync(fd, chunk)) {
      hash.update(chunk.subarray(0, count));
      length += count;
    }
    return { length, sha256: hash.digest("hex") };
  } finally {
    closeSync(fd);
  }
}
