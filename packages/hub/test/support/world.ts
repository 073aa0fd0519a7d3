import { createHash } from "node:crypto";
import type { Gpu } from "@flotilla/shared/model/capacity";
import type { KindName, ObjectOf } from "@flotilla/shared/model/kinds";
import { apiVersionOf, KINDS } from "@flotilla/shared/model/kinds";
import type { InstancePhase } from "@flotilla/shared/model/reported-state";
import { ManualClock } from "@flotilla/shared/testing/manual-clock";
import { RecordingMetrics } from "@flotilla/shared/testing/recording-metrics";
import { SeededRandom } from "@flotilla/shared/testing/seeded-random";
import { silentLog } from "@flotilla/shared/testing/silent-log";
import { ApplicationController } from "../../src/app/application/application-controller.ts";
import { Defragmenter } from "../../src/app/defragment/defragmenter.ts";
import type { AnyObject, ResourceStore } from "../../src/app/resources/ports.ts";
import type { QueueStatusWriter } from "../../src/app/scheduling/queue-status.ts";
import { Scheduler } from "../../src/app/scheduling/scheduler.ts";
import { MemoryStore } from "./memory-store.ts";
import { edgeNode, gpus, inventory, reading } from "./node-builders.ts";

/** One Event as a test reads it. */
export interface Told {
  readonly about: string;
  readonly type: string;
  readonly reason: string;
  readonly message: string;
}

type Spec<K extends KindName> = ObjectOf<K> extends { readonly spec: infer S } ? S : never;

/** A hub's store with controllers beside it, and agents that do as they are told. */
export class World<S extends ResourceStore = MemoryStore> {
  readonly store: S;
  readonly clock = new ManualClock();
  readonly metrics = new RecordingMetrics();
  readonly told: Told[] = [];
  readonly log = silentLog();
  readonly random: SeededRandom;
  #uidCount = 0;

  constructor(store: S = new MemoryStore() as ResourceStore as S, seed = 1) {
    this.store = store;
    this.random = new SeededRandom(seed);
  }

  readonly events = {
    record: (event: { about: AnyObject; type: string; reason: string; message: string }): void => {
      const { about, ...rest } = event;
      this.told.push({ about: `${about.kind}/${about.metadata.name}`, ...rest });
    },
  };

  get deps() {
    const { store, clock, metrics, log, random, events } = this;
    const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");
    return { store, clock, metrics, log, random, events, sha256 };
  }

  /** A controller with a scheduler that has seen nothing yet, as after a restart of the hub. */
  controller(
    options: {
      readonly changesMax?: number;
      readonly queues?: Pick<QueueStatusWriter, "tell">;
      /** What others do when they have a turn of the event loop. */
      readonly turn?: () => Promise<void>;
      readonly scheduler?: Scheduler;
    } = {},
  ): ApplicationController {
    const {
      queues = { tell: () => undefined },
      turn = () => Promise.resolve(),
      scheduler = new Scheduler({ store: this.store }),
      ...rest
    } = options;
    const defragmenter = new Defragmenter({ ...this.deps, scheduler });
    return new ApplicationController(rest, {
      ...this.deps,
      scheduler,
      defragmenter,
      queues,
      turn,
    });
  }

  /** Passes until one writes nothing. */
  async settle(controller = this.controller()): Promise<void> {
    for (let i = 0; i < 200; i++) {
      const before = this.store.revision;
      await controller.pass();
      if (this.store.revision === before) return;
    }
    throw new Error("200 passes and still something to write");
  }

  /** Passes and agents in turn until nothing moves any more. */
  async converge(controller = this.controller()): Promise<void> {
    for (let i = 0; i < 200; i++) {
      const before = this.store.revision;
      await controller.pass();
      await this.agentsRun();
      if (this.store.revision === before) return;
    }
    throw new Error("200 rounds and still something moves");
  }

  async put(object: AnyObject): Promise<void> {
    const key = {
      kind: object.kind as KindName,
      namespace: object.metadata.namespace ?? "",
      name: object.metadata.name,
    };
    const result = await this.store.commit({ changes: [{ key, expect: "any", object }] });
    if (!result.ok) throw new Error("an unconditional write was refused");
  }

  /** Creates or edits: the spec replaces the one before, the generation grows. */
  async apply<K extends KindName>(
    kind: K,
    name: string,
    spec: Spec<K>,
    meta: { readonly namespace?: string; readonly labels?: Record<string, string> } = {},
  ): Promise<void> {
    const namespace = KINDS[kind].namespaced ? (meta.namespace ?? "shop") : "";
    const old: AnyObject | undefined = this.store.get(kind, namespace, name);
    await this.put({
      ...old,
      apiVersion: apiVersionOf(KINDS[kind]),
      kind,
      metadata: {
        ...old?.metadata,
        name,
        ...(namespace === "" ? {} : { namespace }),
        uid: old?.metadata.uid ?? `uid-${kind}-${name}-${++this.#uidCount}`,
        generation: (old?.metadata.generation ?? 0) + 1,
        ...(meta.labels === undefined ? {} : { labels: meta.labels }),
      },
      spec,
    } as unknown as AnyObject);
  }

  async remove(kind: KindName, name: string, namespace = ""): Promise<void> {
    await this.store.commit({
      changes: [{ key: { kind, namespace, name }, expect: "any", object: undefined }],
    });
  }

