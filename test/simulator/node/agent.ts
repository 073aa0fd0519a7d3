import type { Activation } from "@flotilla/edge-agent/app/artifact/activation";
import { CapacityCollector } from "@flotilla/edge-agent/app/capacity/capacity-collector";
import type { CapacityProbe } from "@flotilla/edge-agent/app/capacity/ports";
import { LinkService } from "@flotilla/edge-agent/app/link/link-service";
import type { Credentials } from "@flotilla/edge-agent/app/link/ports";
import { Reconciler } from "@flotilla/edge-agent/app/reconcile/reconciler";
import { must } from "@flotilla/shared/kernel/assert";
import { CodedError } from "@flotilla/shared/kernel/errors";
import type { Service } from "@flotilla/shared/kernel/service";
import type { Gpu, Inventory } from "@flotilla/shared/model/capacity";
import { runServices } from "@flotilla/shared/platform/supervisor";
import type { Codec } from "@flotilla/shared/protocol/codec";
import { simActivation } from "../artifact/agent-activation.ts";
import type { Depot } from "../artifact/depot.ts";
import type { Bugs } from "../bugs.ts";
import { SimLink } from "../net/agent-link.ts";
import type { Connection } from "../net/connection.ts";
import { bugLog } from "../world/bug-log.ts";
import { noMetrics } from "../world/no-metrics.ts";
import { Killed, ProcessClock, ProcessLife } from "../world/process-life.ts";
import { Dice, streamOf } from "../world/seeds.ts";
import { simVerifier } from "../world/signing.ts";
import { SimAgentStore, type StoreWitness } from "./agent-store.ts";
import type { Machine } from "./machine.ts";
import { SimProbeRunner, SimRuntime } from "./process-runtime.ts";

/** The service manager starts a dead agent again after this. */
const AGENT_RESTART_MS = 2_000;

export interface AgentHostDeps {
  readonly machine: Machine;
  readonly codec: Codec;
  readonly seed: number;
  readonly accept: (name: string, connection: Connection) => void;
  readonly published: (topic: string, payload: Uint8Array) => void;
  readonly storeWitness: StoreWitness;
  readonly onBug: (message: string) => void;
  readonly bugs: Bugs;
  /** Absent: nobody in this world has artifacts. */
  readonly depot: Depot | undefined;
  /** The hub answers who asks for bytes. */
  readonly isHubUp: () => boolean;
}

/** Starts the agent of one machine, again and again. */
export class AgentHost {
  readonly machine: Machine;
  readonly #deps: AgentHostDeps;
  readonly #dice: Dice;
  #life: ProcessLife | undefined;
  #dark: readonly Connection[] = [];
  #starts = 0;
  #isWanted = true;
  #losesPower = false;
  #activation: Activation | undefined;

  constructor(deps: AgentHostDeps) {
    this.#deps = deps;
    this.machine = deps.machine;
    this.#dice = new Dice(streamOf(deps.seed, `agent ${deps.machine.name} machine`));
  }

  get isRunning(): boolean {
    return this.#life?.isAlive === true;
  }

  /** The process that runs now. */
  get life(): ProcessLife | undefined {
    return this.#life;
  }

