import { parseNodeId } from "@flotilla/shared/kernel/ids";
import { DIRECTIONS } from "../net/network.ts";
import type { AgentHost } from "../node/agent.ts";
import type { Machine } from "../node/machine.ts";
import { WORLD } from "../world/event-loop.ts";
import { Dice, streamOf } from "../world/seeds.ts";
import type { UpCopy } from "./tape.ts";
import type { World } from "./world.ts";

/** Every kind of fault; docs/simulator.md says what each does. */
export const FAULTS = [
  "agent-kill",
  "agent-kill-at-call",
  "agent-down",
  "power-cut",
  "suspend",
  "clock-jump",
  "disk-full",
  "disk-restore",
  "workload-crash",
  "workload-hang",
  "partition",
  "half-open",
  "slow-road",
  "hub-kill",
  "hub-kill-after-fsync",
  "hub-slow-disk",
  "hub-disk-full",
  "hub-clock-jump",
  "repeat-up",
  "foreign-up",
  "repeat-down",
  "foreign-down",
  "forged-down",
] as const;
export type Fault = (typeof FAULTS)[number];

/** Share of the kinds that a run has. */
const KINDS_SHARE = 0.5;
/** Mean time between two faults of a kind, drawn per run and kind, log-uniform. */
const INTERVAL_MS = { min: 4_000, max: 150_000 } as const;
/** Mean time between two deeds of the operator. */
const OPERATOR_MS = { min: 2_000, max: 30_000 } as const;
/** Share of the publisher's deeds that ask a node to try again what failed. */
const RETRY_SHARE = 0.1;
/** The same where artifacts are what is looked at: their instances have to live for a while. */
const ARTIFACT_OPERATOR_MS = { min: 10_000, max: 60_000 } as const;
/** Mean time between two deeds of the publisher. */
const PUBLISHER_MS = { min: 3_000, max: 15_000 } as const;
const LAST_GOOD_MS = 45_000;

/** The fault of this name. */
export function faultNamed(name: string): Fault | undefined {
  return FAULTS.find((fault) => fault === name);
}

type Strike = (agent: AgentHost) => void;

/** Lets faults of drawn kinds happen at drawn times, until it is told to heal. */
export class FaultInjector {
  readonly #world: World;
  readonly #dice: Dice;
  readonly #kinds: readonly Fault[];
  readonly #counts = new Map<Fault, number>();
  #isOn = true;
  #lateCopies = 0;

  /** `faults`: these kinds and no others; absent: about half of them, drawn. */
  constructor(
    options: { readonly seed: number; readonly faults?: readonly Fault[] },
    world: World,
  ) {
    this.#world = world;
    this.#dice = new Dice(streamOf(options.seed, "faults"));
    this.#kinds = options.faults ?? FAULTS.filter(() => this.#dice.chance(KINDS_SHARE));
    world.hub.onSession = (node) => this.#sessionOpened(node);
    world.hub.onDown = () => this.#after(6_000, "hub comes back", () => world.hub.start());
    for (const kind of this.#kinds) this.#plan(kind, this.#logUniform(INTERVAL_MS));
    const pace = world.depot === undefined ? OPERATOR_MS : ARTIFACT_OPERATOR_MS;
    this.#planOperator(this.#logUniform(pace));
    this.#planCopies();
    if (world.depot === undefined) return;
    world.loop.schedule(1_000, WORLD, "operator", () => world.operator.begin());
    const released = new Dice(streamOf(options.seed, "publisher"));
    this.#planPublisher(released, released.between(PUBLISHER_MS.min, PUBLISHER_MS.max));
  }

  /** How often each kind has struck. */
  get counts(): ReadonlyMap<Fault, number> {
    return this.#counts;
  }

  /** No more faults, and what they broke is mended: power, roads, disks, clocks, processes. Only `away` has no road. */
  heal(away: Machine | undefined): void {
    this.#isOn = false;
    const { hub, agents, loop } = this.#world;
    loop.trace.say(`all faults end, ${away?.name ?? "nobody"} stays away`);
    this.#world.depot?.finish();
    hub.spare();
    hub.disk.isFull = false;
    hub.disk.fsyncMs = 4;
    hub.setWall(1_764_000_000_000 + loop.nowMs);
    hub.start();
    for (const agent of agents) {
      const { machine } = agent;
      machine.disk.isFull = false;
      machine.setWall(1_764_000_000_000 + loop.nowMs);
      machine.road.meanMs = 20;
      if (machine !== away) machine.road.heal();
      else for (const direction of DIRECTIONS) machine.road.cut(direction);
      if (!machine.isPowered) agent.boot();
      else if (!machine.isAsleep) agent.start();
    }
  }

  #logUniform({ min, max }: { readonly min: number; readonly max: number }): number {
    return min * (max / min) ** this.#dice.between(0, 1);
  }

