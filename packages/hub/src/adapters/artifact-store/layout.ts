import { join } from "node:path";
import { ensureDirectory } from "@flotilla/shared/platform/files";

/** Contents cannot be changed, by us neither. */
export const CONTENT_MODE = 0o440;
export const FOLDER_MODE = 0o700;
/** What is still being written. */
export const PART_MODE = 0o600;

/** Where everything of the content store lies, under `artifacts` of the data directory. One file system. */
export interface ArtifactLayout {
  readonly root: string;
  /** `ab/<sha256>`: whole and verified, for a content gets this name last. */
  readonly blobs: string;
  /** `<manifest's sha256>` and, when that is whole, `<manifest's sha256>.manifest`. */
  readonly payloads: string;
  readonly metadata: string;
  /** `<sha256>.part` with `<sha256>.json`. */
  readonly uploads: string;
  /** Payloads that are being made. */
  readonly work: string;
}

export function artifactLayout(dataDir: string): ArtifactLayout {
  const root = join(dataDir, "artifacts");
  const folder = (name: string): string => join(root, name);
  return {
    root,
    blobs: folder("blobs"),
    payloads: folder("payloads"),
    metadata: folder("metadata"),
    uploads: folder("uploads"),
    work: folder("work"),
  };
}

/** Makes what is missing. Throws CodedError `disk-full` or `not-writable`. */
export function makeFolders(layout: ArtifactLayout): void {
  for (const folder of Object.values(layout)) ensureDirectory(folder, FOLDER_MODE);
}

/** Folder of a content: a folder for each first byte, so that none grows large. */
export function blobFolder(layout: Pick<ArtifactLayout, "blobs">, sha256: string): string {
  return join(layout.blobs, sha256.slice(0, 2));
}

export function blobPath(layout: Pick<ArtifactLayout, "blobs">, sha256: string): string {
  return join(blobFolder(layout, sha256), sha256);
}

export function payloadPath(layout: Pick<ArtifactLayout, "payloads">, sha256: string): string {
  return join(layout.payloads, sha256);
}

export function manifestPath(layout: Pick<ArtifactLayout, "payloads">, sha256: string): string {
  return `${payloadPath(layout, sha256)}.manifest`;
}
