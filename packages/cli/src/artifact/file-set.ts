import { lstatSync, readdirSync, type Stats } from "node:fs";
import { basename, join } from "node:path";
import { messageOf } from "@flotilla/shared/kernel/errors";
import { ARTIFACT_PATH_PATTERN, RELEASE_FILES_MAX } from "@flotilla/shared/model/artifact";
import { systemCode } from "@flotilla/shared/platform/files";
import { TARGET_PATH_LENGTH_MAX } from "@flotilla/shared/trust/limits";
import { CliError } from "../domain/errors.ts";

/** Largest file of a release: 64 GiB. */
export const RELEASE_FILE_BYTES_MAX: number = 2 ** 36;
const PATH = new RegExp(ARTIFACT_PATH_PATTERN);

/** A file that is to be released. */
export interface SourceFile {
  /** Where it lies on this machine. */
  readonly source: string;
  /** Where it is to lie within the release. */
  readonly path: string;
  readonly length: number;
}

/**
 * The files of these arguments: a file under its own name, a folder's under their paths in it. Sorted by path. Refuses what a
 * node would have to refuse, or what another machine would read differently: links, devices, names outside the grammar, two
 * files of one path. Throws CliError.
 */
export function readFileSet(args: readonly string[]): readonly SourceFile[] {
  const files: SourceFile[] = [];
  for (const arg of args) {
    const stats = look(arg);
    if (stats.isDirectory()) addFolder(files, arg, "");
    else add(files, { source: arg, path: basename(arg), stats });
  }
  if (files.length === 0)
    throw new CliError("usage", `${args.join(" ")}: there is no file`, {
      mend: "flotilla artifact push NAME --version V FILE|FOLDER…",
    });
  const sorted = files.toSorted((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
  refuseClashes(sorted);
  return sorted;
}

function addFolder(files: SourceFile[], folder: string, under: string): void {
  for (const name of namesIn(folder)) {
    const source = join(folder, name);
    const path = under === "" ? name : `${under}/${name}`;
    const stats = look(source);
    if (stats.isDirectory()) {
      requireName(source, path);
      addFolder(files, source, path);
    } else add(files, { source, path, stats });
  }
}

function add(
  files: SourceFile[],
  {
    source,
    path,
    stats,
  }: { readonly source: string; readonly path: string; readonly stats: Stats },
): void {
  if (stats.isSymbolicLink())
    throw refuse(source, "is a symbolic link", "Release the file that it leads to.");
  if (!stats.isFile())
    throw refuse(source, "is no regular file", "Take it out of what is released.");
  requireName(source, path);
  if (stats.size > RELEASE_FILE_BYTES_MAX)
    throw refuse(
      source,
      `has ${stats.size} bytes, at most ${RELEASE_FILE_BYTES_MAX}`,
      "Split it into several files.",
    );
  if (files.length === RELEASE_FILES_MAX)
    throw new CliError("usage", `more than ${RELEASE_FILES_MAX} files in one release`, {
      mend: "Pack them into a tar, or make several artifacts of them.",
    });
  files.push({ source, path, length: stats.size });
}

function requireName(source: string, path: string): void {
  if (!PATH.test(path))
    throw refuse(
      source,
      "has a name that no release may have",
      "Rename it: letters, digits and . _ + -, and no dot, + or - at the beginning; what is hidden is not released.",
    );
  if (path.length > TARGET_PATH_LENGTH_MAX)
    throw refuse(
      source,
      `has a path of ${path.length} characters, at most ${TARGET_PATH_LENGTH_MAX}`,
      "Shorten it.",
    );
}

/** Two files under one path, or a path that another one would need as a folder. */
function refuseClashes(files: readonly SourceFile[]): void {
  const sources = new Map<string, string>();
  for (const { path, source } of files) {
    const other = sources.get(path);
    if (other !== undefined)
      throw refuse(source, `has the path ${path} like ${other}`, "Name one of them otherwise.");
    sources.set(path, source);
  }
  for (const { path, source } of files)
    for (let at = path.indexOf("/"); at > 0; at = path.indexOf("/", at + 1)) {
      const other = sources.get(path.slice(0, at));
      if (other !== undefined)
        throw refuse(source, `would lie within ${other}, a file`, "Name one of them otherwise.");
    }
}

function look(path: string): Stats {
  try {
    return lstatSync(path);
  } catch (error) {
    throw unreadable(path, error);
  }
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    throw unreadable(folder, error);
  }
}

function unreadable(path: string, error: unknown): CliError {
  return new CliError(
    systemCode(error) === "ENOENT" ? "not-found" : "usage",
    `${path} cannot be read`,
    { fields: { why: messageOf(error) }, mend: "Name files and folders that you may read." },
  );
}

function refuse(path: string, why: string, mend: string): CliError {
  return new CliError("usage", `${path} ${why}`, { mend });
}