  /** A ready node of 4 cores and 8 GiB. */
  async node(
    name: string,
    site = "site-1",
    change: {
      readonly spec?: Partial<ObjectOf<"EdgeNode">["spec"]>;
      readonly capacity?: Parameters<typeof reading>[0] extends infer R
        ? R extends { capacity?: infer C }
          ? C
          : never
        : never;
      readonly life?: "registered" | "ready" | "suspect" | "lost";
      readonly runtimes?: string[];
      /** Default: as many cards as the capacity says. */
      readonly gpus?: readonly Gpu[];
    } = {},
  ): Promise<void> {
    const { capacity, usage } = reading(
      change.capacity === undefined ? {} : { capacity: change.capacity },
    );
    const base = edgeNode(name, {
      life: change.life ?? "ready",
      inventory: {
        ...inventory(),
        runtimes: change.runtimes ?? ["process"],
        gpus: [...(change.gpus ?? gpus(name, capacity.gpuCount))],
      },
      capacity,
      usage,
    });
    const old = this.store.get("EdgeNode", "", name);
    const conditions = old?.status?.conditions;
    await this.put({
      ...base,
      spec: { ...base.spec, site, ...change.spec },
      status: { ...base.status, ...(conditions === undefined ? {} : { conditions }) },
    });
  }

  async life(name: string, life: "ready" | "suspect" | "lost"): Promise<void> {
    const node = this.store.get("EdgeNode", "", name);
    if (node !== undefined) await this.put({ ...node, status: { ...node.status, life } });
  }

  async specOf(name: string, change: Partial<ObjectOf<"EdgeNode">["spec"]>): Promise<void> {
    const node = this.store.get("EdgeNode", "", name);
    if (node !== undefined) await this.put({ ...node, spec: { ...node.spec, ...change } });
  }

  assignments(component?: string): readonly ObjectOf<"Assignment">[] {
    return this.store
      .list("Assignment")
      .filter((a) => component === undefined || a.spec.component === component);
  }

  assignment(name: string): ObjectOf<"Assignment"> {
    const found = this.assignments().find((a) => a.metadata.name === name);
    if (found === undefined) throw new Error(`no assignment ${name}`);
    return found;
  }

  /** Name → node (or "-"). */
  placement(): Record<string, string> {
    return Object.fromEntries(this.assignments().map((a) => [a.metadata.name, a.spec.node ?? "-"]));
  }

  application(name = "web"): ObjectOf<"Application"> {
    const found = this.store.list("Application").find((a) => a.metadata.name === name);
    if (found === undefined) throw new Error(`no application ${name}`);
    return found;
  }

  condition(type: string, name = "web") {
    return this.application(name).status?.conditions?.find((c) => c.type === type);
  }

  /** The assigned node reports the instance with the spec that it was asked for. */
  async report(name: string, phase: InstancePhase, ready = phase === "Running"): Promise<void> {
    const a = this.assignment(name);
    const { desired, node } = a.spec;
    if (node === undefined) throw new Error(`${name} has no node to report it`);
    const { id, specDigest } = desired;
    await this.put({
      ...a,
      status: {
        ...a.status,
        reported: { id, specDigest, phase, ready, restartCount: 0 },
        reportedBy: node,
      },
    });
  }

  /** Every ready node runs what it was asked for; `jobs` says what becomes of Jobs. */
  async agentsRun(jobs: InstancePhase = "Running"): Promise<void> {
    for (const a of this.assignments()) {
      const node = this.store.get("EdgeNode", "", a.spec.node ?? "");
      const { reported, reportedBy } = a.status ?? {};
      if (node?.status?.life !== "ready") continue;
      const done = reportedBy === a.spec.node && reported?.specDigest === a.spec.desired.specDigest;
      if (done && (reported?.phase !== "Running" || a.spec.desired.kind === "Deployment")) continue;
      const phase = a.spec.desired.kind === "Job" ? jobs : "Running";
      if (!done || reported?.phase !== phase) await this.report(a.metadata.name, phase);
    }
  }
}

type ComponentSpec = ObjectOf<"Application">["spec"]["components"][number];

/** A Deployment of one small process. */
export function deployment(
  name: string,
  replicas: number,
  change: {
    readonly version?: string;
    readonly memory?: string;
    readonly cpu?: string;
    readonly port?: number;
    readonly env?: NonNullable<
      ComponentSpec["template"]["spec"]["template"]["spec"]["containers"][number]["env"]
    >;
    readonly pod?: Partial<ComponentSpec["template"]["spec"]["template"]["spec"]>;
    readonly rest?: Pick<ComponentSpec, "placement" | "dependsOn">;
  } = {},
): ComponentSpec {
  return {
    name,
    type: "Deployment",
    ...change.rest,
    template: {
      spec: {
        replicas,
        template: {
          spec: {
            containers: [
              {
                name: "main",
                command: ["/bin/serve", change.version ?? "v1"],
                ...(change.port === undefined ? {} : { ports: [{ containerPort: change.port }] }),
                ...(change.env === undefined ? {} : { env: change.env }),
                resources: {
                  requests: { cpu: change.cpu ?? "100m", memory: change.memory ?? "64Mi" },
                },
              },
            ],
            ...change.pod,
          },
        },
      },
    },
  };
}

/** A Job of one small process. */
export function job(
  name: string,
  counts: { readonly completions?: number; readonly parallelism?: number; readonly ttl?: number },
  version = "v1",
): ComponentSpec {
  const { ttl, ...rest } = counts;
  return {
    name,
    type: "Job",
    template: {
      spec: {
        ...rest,
        ...(ttl === undefined ? {} : { ttlSecondsAfterFinished: ttl }),
        template: {
          spec: {
            containers: [
              {
                name: "main",
                command: ["/bin/work", version],
                resources: { requests: { cpu: "100m" } },
              },
            ],
          },
        },
      },
    },
  };
}
