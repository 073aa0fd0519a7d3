import { ApplicationController } from "@flotilla/hub/app/application/application-controller";
import { NodeArtifacts } from "@flotilla/hub/app/artifact/node-artifacts";
import type { StoredContents } from "@flotilla/hub/app/artifact/ports";
import { Prestager } from "@flotilla/hub/app/artifact/prestager";
import { ReleaseController } from "@flotilla/hub/app/artifact/release-controller";
import { NoticeController } from "@flotilla/hub/app/conditions/notice-controller";
import { Defragmenter } from "@flotilla/hub/app/defragment/defragmenter";
import { DesiredService } from "@flotilla/hub/app/desired/desired-service";
import { disconnectRefusedNodes, StoreAdmission } from "@flotilla/hub/app/enrolment/admission";
import { EventRecorder } from "@flotilla/hub/app/events/event-recorder";
import { FleetController } from "@flotilla/hub/app/fleet/fleet-controller";
import { GarbageCollector } from "@flotilla/hub/app/garbage/garbage-collector";
import { IngestService } from "@flotilla/hub/app/ingest/ingest-service";
import type { NodeLink } from "@flotilla/hub/app/link/ports";
import { LogService } from "@flotilla/hub/app/logs/log-service";
import { ProbePlans } from "@flotilla/hub/app/measures/probe-plans";
import { DeviceWatch } from "@flotilla/hub/app/node/device-watch";
import { LeaseSweep } from "@flotilla/hub/app/node/lease-sweep";
import { LeaseTable } from "@flotilla/hub/app/node/lease-table";
import { NodeAssignments } from "@flotilla/hub/app/node/node-assignments";
import { NamespaceCleaner } from "@flotilla/hub/app/resources/namespace-cleaner";
import type { ResourceApi } from "@flotilla/hub/app/resources/ports";
import { ResourceService } from "@flotilla/hub/app/resources/resource-service";
import { QueueStatusWriter } from "@flotilla/hub/app/scheduling/queue-status";
import { Scheduler } from "@flotilla/hub/app/scheduling/scheduler";
import { ValueService } from "@flotilla/hub/app/scheduling/value-service";
import { must } from "@flotilla/shared/kernel/assert";
import { parseNodeId } from "@flotilla/shared/kernel/ids";
import { solveLinearProgram } from "@flotilla/shared/platform/linear-program";
import { runServices } from "@flotilla/shared/platform/supervisor";
import type { Codec } from "@flotilla/shared/protocol/codec";
import { CONTENT_BYTES, type Depot } from "../artifact/depot.ts";
import type { Bugs } from "../bugs.ts";
import { type BrokerWitness, SimBroker } from "../net/broker.ts";
import type { Connection } from "../net/connection.ts";
import { bugLog } from "../world/bug-log.ts";
import type { EventLoop } from "../world/event-loop.ts";
import { noMetrics } from "../world/no-metrics.ts";
import { type MachineTime, ProcessClock, ProcessLife } from "../world/process-life.ts";
import { Dice, streamOf } from "../world/seeds.ts";
import { sha256, simSigner } from "../world/signing.ts";
import { HubDisk, SimHubStore } from "./hub-store.ts";

/** Serial of the certificate that every node has: enrolment is not simulated. */
export const CERTIFICATE_SERIAL = "a1";

export interface HubHostDeps {
  readonly loop: EventLoop;
  readonly codec: Codec;
  readonly seed: number;
  readonly witness: BrokerWitness;
  readonly onBug: (message: string) => void;
  readonly bugs: Bugs;
  /** Absent: nobody in this world has artifacts. */
  readonly depot: Depot | undefined;
}

/** A hub process as the world sees it. */
export interface RunningHub {
  readonly life: ProcessLife;
  readonly broker: SimBroker;
  readonly api: ResourceApi;
  readonly store: SimHubStore;
}

/** The machine that the hub runs on. Its process may die; its disk and its clock stay. */
export class HubHost implements MachineTime {
  readonly disk: HubDisk = new HubDisk();
  readonly #deps: HubHostDeps;
  #running: RunningHub | undefined;
  #starts = 0;
  #diesAfterFsync = false;
  #wallOffsetMs = 1_764_000_000_000;
  /** Called when the process has died. */
  onDown: () => void = () => {};
  /** Called when a session was opened, before its first message. */
  onSession: (node: string) => void = () => {};

  constructor(deps: HubHostDeps) {
    this.#deps = deps;
  }

  get running(): RunningHub | undefined {
    return this.#running;
  }

