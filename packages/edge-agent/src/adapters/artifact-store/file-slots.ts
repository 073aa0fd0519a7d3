import { dirname, join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { CodedError, messageOf } from "@flotilla/shared/kernel/errors";
import type { Log } from "@flotilla/shared/kernel/service";
import {
  ensureFolder,
  type FileSystem,
  removeTree,
  unlinkIfThere,
  withFile,
  writeAll,
} from "@flotilla/shared/platform/file-system";
import { fileError, fileNameOf, systemCode } from "@flotilla/shared/platform/files";
import type {
  HalfDisk,
  LocalBlobErrorCode,
  SlotCheck,
  SlotContent,
  SlotDisk,
  SlotErrorCode,
  SlotFile,
  SlotInspection,
  SlotName,
} from "../../app/artifact/ports.ts";
import type { FileBlobs } from "./file-blobs.ts";
import { checkPaths, foldersOf, manifestText, readManifestText, sameFiles } from "./slot-files.ts";

const FOLDER_MODE = 0o755;
const MANIFEST_MODE = 0o444;
/** Paths of files begin with no dot, so nothing of a set can have this name. */
const MANIFEST_NAME = ".files.json";
/** Largest list that is read: 4,096 files with the longest paths. */
const MANIFEST_BYTES_MAX: number = 4 * 1024 * 1024;
const SLOTS: readonly SlotName[] = ["a", "b"];
/** Halves that are being made, or are going. */
const LEFTOVERS: readonly string[] = ["a.new", "b.new", "a.old", "b.old", "current.new"];
/** A whole slot that is going. */
const GONE_PREFIX = ".gone-";

/**
 * `<root>/<instance>/{a,b}/<path>`, hard links to contents, and `<root>/<instance>/current` → `a` or `b`. A half gets its name by a
 * rename when everything in it is durable, and loses it by a rename before anything in it goes: what has the name is whole.
 */
export class FileSlots implements SlotDisk, HalfDisk {
  readonly #root: string;
  readonly #files: FileSystem;
  readonly #blobs: FileBlobs;
  readonly #log: Log;

  /** `root` is the folder `artifacts` of the state directory, which holds the contents too. */
  constructor(
    options: { readonly root: string },
    deps: { readonly files: FileSystem; readonly blobs: FileBlobs; readonly log: Log },
  ) {
    this.#root = join(options.root, "slots");
    this.#files = deps.files;
    this.#blobs = deps.blobs;
    this.#log = deps.log;
  }

  async prepare(slotKey: string, slot: SlotName, files: readonly SlotFile[]): Promise<void> {
    checkPaths(files);
    if ((await this.intact(slotKey, slot, files)).kind === "intact") return;
    if (this.current(slotKey) === slot) throw inUse(slotKey, slot);
    for (const { sha256 } of files)
      if (!this.#blobs.has(sha256) && !(await this.#blobs.verify(sha256)))
        throw absent(slotKey, sha256);
    const folder = this.#folder(slotKey);
    const fresh = join(folder, `${slot}.new`);
    try {
      ensureFolder(this.#files, this.#root, dirname(this.#root), FOLDER_MODE);
      ensureFolder(this.#files, folder, this.#root, FOLDER_MODE);
      await this.#build(fresh, files);
      this.#retire(folder, slot);
      this.#files.rename(fresh, join(folder, slot));
      this.#files.syncFolder(folder);
    } catch (error) {
      this.#quietly(slotKey, () => removeTree(this.#files, fresh));
      throw fileError(error, folder);
    }
    this.#quietly(slotKey, () => removeTree(this.#files, join(folder, `${slot}.old`)));
  }

  switchTo(slotKey: string, slot: SlotName): void {
    if (this.#content(slotKey, slot).kind !== "complete") throw incomplete(slotKey, slot);
    if (this.current(slotKey) === slot) return this.#files.syncFolder(this.#folder(slotKey));
    const folder = this.#folder(slotKey);
    const fresh = join(folder, "current.new");
    try {
      unlinkIfThere(this.#files, fresh);
      this.#files.symlink(slot, fresh);
      this.#files.rename(fresh, join(folder, "current"));
      this.#files.syncFolder(folder);
    } catch (error) {
      throw fileError(error, folder);
    }
  }

  current(slotKey: string): SlotName | undefined {
    const path = this.pathOf(slotKey);
    if (this.#files.lookUp(path)?.kind !== "link") return undefined;
    const target = this.#files.readLink(path);
    return SLOTS.find((slot) => slot === target);
  }

  pathOf(slotKey: string): string {
    return join(this.#folder(slotKey), "current");
  }

  inspect(slotKey: string): SlotInspection {
    return {
      current: this.current(slotKey),
      a: this.#content(slotKey, "a"),
      b: this.#content(slotKey, "b"),
    };
  }

  async intact(slotKey: string, slot: SlotName, files: readonly SlotFile[]): Promise<SlotCheck> {
    const shape = this.#shapeOf(slotKey, slot, files);
    if (shape.kind !== "intact") return shape;
    const folder = join(this.#folder(slotKey), slot);
    for (const { path, sha256 } of files)
      if (!(await this.#isIntact(join(folder, path), sha256))) return { kind: "altered", path };
    return { kind: "intact" };
  }

  isUntouched(slotKey: string, slot: SlotName, files: readonly SlotFile[]): boolean {
    const folder = join(this.#folder(slotKey), slot);
    return (
      this.#shapeOf(slotKey, slot, files).kind === "intact" &&
      files.every(({ path, sha256 }) =>
        this.#blobs.isSealed(sha256, this.#files.lookUp(join(folder, path))),
      )
    );
  }

  sweep(keep: ReadonlySet<string>): void {
    if (this.#files.lookUp(this.#root) === undefined) return;
    const kept = new Set([...keep].map(fileNameOf));
    for (const name of this.#files.list(this.#root))
      this.#quietly(name, () => {
        if (kept.has(name))
          for (const leftover of LEFTOVERS)
            removeTree(this.#files, join(this.#root, name, leftover));
        else if (name.startsWith(GONE_PREFIX)) removeTree(this.#files, join(this.#root, name));
        else this.#removeFolder(name);
      });
  }

  discard(slotKey: string, slot: SlotName): void {
    const folder = this.#folder(slotKey);
    if (this.current(slotKey) === slot) return;
    if (this.#files.lookUp(join(folder, slot)) === undefined) return;
    this.#retire(folder, slot);
    this.#files.syncFolder(folder);
    removeTree(this.#files, join(folder, `${slot}.old`));
  }

  remove(slotKey: string): void {
    this.#removeFolder(fileNameOf(slotKey));
  }

  #folder(slotKey: string): string {
    return join(this.#root, fileNameOf(slotKey));
  }

  /** Makes everything of a half under another name; durable when it resolves. Whoever shares the event loop gets a turn after each folder. */
  async #build(fresh: string, files: readonly SlotFile[]): Promise<void> {
    removeTree(this.#files, fresh);
    this.#files.mkdir(fresh, FOLDER_MODE);
    const folders = foldersOf(files).map((path) => join(fresh, path));
    for (const path of folders) this.#files.mkdir(path, FOLDER_MODE);
    for (const { path, sha256 } of files)
      this.#files.link(this.#blobs.pathOf(sha256), join(fresh, path));
    const text = new TextEncoder().encode(manifestText(files));
    const manifest = {
      path: join(fresh, MANIFEST_NAME),
      use: "create",
      mode: MANIFEST_MODE,
    } as const;
    withFile(this.#files, manifest, (fd) => {
      writeAll(this.#files, fd, text, 0);
      this.#files.fsync(fd);
    });
    for (const path of [...folders.toReversed(), fresh]) {
      this.#files.syncFolder(path);
      await setImmediate();
    }
  }

  /** Takes the name of what is in a half now; its files go when the next one stands. */
  #retire(folder: string, slot: SlotName): void {
    const old = join(folder, `${slot}.old`);
    removeTree(this.#files, old);
    const present = join(folder, slot);
    if (this.#files.lookUp(present) !== undefined) this.#files.rename(present, old);
  }

  #removeFolder(name: string): void {
    const path = join(this.#root, name);
    if (this.#files.lookUp(path) === undefined) return;
    const gone = join(this.#root, `${GONE_PREFIX}${name}`);
    removeTree(this.#files, gone);
    this.#files.rename(path, gone);
    this.#files.syncFolder(this.#root);
    removeTree(this.#files, gone);
  }

  #content(slotKey: string, slot: SlotName): SlotContent {
    const path = join(this.#folder(slotKey), slot, MANIFEST_NAME);
    const found = this.#files.lookUp(path);
    if (found?.kind !== "file" || found.sizeBytes > MANIFEST_BYTES_MAX) return { kind: "absent" };
    const bytes = new Uint8Array(found.sizeBytes);
    withFile(this.#files, { path, use: "read" }, (fd) => this.#files.read(fd, bytes, 0));
    const files = readManifestText(new TextDecoder().decode(bytes));
    return files === undefined ? { kind: "absent" } : { kind: "complete", files };
  }

  /** Whether a half is of these files, and its folders are folders. */
  #shapeOf(slotKey: string, slot: SlotName, files: readonly SlotFile[]): SlotCheck {
    const content = this.#content(slotKey, slot);
    if (content.kind === "absent" || !sameFiles(content.files, files)) return { kind: "absent" };
    const folder = join(this.#folder(slotKey), slot);
    const path = foldersOf(files).find(
      (inner) => this.#files.lookUp(join(folder, inner))?.kind !== "folder",
    );
    return path === undefined ? { kind: "intact" } : { kind: "altered", path };
  }

  /** A file whose stamp is another one than when it was checked is read; so is one whose content left the store. */
  async #isIntact(path: string, sha256: string): Promise<boolean> {
    const found = this.#files.lookUp(path);
    if (this.#blobs.isSealed(sha256, found)) return true;
    if (found?.kind === "file" && (await this.#blobs.adopt(sha256, path))) return true;
    // It may be the same file under two names: then the content is altered with it, and goes.
    await this.#blobs.verify(sha256);
    return false;
  }

  /** What is left over is removed at the next start; that it could not be is no reason to stop. */
  #quietly(slotKey: string, work: () => void): void {
    try {
      work();
    } catch (error) {
      if (systemCode(error) === undefined) throw error;
      this.#log.warn({ slot: slotKey, reason: messageOf(error) }, "files of a slot stay behind");
    }
  }
}

function inUse(slotKey: string, slot: SlotName): CodedError<SlotErrorCode> {
  return new CodedError("slot-in-use", `slot ${slot} of ${slotKey} is the current one`, {
    fields: { slotKey, slot },
    mend: "This is a bug of the agent: it prepares the other slot only.",
  });
}

function incomplete(slotKey: string, slot: SlotName): CodedError<SlotErrorCode> {
  return new CodedError("slot-incomplete", `slot ${slot} of ${slotKey} was never made whole`, {
    fields: { slotKey, slot },
    mend: "It is prepared again by itself.",
  });
}

function absent(slotKey: string, sha256: string): CodedError<LocalBlobErrorCode> {
  return new CodedError("blob-absent", `content ${sha256} for ${slotKey} is not on this node`, {
    fields: { slotKey, sha256 },
    mend: "It is fetched again by itself.",
  });
}
