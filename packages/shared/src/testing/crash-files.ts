import { must } from "../kernel/assert.ts";
import type { FileStat, FileSystem, OpenFor } from "../platform/file-system.ts";
import { DiskNames, DiskNode, type Survival } from "./crash-disk.ts";

export type { Survival } from "./crash-disk.ts";

/** What is to happen at the operation with number `at`, from 0. */
export type Fault =
  /** `torn`: a write is done in part; everything else is whole or not at all, and is then as `after`. */
  | { readonly kind: "cut"; readonly at: number; readonly when: "before" | "after" | "torn" }
  | {
      readonly kind: "fail";
      readonly at: number;
      readonly code: "ENOSPC" | "EIO";
      /** A full disk for ever still reads and removes; one that is broken for ever does nothing. */
      readonly lasts: "once" | "for-ever";
    };

/** The power is off. Thrown at the cut, and by every operation until `powerOn`: a program that is gone does nothing more. */
export class PowerCut extends Error {
  override readonly name: string = "PowerCut";
}

/** One operation of a run, to choose faults from. */
export interface Operation {
  readonly name: string;
  readonly path: string;
  /** A cut is worth a try at these only: reading changes nothing. */
  readonly changes: boolean;
}

const FULL_DISK: ReadonlySet<string> = new Set([
  "create",
  "write",
  "truncate",
  "fsync",
  "syncFolder",
  "rename",
  "link",
  "symlink",
  "mkdir",
  "commit",
]);
const LINKS_MAX = 8;
const DISK_BYTES = 1024 ** 3;

interface OpenFile {
  readonly node: DiskNode;
  readonly path: string;
}

/**
 * A file system in memory that forgets what was not fsynced when its power is cut, as a strict disk may, and on which each operation
 * can be the last one, or fail. Counts operations; other durable steps, such as transactions, are counted among them by `around`.
 */
export class CrashFiles implements FileSystem {
  readonly #root = new DiskNode(0, "folder");
  readonly #names = new DiskNames();
  readonly #sizeBytes: number;
  #open: ReadonlyMap<number, OpenFile> = new Map();
  #operations: Operation[] = [];
  #fault: Fault | undefined;
  #isOff = false;
  #isObserved = false;
  #nextId = 1;
  /** Stands for time: grows with each change. */
  #now = 1_000_000_000;

  constructor(options: { readonly sizeBytes?: number } = {}) {
    this.#sizeBytes = options.sizeBytes ?? DISK_BYTES;
  }

  /** Begins to count anew; what is to happen, if anything. */
  arm(fault?: Fault): void {
    this.#operations = [];
    this.#fault = fault;
  }

  /** Operations since `arm`. */
  get operations(): readonly Operation[] {
    return this.#operations;
  }

  get isOff(): boolean {
    return this.#isOff;
  }

  /** Starts again after a cut, or cuts here and now. No fault is armed then. */
  powerOn(survival: Survival): void {
    const left = this.#names.cut(this.#root, survival);
    for (const node of left) if (node.kind === "file") node.cut(survival);
    this.#open = new Map();
    this.#isOff = false;
    this.arm();
  }

  /** A durable step of another kind, such as a transaction: is counted, can be the last, can fail. */
  around<T>(name: string, work: () => T): T {
    return this.#step({ name, path: "", changes: true }, work);
  }

  /** For the test's own looks: what is done within is not counted and does not fail. */
  observe<T>(work: () => T): T {
    const before = this.#isObserved;
    this.#isObserved = true;
    try {
      return work();
    } finally {
      this.#isObserved = before;
    }
  }