  bootMs(): number {
    return Math.floor(this.#deps.loop.nowMs) + 86_400_000;
  }

  wallMs(): number {
    return Math.floor(Math.max(0, this.#wallOffsetMs + this.#deps.loop.nowMs));
  }

  setWall(wallMs: number): void {
    this.#wallOffsetMs = wallMs - this.#deps.loop.nowMs;
  }

  /** The listening socket. A hub that is not there refuses. */
  accept(name: string, connection: Connection): void {
    const nodeId = must(parseNodeId(name), "machines have names of nodes");
    if (this.#running !== undefined) this.#running.broker.accept(nodeId, connection);
  }

  kill(): void {
    this.#running?.life.kill();
  }

  /** Dies at the instant when the next commit is durable and nobody knows it yet. */
  killAfterFsync(): void {
    this.#diesAfterFsync = true;
  }

  /** Nobody is out to kill it any more. */
  spare(): void {
    this.#diesAfterFsync = false;
  }

  start(): void {
    if (this.#running !== undefined) return;
    const { loop, bugs, onBug, seed } = this.#deps;
    const life = new ProcessLife("hub", "hub", loop);
    const random = streamOf(seed, `hub ${++this.#starts}`);
    const platform = {
      clock: new ProcessClock(loop, life, this),
      random,
      log: bugLog((message) => life.isAlive && onBug(`hub: ${message}`)),
      metrics: noMetrics(),
    };
    const store = new SimHubStore({
      loop,
      life,
      disk: this.disk,
      dice: new Dice(streamOf(seed, `hub disk ${this.#starts}`)),
      bugs,
      onDurable: () => this.#durable(),
    });
    loop.trace.say("hub: starts");
    this.disk.term++;
    const { broker, services } = this.#wire(life, { ...platform, store });
    const hooks = {
      mintSecret: () => ({ secret: "", secretHash: "" }),
      joinString: () => "",
    };
    const api = new ResourceService({}, { ...platform, store, hooks });
    this.#running = { life, broker, api, store };
    life.onDeath(() => {
      loop.trace.say("hub: is killed");
      this.#running = undefined;
      this.#diesAfterFsync = false;
      broker.processDied();
      this.onDown();
    });
    const { signal } = new AbortController();
    runServices({ services, signal }, platform).catch((error: unknown) => {
      if (life.isAlive) onBug(`hub: ${String(error)}`);
    });
  }

  #durable(): void {
    if (this.#diesAfterFsync) this.kill();
  }

  #wire(life: ProcessLife, deps: Platform & { readonly store: SimHubStore }) {
    const { loop, codec, witness, bugs, depot } = this.#deps;
    const tie: { link: NodeLink | undefined } = { link: undefined };
    const tied = (): NodeLink => must(tie.link, "tied below");
    const link: NodeLink = {
      send: (nodeId, message) => tied().send(nodeId, message),
      isConnected: (nodeId) => tied().isConnected(nodeId),
      disconnect: (nodeId, reason) => tied().disconnect(nodeId, reason),
    };
    const assignments = new NodeAssignments(deps);
    const probes = new ProbePlans(deps);
    const leases = new LeaseTable();
    const events = new EventRecorder({}, deps);
    const logs = new LogService({ ...deps, link });
    const signer = simSigner();
    const scheduler = new Scheduler(deps);
    const releases = depot && releaseServices({ ...deps, events, scheduler, life, depot });
    const desired = new DesiredService({
      ...deps,
      link,
      assignments,
      probes,
      signer,
      sha256,
      events,
      ...(releases && { artifacts: releases.forNodes }),
    });
    // Contents come from a source of the simulator's own: nobody asks.
    const artifacts = { asked: () => {} };
    const uplink = new IngestService(
      {},
      { ...deps, link, codec, leases, assignments, events, desired, artifacts, logs },
    );
    const admission = new StoreAdmission({}, deps);
    const broker = new SimBroker(
      { term: this.disk.term },
      {
        loop,
        life,
        uplink,
        admits: (nodeId) => admission.admits(nodeId, CERTIFICATE_SERIAL),
        wallMs: () => this.wallMs(),
        witness,
        opened: (nodeId) => this.onSession(nodeId),
        bugs,
      },
    );
    tie.link = broker.link;
    disconnectRefusedNodes({ store: deps.store, link });
    const services = [
      events,
      new LeaseSweep({}, { ...deps, leases, events }),
      desired,
      new NamespaceCleaner(deps),
      new FleetController({}, { ...deps, events }),
      new DeviceWatch({}, { ...deps, events }),
      ...placementServices({ ...deps, events, scheduler }),
      ...(releases?.services ?? []),
      new GarbageCollector({}, { ...deps, events }),
      new NoticeController({}, deps),
    ];
    return { broker, services };
  }
}

/** What decides where instances go. */
function placementServices(
  deps: Platform & {
    readonly store: SimHubStore;
    readonly events: EventRecorder;
    readonly scheduler: Scheduler;
  },
) {
  const turn = (): Promise<void> => Promise.resolve();
  const queues = new QueueStatusWriter(deps);
  const { scheduler } = deps;
  const defragmenter = new Defragmenter({ ...deps, sha256 });
  return [
    new ApplicationController({}, { ...deps, sha256, defragmenter, queues, turn }),
    queues,
    new ValueService({ ...deps, scheduler, solve: solveLinearProgram, turn }),
  ];
}

/** What becomes of releases, as `makeReleases` of the hub puts it together. */
function releaseServices(
  deps: Platform & {
    readonly store: SimHubStore;
    readonly events: EventRecorder;
    readonly scheduler: Scheduler;
    readonly life: ProcessLife;
    readonly depot: Depot;
  },
) {
  const { depot, life } = deps;
  const onChange = (listener: () => void): (() => void) =>
    depot.onChange(() => {
      if (life.isAlive) listener();
    });
  const contents: StoredContents = {
    sizeOf: (digest: string) => (depot.isStored(digest) ? CONTENT_BYTES : undefined),
    onStored: (listener) => onChange(() => listener("")),
  };
  const signed = {
    isSigned: (target: string, length: number, digest: string) =>
      depot.releaseOf(digest)?.isForeseen === true ||
      depot.isSigned({ target, length, sha256: digest }),
    onPublished: onChange,
  };
  const prestager = new Prestager({}, { ...deps, sha256 });
  const serverUrl = (): string => "https://hub:8444";
  const forNodes = new NodeArtifacts({ ...deps, prestager, serverUrl });
  return {
    forNodes,
    services: [new ReleaseController({}, { ...deps, contents, signed }), prestager],
  };
}

interface Platform {
  readonly clock: ProcessClock;
  readonly random: ReturnType<typeof streamOf>;
  readonly log: ReturnType<typeof bugLog>;
  readonly metrics: ReturnType<typeof noMetrics>;
}
