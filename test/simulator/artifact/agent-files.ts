import type {
  BlobFetcher,
  HalfDisk,
  LocalBlobs,
  SlotCheck,
  SlotDisk,
  SlotFile,
  SlotInspection,
  SlotName,
} from "@flotilla/edge-agent/app/artifact/ports";
import type { Clock } from "@flotilla/shared/kernel/clock";
import { CodedError } from "@flotilla/shared/kernel/errors";
import type { Bugs } from "../bugs.ts";
import type { Machine } from "../node/machine.ts";
import type { ProcessLife } from "../world/process-life.ts";
import type { Dice } from "../world/seeds.ts";
import { isWhole, type LaidFile } from "./artifact-disk.ts";
import { CONTENT_BYTES, type Depot } from "./depot.ts";

/** Requests that a content comes in. */
const PIECES = 4;
/** Mean time of one, milliseconds. */
const PIECE_MS = 500;
/** Share of the requests that fail though every road is open. */
const FAILURE_SHARE = 0.03;
/** Mean time of making one file of a half. */
const LINK_MS = 3;

export interface AgentFilesDeps {
  readonly machine: Machine;
  readonly life: ProcessLife;
  readonly clock: Clock;
  readonly dice: Dice;
  readonly bugs: Bugs;
  readonly depot: Depot;
  /** The hub's server answers. */
  readonly isHubUp: () => boolean;
  /** `current` of an instance leads elsewhere, under whatever runs. */
  readonly onSwitch: (id: string) => void;
}

/** One durable change of the disk, which a full one refuses. */
function write(deps: AgentFilesDeps, effect: () => void): void {
  deps.life.call(() => {
    if (deps.machine.disk.isFull)
      throw new CodedError("disk-full", "no space is left", { mend: "free some space" });
    effect();
    deps.machine.artifacts.writes++;
  });
}

/** Contents of one node. Nothing is removed to make room. */
export class SimBlobs implements LocalBlobs {
  readonly #deps: AgentFilesDeps;

  constructor(deps: AgentFilesDeps) {
    this.#deps = deps;
  }

  has(sha256: string): boolean {
    return this.#deps.life.call(() => this.#deps.machine.artifacts.blobs.has(sha256));
  }

  pathOf(sha256: string): string {
    return `blobs/${sha256}`;
  }

  partPathOf(sha256: string): string {
    return `parts/${sha256}`;
  }

  complete(): Promise<void> {
    return Promise.reject(new Error("contents are completed by whoever fetches them"));
  }

  async verify(sha256: string): Promise<boolean> {
    const { blobs } = this.#deps.machine.artifacts;
    if (blobs.get(sha256) === sha256) return true;
    this.remove(sha256);
    return Promise.resolve(false);
  }

  remove(sha256: string): void {
    this.#deps.life.call(() => this.#deps.machine.artifacts.blobs.delete(sha256));
  }

  removePart(sha256: string): void {
    this.#deps.life.call(() => this.#deps.machine.artifacts.parts.delete(sha256));
  }

  touch(): void {}

  list() {
    const { life, machine } = this.#deps;
    return life.call(() =>
      [...machine.artifacts.blobs.keys()].map((sha256) => ({
        sha256,
        lengthBytes: CONTENT_BYTES,
        usedWallMs: 0,
      })),
    );
  }

  freeBytes(): number {
    return 2 ** 40;
  }

  makeRoom(): boolean {
    return true;
  }
}

/** Fetches piece by piece while the road is open and the hub answers; what is there stays for the next life. */
export class SimFetcher implements BlobFetcher {
  readonly #deps: AgentFilesDeps;

  constructor(deps: AgentFilesDeps) {
    this.#deps = deps;
  }

  async fetch(...[target, options]: Parameters<BlobFetcher["fetch"]>) {
    const { machine, bugs } = this.#deps;
    const { blobs, parts } = machine.artifacts;
    const { sha256 } = target;
    if (bugs.has("torn-contents") && parts.has(sha256))
      write(this.#deps, () => void blobs.set(sha256, `torn ${sha256}`));
    while (!blobs.has(sha256)) await this.#piece(sha256, options);
    return { transferredBytes: target.length };
  }

  async #piece(
    sha256: string,
    { onProgress, signal }: Parameters<BlobFetcher["fetch"]>[1],
  ): Promise<void> {
    const { clock, depot, dice, isHubUp, life, machine, bugs } = this.#deps;
    await clock.sleep(dice.exponential(PIECE_MS) + machine.road.delayMs(), signal);
    const { blobs, parts } = machine.artifacts;
    if (!life.call(() => machine.road.isWhole && isHubUp())) {
      if (bugs.has("downloads-hang")) await aborted(signal);
      throw new CodedError("source-unreachable", "no way to the hub", { mend: "wait" });
    }
    if (!depot.isStored(sha256))
      throw new CodedError("source-absent", "the hub has no such content", { mend: "wait" });
    if (dice.chance(FAILURE_SHARE))
      throw new CodedError("source-misbehaves", "200 to a range", { mend: "wait" });
    const done = (parts.get(sha256) ?? 0) + 1;
    write(this.#deps, () => {
      parts.set(sha256, done);
      if (done < PIECES) return;
      blobs.set(sha256, sha256);
      parts.delete(sha256);
    });
    onProgress(done, PIECES);
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(new DOMException("let go", "AbortError")));
  });
}

