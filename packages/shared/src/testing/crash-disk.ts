import type { Random } from "../kernel/random.ts";

/** What a power cut leaves of that which was never made durable: nothing, all of it, or any part that a disk may leave. */
export type Survival = "synced" | "all" | Random;

/** Part of a write that a disk does whole or not at all. */
const SECTOR_BYTES = 512;

type Change =
  | { readonly kind: "write"; readonly position: number; readonly bytes: Uint8Array }
  | { readonly kind: "truncate"; readonly sizeBytes: number }
  | { readonly kind: "time"; readonly seconds: number };

interface Content {
  readonly data: Uint8Array;
  readonly time: number;
}

/** A file, a folder or a link with what is in memory and what is on the disk. */
export class DiskNode {
  readonly id: number;
  readonly kind: "file" | "folder" | "link";
  /** Of a link. */
  readonly target: string;
  /** Of a folder, as programs see it, and as it is on the disk. */
  entries: ReadonlyMap<string, DiskNode> = new Map();
  durableEntries: ReadonlyMap<string, DiskNode> = new Map();
  content: Content;
  #durable: Content;
  #pending: readonly Change[] = [];

  constructor(id: number, kind: DiskNode["kind"], target = "") {
    this.id = id;
    this.kind = kind;
    this.target = target;
    this.content = { data: new Uint8Array(0), time: 0 };
    this.#durable = this.content;
  }

  change(change: Change, now: number): void {
    this.content = applied(this.content, change, now);
    this.#pending = [...this.#pending, change];
  }

  fsync(): void {
    this.#durable = this.#pending.reduce((c, change) => applied(c, change, c.time + 1), {
      ...this.#durable,
    });
    // The time that programs saw is the one that stays.
    this.#durable = { data: this.#durable.data, time: this.content.time };
    this.#pending = [];
  }

  /**
   * What Linux does when an fsync fails: pages count as clean, the next fsync succeeds, and the bytes never reach the disk; its
   * size may.
   */
  failFsync(): void {
    this.#pending = this.#pending.map((change) =>
      change.kind === "write" ? { ...change, bytes: new Uint8Array(change.bytes.length) } : change,
    );
  }

  cut(survival: Survival): void {
    const left = this.#pending.flatMap((change) => surviving(change, survival));
    const content = left.reduce((c, change) => applied(c, change, c.time + 1), this.#durable);
    // A file that was lost in part never looks like one that is whole.
    const isWhole = survival === "all";
    this.content = isWhole ? { data: content.data, time: this.content.time } : content;
    this.#durable = this.content;
    this.#pending = [];
  }
}

function surviving(change: Change, survival: Survival): readonly Change[] {
  if (survival === "synced") return [];
  if (survival === "all") return [change];
  const draw = survival.unit("crash-disk.change");
  if (draw < 0.5) return [change];
  if (change.kind !== "write" || draw > 0.85) return [];
  const sizeBytes = change.position + change.bytes.length;
  // The size is on the disk and the bytes are not; or the first sectors are.
  if (draw < 0.7) return [{ ...change, bytes: new Uint8Array(change.bytes.length) }];
  const sectors = Math.floor(survival.unit("crash-disk.torn") * (sizeBytes / SECTOR_BYTES));
  return [{ ...change, bytes: change.bytes.subarray(0, sectors * SECTOR_BYTES) }];
}

function applied(content: Content, change: Change, time: number): Content {
  if (change.kind === "time") return { data: content.data, time: change.seconds };
  const size =
    change.kind === "truncate"
      ? change.sizeBytes
      : Math.max(content.data.length, change.position + change.bytes.length);
  const data = new Uint8Array(size);
  data.set(content.data.subarray(0, size));
  if (change.kind === "write") data.set(change.bytes, change.position);
  return { data, time };
}

/** A change of names: whole or not at all. */
interface NameChange {
  /** Its fsync makes the change durable. */
  readonly folder: DiskNode;
  readonly edits: readonly {
    readonly folder: DiskNode;
    readonly name: string;
    /** Undefined: the name goes, if it still stands for `was`. */
    readonly to: DiskNode | undefined;
    readonly was: DiskNode | undefined;
  }[];
}

/**
 * The names of a disk, in memory and durable. Strict POSIX: what was not fsynced in its folder may be lost, each change for itself;
 * only a change that rests on an earlier one of the same name never survives without it.
 */
export class DiskNames {
  #pending: readonly NameChange[] = [];

  change(change: NameChange): void {
    for (const { folder, name, to } of change.edits)
      folder.entries = edited(folder.entries, name, to);
    this.#pending = [...this.#pending, change];
  }

  sync(folder: DiskNode): void {
    this.#keep((change) => change.folder === folder);
    this.#pending = this.#pending.filter((change) => change.folder !== folder);
  }

  /** Returns every node that is left, with its names as they are now. */
  cut(root: DiskNode, survival: Survival): readonly DiskNode[] {
    this.#keep(() =>
      typeof survival === "string" ? survival === "all" : survival.unit("crash-disk.name") < 0.5,
    );
    this.#pending = [];
    const left = new Set<DiskNode>();
    const visit = (node: DiskNode): void => {
      if (left.has(node)) return;
      left.add(node);
      node.entries = node.durableEntries;
      for (const child of node.entries.values()) visit(child);
    };
    visit(root);
    return [...left];
  }

  /** Makes the chosen changes durable, and those before them that touch the same names. */
  #keep(choose: (change: NameChange) => boolean): void {
    const names = new Set<string>();
    const kept = new Set<NameChange>();
    for (const change of this.#pending.toReversed()) {
      const touched = change.edits.map(({ folder, name }) => `${folder.id}/${name}`);
      if (!choose(change) && !touched.some((name) => names.has(name))) continue;
      kept.add(change);
      for (const name of touched) names.add(name);
    }
    for (const change of this.#pending.filter((c) => kept.has(c)))
      for (const edit of change.edits) {
        const { folder, name, to, was } = edit;
        if (to === undefined && folder.durableEntries.get(name) !== was) continue;
        folder.durableEntries = edited(folder.durableEntries, name, to);
      }
    this.#pending = this.#pending.filter((change) => !kept.has(change));
  }
}

function edited(
  entries: ReadonlyMap<string, DiskNode>,
  name: string,
  to: DiskNode | undefined,
): ReadonlyMap<string, DiskNode> {
  const next = new Map(entries);
  if (to === undefined) next.delete(name);
  else next.set(name, to);
  return next;
}