  open(path: string, use: OpenFor): number {
    if (use === "read") return this.#read("open", path, () => this.#opened(path, this.#file(path)));
    const { folder, name } = this.#place(path);
    const there = folder.entries.get(name);
    if (use === "update" || (use === "replace" && there !== undefined)) {
      const node = this.#read("open", path, () => this.#file(path));
      if (use === "replace") this.#alter("truncate", node, { kind: "truncate", sizeBytes: 0 });
      return this.#opened(path, node);
    }
    return this.#step({ name: "create", path, changes: true }, () => {
      if (there !== undefined) throw failure("EEXIST", path);
      const node = this.#node("file");
      this.#set(folder, name, node);
      return this.#opened(path, node);
    });
  }

  read(fd: number, into: Uint8Array, position: number): number {
    const { node, path } = this.#of(fd);
    return this.#read("read", path, () => {
      const part = node.content.data.subarray(position, position + into.length);
      into.set(part);
      return part.length;
    });
  }

  write(fd: number, bytes: Uint8Array, position: number): number {
    const { node, path } = this.#of(fd);
    const write = (part: Uint8Array): void =>
      node.change({ kind: "write", position, bytes: part.slice() }, this.#tick());
    const half = (): void => write(bytes.subarray(0, bytes.length >> 1));
    return this.#step(
      { name: "write", path, changes: true },
      () => {
        if (bytes.length > this.freeBytes()) throw failure("ENOSPC", path);
        write(bytes);
        return bytes.length;
      },
      half,
    );
  }

  truncate(fd: number, sizeBytes: number): void {
    this.#alter("truncate", this.#of(fd).node, { kind: "truncate", sizeBytes });
  }

  chmod(fd: number): void {
    const { path } = this.#of(fd);
    this.#step({ name: "chmod", path, changes: true }, () => undefined);
  }

  setTime(fd: number, seconds: number): void {
    this.#alter("setTime", this.#of(fd).node, { kind: "time", seconds });
  }

  stat(fd: number): FileStat {
    const { node, path } = this.#of(fd);
    return this.#read("stat", path, () => statOf(node));
  }

  fsync(fd: number): void {
    const { node, path } = this.#of(fd);
    this.#step(
      { name: "fsync", path, changes: true },
      () => node.fsync(),
      () => node.failFsync(),
    );
  }

  close(fd: number): void {
    const next = new Map(this.#open);
    next.delete(fd);
    this.#open = next;
  }

  syncFolder(path: string): void {
    this.#step({ name: "syncFolder", path, changes: true }, () =>
      this.#names.sync(this.#folder(path)),
    );
  }

  rename(from: string, to: string): void {
    this.#step({ name: "rename", path: `${from} → ${to}`, changes: true }, () => {
      const source = this.#place(from);
      const target = this.#place(to);
      const node = source.folder.entries.get(source.name);
      if (node === undefined) throw failure("ENOENT", from);
      const there = target.folder.entries.get(target.name);
      if (there?.kind === "folder" && there.entries.size > 0) throw failure("ENOTEMPTY", to);
      this.#names.change({
        folder: target.folder,
        edits: [
          { ...source, to: undefined, was: node },
          { ...target, to: node, was: there },
        ],
      });
    });
  }

  link(existing: string, path: string): void {
    this.#step({ name: "link", path, changes: true }, () => {
      const { folder, name } = this.#place(path);
      if (folder.entries.has(name)) throw failure("EEXIST", path);
      this.#set(folder, name, this.#file(existing));
    });
  }

  symlink(target: string, path: string): void {
    this.#step({ name: "symlink", path, changes: true }, () => {
      const { folder, name } = this.#place(path);
      if (folder.entries.has(name)) throw failure("EEXIST", path);
      this.#set(folder, name, this.#node("link", target));
    });
  }

  unlink(path: string): void {
    this.#step({ name: "unlink", path, changes: true }, () => {
      const { folder, name } = this.#place(path);
      const node = folder.entries.get(name);
      if (node === undefined) throw failure("ENOENT", path);
      if (node.kind === "folder") throw failure("EISDIR", path);
      this.#set(folder, name, undefined);
    });
  }

  mkdir(path: string): void {
    this.#step({ name: "mkdir", path, changes: true }, () => {
      const { folder, name } = this.#place(path);
      if (folder.entries.has(name)) throw failure("EEXIST", path);
      this.#set(folder, name, this.#node("folder"));
    });
  }

  rmdir(path: string): void {
    this.#step({ name: "rmdir", path, changes: true }, () => {
      const { folder, name } = this.#place(path);
      const node = folder.entries.get(name);
      if (node?.kind !== "folder") throw failure(node === undefined ? "ENOENT" : "ENOTDIR", path);
      if (node.entries.size > 0) throw failure("ENOTEMPTY", path);
      this.#set(folder, name, undefined);
    });
  }

  list(path: string): readonly string[] {
    return this.#read("list", path, () => [...this.#folder(path).entries.keys()].toSorted());
  }

  lookUp(path: string): FileStat | undefined {
    return this.#read("lookUp", path, () => {
      const node = this.#find(path, false);
      return node && statOf(node);
    });
  }

  readLink(path: string): string {
    return this.#read("readLink", path, () => {
      const node = this.#find(path, false);
      if (node?.kind !== "link") throw failure(node === undefined ? "ENOENT" : "EINVAL", path);
      return node.target;
    });
  }

  freeBytes(): number {
    return this.#sizeBytes - usedBytes(this.#root);
  }

  #step<T>(operation: Operation, work: () => T, inPart?: () => void): T {
    if (this.#isOff) throw new PowerCut("the power is off");
    if (this.#isObserved) return work();
    const number = this.#operations.push(operation) - 1;
    const fault = this.#fault;
    if (fault?.kind === "fail" && hits(fault, number, operation)) {
      inPart?.();
      throw failure(fault.code, `${operation.name} ${operation.path}`);
    }
    if (fault?.kind !== "cut" || fault.at !== number) return work();
    try {
      if (fault.when === "torn" && operation.name === "write") inPart?.();
      else if (fault.when !== "before") work();
    } catch {
      // An operation that fails by itself has come to its end too.
    }
    this.#isOff = true;
    throw new PowerCut(
      `cut ${fault.when} operation ${number}, ${operation.name} ${operation.path}`,
    );
  }

  #read<T>(name: string, path: string, work: () => T): T {
    return this.#step({ name, path, changes: false }, work);
  }

  #alter(name: string, node: DiskNode, change: Parameters<DiskNode["change"]>[0]): void {
    this.#step({ name, path: `#${node.id}`, changes: true }, () =>
      node.change(change, this.#tick()),
    );
  }

  #set(folder: DiskNode, name: string, to: DiskNode | undefined): void {
    const edit = { folder, name, to, was: folder.entries.get(name) };
    this.#names.change({ folder, edits: [edit] });
  }

  #opened(path: string, node: DiskNode): number {
    const fd = this.#nextId++;
    this.#open = new Map([...this.#open, [fd, { node, path }]]);
    return fd;
  }

  #of(fd: number): OpenFile {
    if (this.#isOff) throw new PowerCut("the power is off");
    return must(this.#open.get(fd), `${fd} is no open file`);
  }

  #node(kind: DiskNode["kind"], target?: string): DiskNode {
    const node = new DiskNode(this.#nextId++, kind, target);
    if (kind === "file") node.content = { data: node.content.data, time: this.#tick() };
    return node;
  }

  #tick(): number {
    this.#now += 1;
    return this.#now;
  }

  #place(path: string): { readonly folder: DiskNode; readonly name: string } {
    const at = path.lastIndexOf("/");
    return { folder: this.#folder(path.slice(0, at)), name: path.slice(at + 1) };
  }

  #folder(path: string): DiskNode {
    const node = this.#find(path, true);
    if (node?.kind !== "folder") throw failure(node === undefined ? "ENOENT" : "ENOTDIR", path);
    return node;
  }

  #file(path: string): DiskNode {
    const node = this.#find(path, true);
    if (node?.kind !== "file") throw failure(node === undefined ? "ENOENT" : "EISDIR", path);
    return node;
  }

  #find(path: string, follow: boolean, links = 0): DiskNode | undefined {
    if (this.#isOff) throw new PowerCut("the power is off");
    const parts = path.split("/").filter((part) => part !== "");
    let node: DiskNode | undefined = this.#root;
    for (const [i, part] of parts.entries()) {
      node = node?.entries.get(part);
      const isLast = i === parts.length - 1;
      if (node?.kind !== "link" || (isLast && !follow)) continue;
      if (links >= LINKS_MAX) throw failure("ELOOP", path);
      const before = node.target.startsWith("/") ? "" : parts.slice(0, i).join("/");
      const rest = [before, node.target, ...parts.slice(i + 1)].join("/");
      return this.#find(rest, follow, links + 1);
    }
    return node;
  }
}

function hits(fault: Fault & { kind: "fail" }, number: number, { name }: Operation): boolean {
  if (fault.lasts === "once") return number === fault.at;
  return number >= fault.at && (fault.code === "EIO" || FULL_DISK.has(name));
}

function statOf(node: DiskNode): FileStat {
  const { data, time } = node.content;
  return { kind: node.kind, sizeBytes: data.length, stamp: `${node.id}:${data.length}:${time}` };
}

function usedBytes(root: DiskNode): number {
  const seen = new Set<DiskNode>();
  const visit = (node: DiskNode): number => {
    if (seen.has(node)) return 0;
    seen.add(node);
    return [...node.entries.values()].reduce((sum, n) => sum + visit(n), node.content.data.length);
  };
  return visit(root);
}

function failure(code: string, where: string): Error {
  return Object.assign(new Error(`${code}: ${where}`), { code });
}
