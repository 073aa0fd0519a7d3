import { dirname } from "node:path";
import { CodedError } from "@flotilla/shared/kernel/errors";
import { ARTIFACT_PATH_PATTERN, Sha256Hex } from "@flotilla/shared/model/artifact";
import { type Static, Type } from "typebox";
import { Check } from "typebox/value";
import type { SlotErrorCode, SlotFile } from "../../app/artifact/ports.ts";

const PATH = new RegExp(ARTIFACT_PATH_PATTERN);
/** `<pin.path>/<file.path>`, each of at most 255 letters. */
const PATH_LENGTH_MAX = 511;

/** What a half was made of, written into it before it gets its name. */
const SlotManifest = Type.Object({
  files: Type.Array(
    Type.Object({
      path: Type.String({ pattern: ARTIFACT_PATH_PATTERN, maxLength: PATH_LENGTH_MAX }),
      sha256: Sha256Hex,
      lengthBytes: Type.Integer({ minimum: 0 }),
    }),
  ),
});
type SlotManifest = Static<typeof SlotManifest>;

/** Throws `slot-path-refused` unless every path leads down, stands once, and none is a file and a folder at once. */
export function checkPaths(files: readonly SlotFile[]): void {
  const paths = new Set(files.map((file) => file.path));
  const folders = new Set(foldersOf(files));
  for (const { path } of files) {
    if (!PATH.test(path) || path.length > PATH_LENGTH_MAX)
      throw refused(path, "leads elsewhere than down, or has letters that a path may not have");
    if (folders.has(path)) throw refused(path, "is a file and a folder at once");
  }
  if (paths.size !== files.length) {
    const twice = files.find((file, i) => files.findIndex((f) => f.path === file.path) !== i);
    throw refused(twice?.path ?? "", "stands there twice");
  }
}

/** Folders of a set, each after the one that it lies in. */
export function foldersOf(files: readonly SlotFile[]): readonly string[] {
  const folders = new Set<string>();
  for (const { path } of files)
    for (let up = dirname(path); up !== "." && up !== "/"; up = dirname(up)) folders.add(up);
  return [...folders].toSorted((a, b) => a.length - b.length || (a < b ? -1 : 1));
}

export function sameFiles(a: readonly SlotFile[], b: readonly SlotFile[]): boolean {
  const known = new Map(a.map((file) => [file.path, file]));
  return (
    a.length === b.length &&
    b.every((file) => {
      const other = known.get(file.path);
      return other?.sha256 === file.sha256 && other.lengthBytes === file.lengthBytes;
    })
  );
}

export function manifestText(files: readonly SlotFile[]): string {
  const manifest: SlotManifest = {
    files: files.map(({ path, sha256, lengthBytes }) => ({ path, sha256, lengthBytes })),
  };
  return `${JSON.stringify(manifest)}\n`;
}

/** Undefined when it is none that this program wrote. */
export function readManifestText(text: string): readonly SlotFile[] | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return Check(SlotManifest, value) ? value.files : undefined;
  } catch {
    return undefined;
  }
}

function refused(path: string, why: string): CodedError<SlotErrorCode> {
  const shown = path.slice(0, 200);
  return new CodedError("slot-path-refused", `file ${JSON.stringify(shown)} of a set ${why}`, {
    fields: { path: shown },
    mend: "Name the files of the release, and the paths of its pins, so that each leads to a place of its own.",
  });
}
