import { readFileIfExists, writeFileDurable } from "@flotilla/shared/platform/files";
import type { DeltaIndexFile } from "../../app/artifact/ports.ts";

/** The index of deltas as a file. */
export function deltaIndexFile(path: string): DeltaIndexFile {
  return {
    read: () => readFileIfExists(path),
    write: (text) => writeFileDurable(path, text, 0o600),
  };
}