/** Slots of one node: a half gets its name when all of it is there, `current` is led elsewhere at once. */
export class SimSlotDisk implements SlotDisk, HalfDisk {
  readonly #deps: AgentFilesDeps;

  constructor(deps: AgentFilesDeps) {
    this.#deps = deps;
  }

  async prepare(id: string, slot: SlotName, files: readonly SlotFile[]): Promise<void> {
    const { clock, dice, life, machine, bugs } = this.#deps;
    if ((await this.intact(id, slot, files)).kind === "intact") return;
    if (this.current(id) === slot)
      throw new CodedError("slot-in-use", `${slot} of ${id} is current`, { mend: "none" });
    const made: LaidFile[] = [];
    for (const file of files) {
      await clock.sleep(dice.exponential(LINK_MS));
      const data = life.call(() => machine.artifacts.blobs.get(file.sha256));
      if (data === undefined)
        throw new CodedError("blob-absent", `${file.sha256} is not here`, { mend: "fetch it" });
      write(this.#deps, () => void made.push({ ...file, data }));
    }
    write(this.#deps, () => {
      const slots = machine.artifacts.of(id);
      if (bugs.has("prepare-clears-both")) slots[slot === "a" ? "b" : "a"] = undefined;
      slots[slot] = made;
    });
  }

  switchTo(id: string, slot: SlotName): void {
    const { machine, onSwitch } = this.#deps;
    const slots = machine.artifacts.of(id);
    if (slots[slot] === undefined)
      throw new CodedError("slot-incomplete", `${slot} of ${id} is not whole`, { mend: "none" });
    write(this.#deps, () => {
      if (slots.current === slot) return;
      slots.current = slot;
      machine.loop.trace.say(`${machine.name}: current of ${id} is ${slot}`);
      machine.witness.switched(machine, id, slot);
      onSwitch(id);
    });
  }

  current(id: string): SlotName | undefined {
    return this.#deps.life.call(() => this.#deps.machine.artifacts.slots.get(id)?.current);
  }

  pathOf(id: string): string {
    return `/artifacts/slots/${id}/current`;
  }

  inspect(id: string): SlotInspection {
    const { current, a, b } = this.#deps.machine.artifacts.of(id);
    const content = (half: typeof a) =>
      half === undefined
        ? ({ kind: "absent" } as const)
        : ({ kind: "complete", files: half } as const);
    return { current, a: content(a), b: content(b) };
  }

  async intact(id: string, slot: SlotName, files: readonly SlotFile[]): Promise<SlotCheck> {
    const { clock, dice, life, machine, bugs } = this.#deps;
    await clock.sleep(dice.exponential(LINK_MS));
    const half = life.call(() => machine.artifacts.slots.get(id)?.[slot]);
    if (half?.length !== files.length) return { kind: "absent" };
    for (const { path, sha256 } of files) {
      const found = half.find((f) => f.path === path);
      if (found?.sha256 !== sha256) return { kind: "absent" };
      if (found.data === sha256 || bugs.has("torn-contents")) continue;
      if (machine.artifacts.blobs.get(sha256) !== sha256)
        life.call(() => machine.artifacts.blobs.delete(sha256));
      return { kind: "altered", path };
    }
    return { kind: "intact" };
  }

  isUntouched(id: string, slot: SlotName, files: readonly SlotFile[]): boolean {
    const { bugs, life, machine } = this.#deps;
    const half = life.call(() => machine.artifacts.slots.get(id)?.[slot]);
    return half !== undefined && (bugs.has("torn-contents") || isWhole(half, files));
  }

  sweep(keep: ReadonlySet<string>): void {
    for (const id of this.#deps.machine.artifacts.slots.keys()) if (!keep.has(id)) this.remove(id);
  }

  discard(id: string, slot: SlotName): void {
    const { life, machine } = this.#deps;
    life.call(() => {
      const slots = machine.artifacts.of(id);
      if (slots.current === slot) return;
      slots[slot] = undefined;
      machine.artifacts.writes++;
    });
  }

  remove(id: string): void {
    const { life, machine } = this.#deps;
    life.call(() => {
      machine.artifacts.slots.delete(id);
      machine.artifacts.writes++;
    });
  }
}
