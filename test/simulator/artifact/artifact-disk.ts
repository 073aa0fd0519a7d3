import type { SlotFile, SlotName } from "@flotilla/edge-agent/app/artifact/ports";

/** One file of a half: what it was made as, and what is truly in it. */
export interface LaidFile extends SlotFile {
  /** The digest of the bytes that are there. */
  readonly data: string;
}

/** The place of one instance. */
export interface Slots {
  current: SlotName | undefined;
  a: readonly LaidFile[] | undefined;
  b: readonly LaidFile[] | undefined;
}

/** What of artifacts lies on a node's disk beside the database. Outlives processes and power cuts. */
export class ArtifactDisk {
  /** Name of a content → digest of what is in it. */
  readonly blobs = new Map<string, string>();
  /** Pieces that are there of what is being fetched. */
  readonly parts = new Map<string, number>();
  readonly slots = new Map<string, Slots>();
  /** Grows with every change of a slot. */
  writes = 0;

  of(id: string): Slots {
    const found = this.slots.get(id) ?? { current: undefined, a: undefined, b: undefined };
    this.slots.set(id, found);
    return found;
  }

  /** The half that an instance runs with. */
  current(id: string): readonly LaidFile[] | undefined {
    const slots = this.slots.get(id);
    return slots?.current === undefined ? undefined : slots[slots.current];
  }
}

/** True when a half holds these files, and their bytes are what they were made as. */
export function isWhole(half: readonly LaidFile[], files: readonly SlotFile[]): boolean {
  return (
    half.length === files.length &&
    files.every(({ path, sha256 }) =>
      half.some((f) => f.path === path && f.sha256 === sha256 && f.data === sha256),
    )
  );
}