  #plan(kind: Fault, meanMs: number): void {
    this.#world.loop.schedule(this.#dice.exponential(meanMs), WORLD, `fault ${kind}`, () => {
      if (!this.#isOn) return;
      const agent = this.#dice.pick(this.#world.agents);
      if (agent !== undefined) this.#strike(kind, agent);
      this.#plan(kind, meanMs);
    });
  }

  #planOperator(meanMs: number): void {
    this.#world.loop.schedule(this.#dice.exponential(meanMs), WORLD, "operator", () => {
      if (!this.#isOn) return;
      this.#world.operator.act();
      this.#planOperator(meanMs);
    });
  }

  #planPublisher(dice: Dice, meanMs: number): void {
    this.#world.loop.schedule(dice.exponential(meanMs), WORLD, "publisher", () => {
      if (!this.#isOn) return;
      if (dice.chance(RETRY_SHARE)) this.#retryOne(dice);
      else this.#world.operator.publish(dice);
      this.#planPublisher(dice, meanMs);
    });
  }

  /** Somebody at a node wants what failed there tried again. */
  #retryOne(dice: Dice): void {
    const agent = dice.pick(this.#world.agents);
    if (agent === undefined) return;
    const { machine } = agent;
    const failed = [...machine.disk.database.slots.values()].filter((r) => r.failed.length > 0);
    const id = dice.pick(failed)?.id;
    if (id === undefined) return;
    machine.loop.trace.say(`${machine.name}: an operator wants ${id} tried again`);
    this.#world.auditor.slots?.retried(machine, id);
    agent.retry(id);
  }

  #planCopies(): void {
    this.#world.loop.schedule(LAST_GOOD_MS, WORLD, "last good copies", () => {
      for (const { disk } of this.#world.machines) disk.saveLastGood();
      if (this.#isOn) this.#planCopies();
    });
  }

  #strike(kind: Fault, agent: AgentHost): void {
    const { machine } = agent;
    // What sleeps or has no power cannot fail.
    if (machine.isAsleep || !machine.isPowered) return;
    this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + 1);
    this.#world.loop.trace.say(`fault: ${kind} (${machine.name})`);
    this.#strikes[kind](agent);
  }

  /** Later, whatever has become of the machine; not after the healing, which has done it. */
  #after(meanMs: number, label: string, mend: () => void): void {
    this.#world.loop.schedule(this.#dice.exponential(meanMs), WORLD, label, () => {
      if (this.#isOn) mend();
    });
  }

  readonly #strikes: Readonly<Record<Fault, Strike>> = {
    "agent-kill": (agent) => agent.kill({ restart: true }),
    "agent-kill-at-call": (agent) => agent.life?.killAtCall(this.#dice.whole(1, 60)),
    "agent-down": (agent) => {
      agent.kill({ restart: false });
      this.#after(60_000, "agent comes back", () => {
        if (!agent.machine.isAsleep) agent.start();
      });
    },
    "power-cut": (agent) => {
      agent.powerOff();
      this.#after(20_000, "power comes back", () => {
        if (!agent.machine.isPowered) agent.boot();
      });
    },
    suspend: (agent) => this.#suspend(agent),
    "clock-jump": ({ machine }) => {
      const drawn = this.#dice.between(0, 1);
      if (drawn < 0.3) machine.setWall(this.#dice.between(0, 60_000));
      else if (drawn < 0.6) machine.setWall(machine.wallMs() - this.#dice.exponential(3_600_000));
      else machine.setWall(machine.wallMs() + this.#dice.exponential(86_400_000 * 365));
    },
    "disk-full": ({ machine }) => {
      machine.disk.isFull = true;
      this.#after(20_000, "disk has room", () => {
        machine.disk.isFull = false;
      });
    },
    "disk-restore": (agent) => {
      agent.kill({ restart: true });
      this.#world.auditor.recordsLost(agent.machine);
      agent.machine.disk.restoreLastGood({ salvaged: this.#dice.chance(0.5) });
    },
    "workload-crash": ({ machine }) => {
      const process = this.#dice.pick([...machine.processes.values()]);
      if (process === undefined) return;
      machine.loop.trace.say(`${machine.name}: ${process.instanceId} pid ${process.pid} crashes`);
      machine.end(process);
      if (process.recordExit) machine.recordExit(process, 1);
      // Somebody else's program gets the pid before the agent looks.
      if (this.#dice.chance(0.3)) machine.strangers.add(process.pid);
    },
    "workload-hang": ({ machine }) => {
      const process = this.#dice.pick([...machine.processes.values()]);
      if (process !== undefined) process.isHealthy = false;
    },
    partition: ({ machine }) => {
      for (const direction of DIRECTIONS) machine.road.cut(direction);
      this.#after(50_000, "road is mended", () => machine.road.heal());
    },
    "half-open": ({ machine }) => {
      machine.road.cut(this.#dice.chance(0.5) ? "up" : "down");
      this.#after(80_000, "road is mended", () => machine.road.heal());
    },
    "slow-road": ({ machine }) => {
      machine.road.meanMs = this.#dice.between(100, 4_000);
      this.#after(40_000, "road is fast", () => {
        machine.road.meanMs = 20;
      });
    },
    "hub-kill": () => this.#world.hub.kill(),
    "hub-kill-after-fsync": () => this.#world.hub.killAfterFsync(),
    "hub-slow-disk": () => {
      this.#world.hub.disk.fsyncMs = this.#dice.between(100, 3_000);
      this.#after(20_000, "hub's disk is fast", () => {
        this.#world.hub.disk.fsyncMs = 4;
      });
    },
    "hub-disk-full": () => {
      this.#world.hub.disk.isFull = true;
      this.#after(15_000, "hub's disk has room", () => {
        this.#world.hub.disk.isFull = false;
      });
    },
    "hub-clock-jump": () => {
      const { hub } = this.#world;
      hub.setWall(hub.wallMs() + this.#dice.between(-1, 1) * this.#dice.exponential(86_400_000));
    },
    "repeat-up": () => {
      if (this.#dice.chance(0.5)) this.#repeatUp(this.#world.tape.up(this.#dice));
      else this.#lateCopies++;
    },
    "foreign-up": () => this.#foreignUp(),
    "repeat-down": () => this.#playDown((node) => node),
    "foreign-down": ({ machine }) => this.#playDown(() => machine.name),
    "forged-down": () => this.#forgedDown(),
  };

  #suspend(agent: AgentHost): void {
    const { machine } = agent;
    const ms = this.#dice.exponential(60_000);
    machine.isAsleep = true;
    machine.road.sleeps(true);
    machine.loop.postpone(machine.name, ms);
    machine.loop.schedule(ms, WORLD, `${machine.name} wakes`, () => {
      machine.isAsleep = false;
      machine.road.sleeps(false);
      if (!this.#isOn) agent.start();
    });
  }

  /** An old message of a node comes once more over its own session. */
  #repeatUp(copy: UpCopy | undefined): void {
    const nodeId = parseNodeId(copy?.node ?? "");
    if (copy === undefined || nodeId === undefined) return;
    this.#world.hub.running?.broker.inject(nodeId, copy.kind, copy.payload);
  }

  /** What an older connection still had under way comes after the new session was opened, before its first message. */
  #sessionOpened(node: string): void {
    if (this.#lateCopies === 0 || !this.#isOn) return;
    this.#lateCopies--;
    this.#repeatUp(this.#world.tape.upOf(node, this.#dice));
  }

  /** A node says another one's words over its own session. */
  #foreignUp(): void {
    const copy = this.#world.tape.up(this.#dice);
    const liar = this.#dice.pick(this.#world.machines)?.name ?? "";
    const nodeId = parseNodeId(liar);
    if (copy === undefined || nodeId === undefined) return;
    this.#world.auditor.speaksFor(liar, copy.payload);
    this.#world.hub.running?.broker.inject(nodeId, copy.kind, copy.payload);
  }

  #playDown(to: (node: string) => string): void {
    const copy = this.#world.tape.down(this.#dice);
    const nodeId = parseNodeId(to(copy?.node ?? ""));
    if (copy === undefined || nodeId === undefined) return;
    this.#world.hub.running?.broker.injectDown(nodeId, copy.payload);
  }

  /** A broker that cannot sign changes what the hub signed: a higher revision, another program. */
  #forgedDown(): void {
    const copy = this.#world.tape.down(this.#dice);
    const nodeId = parseNodeId(copy?.node ?? "");
    if (copy === undefined || nodeId === undefined || copy.kind !== "desired") return;
    const text = new TextDecoder().decode(copy.payload);
    const forged = text.replace(
      /\\"revision\\":(\d+)/,
      (_, n: string) => `\\"revision\\":${Number(n) + 1}`,
    );
    this.#world.hub.running?.broker.injectDown(nodeId, new TextEncoder().encode(forged));
  }
}