  /** `flotilla-agent retry`: false when nobody answers. */
  retry(instanceId: string): boolean {
    if (!this.isRunning || this.machine.isAsleep || this.#activation === undefined) return false;
    try {
      this.#activation.retry(instanceId);
      return true;
    } catch (error) {
      if (!(error instanceof Killed || error instanceof CodedError)) throw error;
      return false;
    }
  }

  boot(): void {
    this.machine.powerOn();
    for (const connection of this.#dark) connection.powerOn("down");
    this.#dark = [];
    this.start();
  }

  /** The power goes: agent and workloads at once, and nobody says goodbye. */
  powerOff(): void {
    this.#isWanted = false;
    this.#losesPower = true;
    this.#life?.kill();
    this.#losesPower = false;
    this.machine.powerOff();
  }

  /** Kept down until it is started again by hand, or by the service manager when `restart`. */
  kill(options: { readonly restart: boolean }): void {
    this.#isWanted = options.restart;
    this.#life?.kill();
  }

  start(): void {
    this.#isWanted = true;
    if (!this.machine.isPowered || this.isRunning) return;
    const { machine } = this;
    const life = new ProcessLife(`agent ${machine.name}`, machine.name, machine.loop);
    this.#life = life;
    machine.loop.trace.say(`${machine.name}: agent starts`);
    const link: { current: SimLink | undefined } = { current: undefined };
    life.onDeath(() => {
      machine.loop.trace.say(`${machine.name}: agent is dead`);
      // A kernel that lives closes the sockets of the dead.
      const left = link.current?.processDied(!this.#losesPower) ?? [];
      if (this.#losesPower) this.#dark = left;
      this.#startLater();
    });
    try {
      link.current = this.#wire(life);
    } catch (error) {
      // Its store could not be opened: it ends, and is started again.
      if (!(error instanceof Killed || error instanceof CodedError)) throw error;
      life.kill();
    }
  }

  #startLater(): void {
    if (!this.#isWanted || !this.machine.isPowered) return;
    this.machine.loop.schedule(AGENT_RESTART_MS, this.machine, "service manager", () => {
      if (this.#isWanted) this.start();
    });
  }

  #wire(life: ProcessLife): SimLink {
    const { machine, codec, seed, bugs, onBug } = this.#deps;
    const name = `${machine.name} ${++this.#starts}`;
    const random = streamOf(seed, `agent ${name}`);
    const clock = new ProcessClock(machine.loop, life, machine);
    const log = bugLog((message) => life.isAlive && onBug(`${machine.name}: ${message}`));
    const metrics = noMetrics();
    const witness = this.#deps.storeWitness;
    const store = new SimAgentStore({ disk: machine.disk, life, random, witness, bugs });
    const platform = { clock, random, log, metrics, store };
    const { activation, reconciler } = this.#workloads(life, {
      ...platform,
      onChange: () => service.wake(),
    });
    const link = this.#link(life);
    const capacity = new CapacityCollector(
      {},
      {
        probe: this.#probe(),
        store,
        clock,
        log,
        metrics,
        hasSession: () => service.hasSession(),
        onReport: () => service.wake(),
      },
    );
    const service: LinkService = new LinkService(
      {},
      {
        link,
        store,
        codec,
        clock,
        random,
        log,
        metrics,
        credentials: { load: () => credentialsOf(machine.name) },
        verifier: simVerifier({ trustsAll: bugs.has("trust-any-signature") }),
        onDesiredAccepted: () => reconciler.wake(),
        onLogGet: ({ instance }) =>
          Promise.resolve({ instance, text: "", truncated: false, error: "no log" }),
        birthFacts: () => ({
          agentVersion: "0.1.0",
          bootId: machine.bootId,
          ...must(capacity.birthFacts(), "prepared before the link starts"),
          reported: reconciler.reported(),
        }),
        onUnauthorized: () => undefined,
      },
    );
    const services = [reconciler, capacity, service, ...(activation ? [activation.service] : [])];
    void this.#run(life, services, { capacity, clock, log, random });
    return link;
  }

  /** What runs here, and what it runs with. */
  #workloads(
    life: ProcessLife,
    deps: Platform & { readonly store: SimAgentStore; readonly onChange: () => void },
  ) {
    const { machine, bugs, depot, isHubUp } = this.#deps;
    const dice = this.#dice;
    const common = { ...deps, machine, life, dice, bugs };
    const runtime = new SimRuntime({ ...common, depot: depot ?? { flawOf: () => undefined } });
    const onChange = (): void => reconciler.wake();
    const activation = depot && simActivation({ ...common, depot, isHubUp, runtime, onChange });
    this.#activation = activation;
    const reconciler: Reconciler = new Reconciler(
      {
        agentId: `agent-${machine.name}`,
        nodeId: machine.name,
        nodeAddress: "10.0.0.1",
        inheritedEnvironment: { PATH: "/bin" },
        bootId: machine.bootId,
        ...(activation && { artifactPathsOf: (id: string) => activation.gate.pathsOf(id) }),
      },
      {
        ...deps,
        ...(activation && { artifacts: activation.gate }),
        runtime,
        probeRunner: new SimProbeRunner({ machine, clock: deps.clock, dice }),
      },
    );
    return { activation, reconciler };
  }

  async #run(
    life: ProcessLife,
    services: readonly Service[],
    deps: {
      readonly capacity: CapacityCollector;
      readonly clock: ProcessClock;
      readonly log: ReturnType<typeof bugLog>;
      readonly random: ReturnType<typeof streamOf>;
    },
  ): Promise<void> {
    try {
      await deps.capacity.prepare();
      await runServices({ services, signal: new AbortController().signal }, deps);
    } catch (error) {
      if (life.isAlive) this.#deps.onBug(`${this.machine.name}: ${String(error)}`);
    }
  }

  #link(life: ProcessLife): SimLink {
    const { machine, accept, published, bugs } = this.#deps;
    return new SimLink({
      loop: machine.loop,
      life,
      road: machine.road,
      accept: (connection) => accept(machine.name, connection),
      published,
      opened: () => {
        machine.loop.trace.say(`${machine.name}: session is open`);
        if (!bugs.has("restart-on-reconnect")) return;
        for (const process of machine.processes.values()) {
          machine.witness.signalled(machine, process, "SIGKILL");
          machine.end(process);
        }
      },
      bugs,
    });
  }

  #probe(): CapacityProbe {
    const { capacity, cards } = this.machine;
    const gpus = this.#deps.bugs.has("card-told-twice") ? cards.flatMap(twice) : [...cards];
    return {
      inventory: () => Promise.resolve({ ...INVENTORY, gpus }),
      read: () =>
        Promise.resolve({
          capacity: { ...capacity, gpuCount: gpus.length },
          usage: {
            cpuRatio: this.#dice.between(0.1, 0.6),
            memoryUsedBytes: Math.floor(capacity.memoryBytes * this.#dice.between(0.2, 0.4)),
            diskUsedBytes: Math.floor(capacity.diskBytes * 0.3),
          },
        }),
    };
  }
}

interface Platform {
  readonly clock: ProcessClock;
  readonly random: ReturnType<typeof streamOf>;
  readonly log: ReturnType<typeof bugLog>;
  readonly metrics: ReturnType<typeof noMetrics>;
}

const INVENTORY: Inventory = {
  architecture: "x64",
  operatingSystem: "linux",
  kernelVersion: "6.8",
  cpuModel: "simulated",
  manufacturer: "",
  machineModel: "",
  runtimes: ["process"],
  gpus: [],
};

function twice(card: Gpu): readonly Gpu[] {
  return [card, { ...card, uuid: `${card.uuid}-again`, index: card.index + 16 }];
}

function credentialsOf(nodeId: string): Credentials {
  return {
    nodeId,
    shard: "0",
    certificate: "",
    privateKey: "",
    caCertificate: "",
    signingKey: "",
    mqttUrl: "mqtts://hub:8883",
    apiUrl: "https://hub:8443",
    certificateNotBeforeMs: 0,
    certificateExpiresMs: 4_000_000_000_000,
  };
}
