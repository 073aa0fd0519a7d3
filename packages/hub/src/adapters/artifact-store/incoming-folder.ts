import type { Dirent } from "node:fs";
import { constants } from "node:fs";
import { lstat, mkdir, open, readdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "@flotilla/shared/kernel/errors";
import { RELEASE_FILES_MAX } from "@flotilla/shared/model/artifact";
import type { ArrivedRelease, IncomingFolder } from "../../app/artifact/ports.ts";
import { RELEASE_FILE, RELEASE_TEXT_LENGTH_MAX } from "../../domain/artifact/incoming.ts";
import { FOLDER_MODE } from "./layout.ts";

/** Releases that have been settled lie here; nothing in them is looked at again. */
const DONE = "done";
const FAILED = "failed";
const REASON_FILE = "reason.txt";
/** More folders below each other than this is a fault. */
const DEPTH_MAX = 16;
/** Most releases of one look; the others come with the next. */
const RELEASES_MAX = 100;

/** What was found below a release's folder. */
interface Found {
  readonly files: string[];
  readonly stamps: string[];
  fault: string | undefined;
}

/** A watched folder on this machine, or on a file system that is mounted there. */
export class WatchedFolder implements IncomingFolder {
  readonly #path: string;

  constructor(options: { readonly path: string }) {
    this.#path = options.path;
  }

  async look(): Promise<readonly ArrivedRelease[]> {
    await mkdir(this.#path, { recursive: true, mode: FOLDER_MODE });
    const arrived: ArrivedRelease[] = [];
    for (const name of await foldersIn(this.#path, [DONE, FAILED]))
      for (const version of await foldersIn(join(this.#path, name), []))
        if (arrived.length < RELEASES_MAX) arrived.push(await this.#lookAt(name, version));
    return arrived;
  }

  pathOf({ name, version }: ArrivedRelease, file: string): string {
    return join(this.#path, name, version, file);
  }

  async settle(
    { name, version }: ArrivedRelease,
    outcome: Parameters<IncomingFolder["settle"]>[1],
  ): Promise<void> {
    const parent = join(this.#path, outcome.kind === "done" ? DONE : FAILED, name);
    await mkdir(parent, { recursive: true, mode: FOLDER_MODE });
    const to = join(parent, version);
    // The newest try is the one to look at.
    await rm(to, { recursive: true, force: true });
    await rename(join(this.#path, name, version), to);
    if (outcome.kind === "failed")
      await writeFile(join(to, REASON_FILE), `${outcome.reason}\n`, { flag: "wx" });
  }

  async #lookAt(name: string, version: string): Promise<ArrivedRelease> {
    const folder = join(this.#path, name, version);
    const found: Found = { files: [], stamps: [], fault: undefined };
    await walk(folder, "", found);
    const hasText = found.files.includes(RELEASE_FILE);
    const text = hasText ? await textOf(join(folder, RELEASE_FILE), found) : undefined;
    return {
      name,
      version,
      files: found.files.filter((file) => file !== RELEASE_FILE).toSorted(),
      releaseText: text,
      fault: found.fault,
      stamp: found.stamps.toSorted().join("\n"),
    };
  }
}

async function walk(folder: string, below: string, found: Found): Promise<void> {
  const path = join(folder, below);
  found.stamps.push(await stampOf(path, below));
  if (below.split("/").length > DEPTH_MAX) found.fault ??= `${below} lies too deep`;
  for (const entry of await readdir(path, { withFileTypes: true })) {
    if (found.fault !== undefined) return;
    const name = below === "" ? entry.name : `${below}/${entry.name}`;
    if (entry.isDirectory()) await walk(folder, name, found);
    else if (entry.isFile()) await addFile(folder, name, found);
    else
      found.fault ??= `${name} is ${entry.isSymbolicLink() ? "a link" : "neither file nor folder"}`;
  }
}

async function addFile(folder: string, name: string, found: Found): Promise<void> {
  found.files.push(name);
  found.stamps.push(await stampOf(join(folder, name), name));
  if (found.files.length > RELEASE_FILES_MAX + 1)
    found.fault ??= `there are more than ${RELEASE_FILES_MAX} files`;
}

async function stampOf(path: string, name: string): Promise<string> {
  const stat = await lstat(path, { bigint: true });
  return `${name} ${stat.ino} ${stat.size} ${stat.mtimeNs} ${stat.ctimeNs}`;
}

async function textOf(path: string, found: Found): Promise<string | undefined> {
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      // One byte more than is allowed: what has it is too long.
      const bytes = Buffer.alloc(RELEASE_TEXT_LENGTH_MAX + 1);
      const { bytesRead } = await file.read(bytes, 0, bytes.length, 0);
      return bytes.toString("utf8", 0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (error) {
    found.fault ??= messageOf(error);
    return undefined;
  }
}

/** Sorted; what is no folder, or begins with a dot, is left alone. */
async function foldersIn(path: string, except: readonly string[]): Promise<readonly string[]> {
  const entries: readonly Dirent[] = await readdir(path, { withFileTypes: true });
  return entries
    .filter((e) => e.isDirectory() && !e.name.startsWith(".") && !except.includes(e.name))
    .map((e) => e.name)
    .toSorted();
}
