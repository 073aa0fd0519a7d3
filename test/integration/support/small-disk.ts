import { execFile } from "node:child_process";
import { closeSync, openSync, rmSync, writeSync } from "node:fs";
import { promisify } from "node:util";

/** Puts what a folder holds onto a small file system, mounts that over the folder and becomes the program. */
const ON_SMALL_DISK =
  'mkdir -p "$0.disk" && mount -t tmpfs -o "size=$1,mode=0700" tmpfs "$0.disk" && cp -a "$0/." "$0.disk" && mount --bind "$0.disk" "$0" && shift && exec "$@"';
const CHUNK_BYTES = 4_096;

/**
 * A disk that can be full, for one process and its children: a tmpfs in a mount namespace of its own, which goes with the
 * process. Where namespaces are not allowed, a limit on the size of files takes its place: other errno, same plight.
 */
export class SmallDisk {
  /** Arguments that stand before the program's own. */
  readonly prefix: readonly string[];
  readonly #folder: string;
  readonly #isMounted: boolean;

  private constructor(folder: string, prefix: readonly string[]) {
    this.#folder = folder;
    this.prefix = prefix;
    this.#isMounted = prefix.length > 0;
  }

  /** `folder` is where the program keeps its state; what lies there now is there for it, too. */
  static async over(folder: string, options: { readonly bytes: number }): Promise<SmallDisk> {
    for (const unshare of [
      ["unshare", "--mount", "--propagation", "private"],
      ["unshare", "--user", "--map-root-user", "--mount", "--propagation", "private"],
    ]) {
      const prefix = [...unshare, "sh", "-c", ON_SMALL_DISK, folder, String(options.bytes)];
      if (await works([...prefix, "true"])) return new SmallDisk(folder, prefix);
    }
    return new SmallDisk(folder, []);
  }

  /** Leaves no byte free. */
  async fill(pid: number): Promise<void> {
    if (!this.#isMounted) return limitFiles(pid, "1");
    const file = openSync(this.#filler(pid), "w");
    try {
      const chunk = Buffer.alloc(CHUNK_BYTES, 1);
      for (;;) writeSync(file, chunk);
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "ENOSPC")) throw error;
    } finally {
      closeSync(file);
    }
  }

  /** Gives all of it back. */
  async free(pid: number): Promise<void> {
    if (this.#isMounted) rmSync(this.#filler(pid));
    else await limitFiles(pid, "unlimited");
  }

  #filler(pid: number): string {
    return `/proc/${pid}/root${this.#folder}/filler`;
  }
}

async function works([program = "", ...args]: readonly string[]): Promise<boolean> {
  try {
    await promisify(execFile)(program, [...args]);
    return true;
  } catch {
    return false;
  }
}

/** The soft limit alone: it can be raised again without rights. */
async function limitFiles(pid: number, bytes: string): Promise<void> {
  await promisify(execFile)("prlimit", ["--pid", String(pid), `--fsize=${bytes}:`]);
}
