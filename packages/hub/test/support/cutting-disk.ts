import { type Disk, type DiskFile, nodeDisk } from "../../src/adapters/artifact-store/disk.ts";

/** The hub was killed: nothing that comes after it happens. */
export class Killed extends Error {}

/**
 * A disk on which the hub is killed at one operation: `before` it, `after` it (before anybody learnt of it), or `half` way through
 * a write. Counts operations and keeps their names.
 */
export class CuttingDisk implements Disk {
  readonly operations: string[] = [];
  readonly #at: number;
  readonly #when: "before" | "half" | "after";
  #isDead = false;

  constructor(at: number = Number.POSITIVE_INFINITY, when: "before" | "half" | "after" = "before") {
    this.#at = at;
    this.#when = when;
  }

  async open(...[path, use, mode]: Parameters<Disk["open"]>): Promise<DiskFile> {
    let opened: DiskFile | undefined;
    const file = await this.#step(`open ${use}`, async () => {
      opened = await nodeDisk.open(path, use, mode);
      return opened;
    }).catch(async (error: unknown) => {
      await opened?.close();
      throw error;
    });
    return {
      write: (bytes, position) =>
        this.#step(
          "write",
          () => file.write(bytes, position),
          () => file.write(bytes.subarray(0, bytes.length / 2), position),
        ),
      sync: () => this.#step("sync", () => file.sync()),
      chmod: (m) => this.#step("chmod", () => file.chmod(m)),
      // A dead process closes its files too.
      close: () => file.close(),
    };
  }

  rename: Disk["rename"] = (from, to) => this.#step("rename", () => nodeDisk.rename(from, to));
  unlink: Disk["unlink"] = (path) => this.#step("unlink", () => nodeDisk.unlink(path));
  makeFolder: Disk["makeFolder"] = (path, mode) =>
    this.#step("makeFolder", () => nodeDisk.makeFolder(path, mode));
  syncFolder: Disk["syncFolder"] = (path) =>
    this.#step("syncFolder", () => nodeDisk.syncFolder(path));
  setTime: Disk["setTime"] = (path, ms) => this.#step("setTime", () => nodeDisk.setTime(path, ms));

  async #step<T>(
    name: string,
    work: () => Promise<T>,
    halfOfIt: () => Promise<unknown> = () => Promise.resolve(),
  ): Promise<T> {
    if (this.#isDead) throw new Killed();
    this.operations.push(name);
    if (this.operations.length < this.#at) return work();
    this.#isDead = true;
    if (this.#when === "half") await halfOfIt();
    if (this.#when === "after") await work();
    throw new Killed();
  }
}
