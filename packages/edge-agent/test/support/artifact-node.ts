import { createHash } from "node:crypto";
import { AssertionError, must } from "@flotilla/shared/kernel/assert";
import type { DesiredArtifact, PrestagedRelease } from "@flotilla/shared/model/artifact";
import type { DesiredInstance } from "@flotilla/shared/model/desired-state";
import { CrashFiles, type Survival } from "@flotilla/shared/testing/crash-files";
import { ManualClock } from "@flotilla/shared/testing/manual-clock";
import { RecordingMetrics } from "@flotilla/shared/testing/recording-metrics";
import { SeededRandom } from "@flotilla/shared/testing/seeded-random";
import { RecordingLog } from "@flotilla/shared/testing/silent-log";
import { FileBlobs } from "../../src/adapters/artifact-store/file-blobs.ts";
import { FileSlots } from "../../src/adapters/artifact-store/file-slots.ts";
import { BlobTable } from "../../src/adapters/store/blob-table.ts";
import { SlotTable } from "../../src/adapters/store/slot-table.ts";
import type { SqliteAgentStore } from "../../src/adapters/store/sqlite-agent-store.ts";
import { makeActivation } from "../../src/app/artifact/activation.ts";
import { discardIdleHalves } from "../../src/app/artifact/idle-halves.ts";
import type { BlobFetcher, LockFile } from "../../src/app/artifact/ports.ts";
import type { ProbeOutcome, StartRequest } from "../../src/app/reconcile/ports.ts";
import { Reconciler } from "../../src/app/reconcile/reconciler.ts";
import { FakeSources, FakeTrust, release, WatchedRuntime } from "./artifact-fakes.ts";
import { memoryAgentStore } from "./memory-agent-store.ts";
import { accepted } from "./reconcile-builders.ts";

const ROOT = "/state/artifacts";

/** The agent dies here. */
class Death extends AssertionError {}

/** An artifact of one file, as a pin of an instance. */
export function pin(
  name: string,
  counter: number,
  more: Partial<DesiredArtifact> = {},
): DesiredArtifact {
  return {
    ...release(name, counter),
    path: name,
    reload: "restart",
    healthWindowMs: 1_000,
    ...more,
  };
}

/**
 * A node with artifacts, driven by hand: made-up processes and sources, the agent's real database, and its real slots and contents
 * on a disk in memory. It notes what must never be.
 */
