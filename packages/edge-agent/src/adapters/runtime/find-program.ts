import { accessSync, constants, statSync } from "node:fs";
import { isAbsolute, join, resolve } from "node:path";

/** What `findProgram` can say. */
export type FoundProgram =
  | { readonly ok: true; readonly path: string }
  | {
      readonly ok: false;
      readonly reason: "CommandNotFound" | "NotExecutable";
      readonly message: string;
    };

/** Where programs are looked for when the environment has no PATH: what execvp(3) takes. */
const DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin";

/**
 * The file that execvp(3) would run: a name with a slash is taken from the working folder, any other is looked up on PATH.
 * Done before starting, so that a missing program is a plain answer and not an event later.
 */
export function findProgram(
  name: string,
  options: { readonly workingDir: string; readonly path: string | undefined },
): FoundProgram {
  const candidates = name.includes("/")
    ? [resolve(options.workingDir, name)]
    : (options.path ?? DEFAULT_PATH)
        .split(":")
        .map((folder) =>
          join(isAbsolute(folder) ? folder : resolve(options.workingDir, folder), name),
        );
  const files = name === "" ? [] : candidates.filter(isFile);
  const path = files.find(isExecutable);
  if (path !== undefined) return { ok: true, path };
  const [first] = files;
  if (first !== undefined)
    return {
      ok: false,
      reason: "NotExecutable",
      message: `command: ${first} is not executable; set its x permission or name an interpreter first`,
    };
  return {
    ok: false,
    reason: "CommandNotFound",
    message: `command: "${name}" was not found${name.includes("/") ? "" : " on PATH"}; install it on this node or correct command[0]`,
  };
}

function isFile(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch {
    // Not there, under a file, or behind a folder that this user may not enter: not found.
    return false;
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