export class ArtifactNode {
  readonly clock = new ManualClock({ bootMs: 1_000_000 });
  readonly runtime = new WatchedRuntime(this.clock, (request) => this.#onStart(request));
  readonly log = new RecordingLog();
  readonly metrics = new RecordingMetrics();
  readonly random = new SeededRandom(7);
  readonly disk = new CrashFiles();
  readonly sources = new FakeSources(() => this.#parts.blobs, this.disk);
  readonly trust = new FakeTrust();
  readonly store: SqliteAgentStore = memoryAgentStore();
  /** Lock files of workloads, by instance. */
  readonly lockFiles = new Map<string, LockFile>();
  /** What POSTs are answered with, and those that came. */
  answerPost: (path: string) => ProbeOutcome | Promise<ProbeOutcome> = () => ({
    ok: true,
    message: "",
  });
  readonly posts: string[] = [];
  probe: (instanceId: string) => ProbeOutcome = () => ({ ok: true, message: "" });
  readonly violations: string[] = [];
  /** Sets that were rolled back from, by instance, until an operator asks for another try. */
  readonly #barred = new Map<string, Set<string>>();
  readonly #asked = new Set<string>();
  #parts: ReturnType<ArtifactNode["newAgent"]>;
  #revision = 0;
  #stop = new AbortController();

  constructor() {
    for (const path of ["/state", ROOT]) this.disk.mkdir(path);
    for (const path of ["/", "/state"]) this.disk.syncFolder(path);
    this.#parts = this.newAgent();
  }

  get reconciler(): Reconciler {
    return this.#parts.reconciler;
  }

  get activation() {
    return this.#parts.activation;
  }

  /** Room is needed. */
  makeWay(): void {
    this.#parts.makeWay();
  }

  want(instances: readonly DesiredInstance[], prestage?: readonly PrestagedRelease[]): void {
    this.#revision = Math.max(this.#revision + 1, this.store.revisionFloor());
    const made = accepted(this.#revision, instances);
    const state = prestage === undefined ? made.state : { ...made.state, prestage: [...prestage] };
    this.store.acceptDesired({ ...made, state, payload: JSON.stringify(state) });
    for (const wanted of instances) this.#asked.add(this.#identity(wanted));
  }

  slots(id: string) {
    return this.activation.book.get(id);
  }

  /** Version of an artifact that the workload finds, and undefined when there is none. */
  activeCounter(id: string, name = "detector"): number | undefined {
    try {
      return this.disk.observe(() => {
        const current = this.#parts.disk.current(id);
        if (current === undefined) return undefined;
        const fd = this.disk.open(`${ROOT}/slots/${id}/${current}/${name}/model.bin`, "read");
        const bytes = new Uint8Array(256);
        const text = new TextDecoder().decode(bytes.subarray(0, this.disk.read(fd, bytes, 0)));
        this.disk.close(fd);
        return Number(/^\S+ (\d+)\n/.exec(text)?.[1]);
      });
    } catch {
      return undefined;
    }
  }

  reported(id: string) {
    return this.reconciler.reported().instances.find((i) => i.id === id);
  }

  retry(id: string): void {
    this.activation.retry(id);
    this.#barred.delete(id);
  }

  notices(): readonly string[] {
    return this.store
      .outbox(10_000)
      .filter((m) => m.kind === "notice")
      .map((m) => String(Object(m.body).reason));
  }

  /** Passes with `stepMs` between them; the agent may die in any. */
  async passes(count: number, stepMs = 100): Promise<void> {
    for (let i = 0; i < count; i++) {
      this.reconciler.pass();
      this.activation.service.pass(this.#stop.signal);
      await this.clock.advance(stepMs);
      this.runtime.settle();
      this.#look();
    }
  }

  /** Numbers, for `die`, of the deeds of the next passes that change something. */
  async deeds(): Promise<readonly number[]> {
    this.disk.arm();
    await this.#passesWithDeeds();
    return this.disk.operations.flatMap(({ changes }, at) => (changes ? [at] : []));
  }

  /** The agent's process is gone before the n-th deed on disk, database or processes; another one takes over. */
  async die(afterDeeds: number): Promise<void> {
    this.disk.arm({ kind: "cut", at: afterDeeds, when: "before" });
    await this.#passesWithDeeds();
    await this.restartAgent();
  }

  async #passesWithDeeds(): Promise<void> {
    this.runtime.beforeDeed = () => this.disk.around("process", () => undefined);
    try {
      await this.passes(20);
    } catch (error) {
      if (!this.disk.isOff) throw error;
    }
    this.runtime.beforeDeed = () => undefined;
  }

  async restartAgent(): Promise<void> {
    this.#stop.abort(new Death("the agent dies"));
    await this.clock.advance(0);
    // A process that dies takes nothing from the disk.
    if (this.disk.isOff) this.disk.powerOn("all");
    else this.disk.arm();
    this.runtime.loseAgent();
    this.#stop = new AbortController();
    this.#parts = this.newAgent();
  }

  /** `survival`: what the disk keeps of that which was not fsynced. */
  async reboot(survival: Survival = "synced"): Promise<void> {
    this.#stop.abort(new Death("the machine stops"));
    await this.clock.advance(0);
    this.disk.powerOn(survival);
    this.runtime.reboot();
    this.#stop = new AbortController();
    this.#parts = this.newAgent();
  }

  /** Somebody writes to an installed file. */
  damage(id: string, options: { readonly slot?: "a" | "b" } = {}): void {
    const slot = options.slot ?? must(this.#parts.disk.current(id), "something is installed");
    const fd = this.disk.open(`${ROOT}/slots/${id}/${slot}/detector/model.bin`, "update");
    this.disk.write(fd, new TextEncoder().encode("XX"), 0);
    this.disk.fsync(fd);
    this.disk.close(fd);
  }

  /** Where contents come from; called while the agent is made. `store` is the one that dies with the agent. */
  protected fetcherOf(
    _blobs: FileBlobs,
    _store: Pick<SqliteAgentStore, "transaction" | "database">,
  ): BlobFetcher {
    return this.sources;
  }

  newAgent() {
    const { clock, disk: files, log, metrics, random, runtime, store, trust } = this;
    const transaction = <T>(work: () => T): T =>
      files.around("commit", () => store.transaction(work));
    const guarded = { database: store.database, transaction };
    const rows = new BlobTable({ store: guarded });
    const makeWay = (): void => discardIdleHalves(activation.book.all(), { disk, log });
    const blobs: FileBlobs = new FileBlobs(
      { root: ROOT, reserveBytes: 0 },
      { files, rows, clock, log, needed: () => activation.service.needed(), makeWay },
    );
    const disk: FileSlots = new FileSlots({ root: ROOT }, { files, blobs, log });
    const slotStore = new SlotTable({ store, log });
    const activation: ReturnType<typeof makeActivation> = makeActivation(
      { bootId: runtime.bootId },
      {
        store: {
          desired: () => store.desired(),
          enqueue: (m) => store.enqueue(m),
          transaction,
        },
        slots: {
          slots: () => slotStore.slots(),
          memo: (key) => slotStore.memo(key),
          putMemo: (key, value) => slotStore.putMemo(key, value),
          putSlot: (record) => transaction(() => slotStore.putSlot(record)),
          deleteSlot: (id) => transaction(() => slotStore.deleteSlot(id)),
        },
        sha256: (text) => createHash("sha256").update(text).digest("hex"),
        trust,
        fetcher: this.fetcherOf(blobs, guarded),
        blobs,
        disk,
        recover: () => Promise.resolve(),
        forget: () => undefined,
        signals: runtime,
        runtime,
        poster: {
          post: ({ path }) => {
            this.posts.push(path);
            return Promise.resolve(this.answerPost(path));
          },
        },
        lockFiles: { read: (path) => this.lockFiles.get(path.split("/").at(-2) ?? "") },
        peer: () => undefined,
        clock,
        random,
        log,
        metrics,
        onChange: () => undefined,
      },
    );
    const reconciler = this.#newReconciler(activation);
    return { blobs, disk, activation, reconciler, makeWay };
  }

  #newReconciler(activation: ReturnType<typeof makeActivation>): Reconciler {
    const { clock, log, metrics, random, runtime, store, disk } = this;
    const putInstance = store.putInstance.bind(store);
    const deleteInstance = store.deleteInstance.bind(store);
    const guarded: SqliteAgentStore = new Proxy(store, {
      get: (target, key) => {
        if (key === "putInstance")
          return (record: Parameters<typeof putInstance>[0]) =>
            disk.around("commit", () => putInstance(record));
        if (key === "deleteInstance")
          return (id: string) => disk.around("commit", () => deleteInstance(id));
        const value: unknown = Reflect.get(target, key, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
    return new Reconciler(
      {
        agentId: "agent-1",
        nodeId: "n1",
        nodeAddress: "127.0.0.1",
        inheritedEnvironment: { PATH: "/usr/bin:/bin" },
        bootId: runtime.bootId,
        artifactPathsOf: (id) => activation.gate.pathsOf(id),
      },
      {
        store: guarded,
        runtime,
        probeRunner: {
          run: (_, context) =>
            Promise.resolve(this.probe(context.environment["FLOTILLA_INSTANCE"] ?? "")),
        },
        clock,
        random,
        log,
        metrics,
        artifacts: activation.gate,
        onChange: () => undefined,
      },
    );
  }

  #identity({ id, specDigest, artifacts }: DesiredInstance): string {
    return `${id} ${specDigest} ${JSON.stringify(artifacts?.map((a) => [a.name, a.counter]))}`;
  }

  /** At each start with artifacts: what `current` leads to is whole, signed for, and what it is started as. */
  #onStart(request: StartRequest): void {
    // A dead agent starts nothing.
    if (request.environment["FLOTILLA_ARTIFACTS"] === undefined || this.disk.isOff) return;
    const id = request.instanceId;
    const slots = this.slots(id);
    const contents = slots?.current === undefined ? undefined : slots[slots.current];
    if (contents === undefined) {
      this.violations.push(`${id} is started without a whole set`);
      return;
    }
    for (const { counter, files, name } of contents.desired.artifacts ?? []) {
      const found = this.activeCounter(id, name);
      // The look itself may be where the agent dies.
      if (this.disk.isOff) return;
      if (found !== counter)
        this.violations.push(`${id} is started with other files of ${name} than ${counter}`);
      for (const file of files)
        if (!this.trust.isSigned(file.target))
          this.violations.push(`${id} is started with ${file.target}, which nobody signed`);
    }
    if (![...this.#asked].some((identity) => identity.startsWith(`${id} `)))
      this.violations.push(`${id} was never asked for`);
    if (!this.#asked.has(this.#identity(contents.desired)))
      this.violations.push(
        `${id} runs as no desired state ever asked: ${this.#identity(contents.desired)}`,
      );
  }

  /** After each pass: there is always a good set once there was one, and what failed is not switched to again. */
  #look(): void {
    for (const slots of this.activation.book.all()) {
      const barred = this.#barred.get(slots.id) ?? new Set<string>();
      this.#barred.set(slots.id, barred);
      const current = slots.current === undefined ? undefined : slots[slots.current];
      if (current !== undefined && slots.phase === "trial" && barred.has(current.set))
        this.violations.push(`${slots.id} tries again what failed`);
      for (const { set } of slots.failed) barred.add(set);
    }
  }
}
