import type { ChildProcess } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { freePorts, type Processes, until } from "./processes.ts";
import { TcpProxy } from "./tcp-proxy.ts";

/** Nodes of the demo. Each has a loopback address of its own, so that every one can serve the same port. */
export const NODES = [
  { name: "north-a", site: "factory-north", address: "127.0.10.1" },
  { name: "north-b", site: "factory-north", address: "127.0.10.2" },
  { name: "truck-7", site: "vehicles", address: "127.0.10.3" },
] as const;
export type DemoNode = (typeof NODES)[number];

/** Port on which the nodes of a site give each other what they fetched. */
export const PEER_PORT = 7446;

/** The node whose link is cut. */
export const TRUCK: DemoNode = NODES[2];

/** Real processes: one hub, three agents; the truck's link goes through a proxy that can be cut. */
export class DemoFleet {
  readonly #processes: Processes;
  readonly #folder: string;
  readonly #agents = new Map<string, ChildProcess>();
  #proxy: TcpProxy | undefined;
  #truckUrl = "";

  constructor(options: { readonly folder: string }, deps: { readonly processes: Processes }) {
    this.#folder = options.folder;
    this.#processes = deps.processes;
  }

  get kubeconfig(): string {
    return join(this.#folder, "hub", "kubeconfig");
  }

  stateDir(node: DemoNode): string {
    return join(this.#folder, node.name);
  }

  /** Starts the hub and waits until its API answers. */
  async startHub(): Promise<{ readonly apiPort: number; readonly mqttPort: number }> {
    const [apiPort = 0, mqttPort = 0, artifactPort = 0, uploadPort = 0] = await freePorts(4);
    this.#processes.start(
      "flotilla-hub",
      [
        "--data-dir",
        join(this.#folder, "hub"),
        "--api-listen",
        `127.0.0.1:${apiPort}`,
        "--mqtt-listen",
        `127.0.0.1:${mqttPort}`,
        "--artifact-listen",
        `127.0.0.1:${artifactPort}`,
        "--upload-listen",
        `127.0.0.1:${uploadPort}`,
      ],
      join(this.#folder, "hub.log"),
    );
    await until("the hub to answer", async () =>
      (await this.cli("version")).includes("hub ") ? true : undefined,
    );
    this.#proxy = new TcpProxy({ host: "127.0.0.1", port: mqttPort });
    this.#truckUrl = `mqtts://127.0.0.1:${await this.#proxy.listen()}`;
    return { apiPort, mqttPort };
  }

  /** Runs the CLI against this hub. */
  cli(...args: string[]): Promise<string> {
    return this.#processes.run("flotilla", ["--kubeconfig", this.kubeconfig, ...args]);
  }

  /** Runs a script of the checkout and returns what it prints. */
  script(path: string, ...args: string[]): Promise<string> {
    return this.#processes.script(path, args);
  }

  /** Enrols a node with a token of its own and starts its agent. */
  async enrol(node: DemoNode): Promise<void> {
    const joinString = (
      await this.cli("node", "join-token", "--site", node.site, "--node", node.name)
    ).trim();
    mkdirSync(this.stateDir(node), { recursive: true, mode: 0o700 });
    await this.#processes.run("flotilla-agent", [
      "join",
      joinString,
      "--state-dir",
      this.stateDir(node),
      "--node-name",
      node.name,
    ]);
    this.startAgent(node);
  }

  /** Starts the agent of an enrolled node. */
  startAgent(node: DemoNode): void {
    const viaProxy = node === TRUCK ? ["--mqtt-url", this.#truckUrl] : [];
    const args = [
      "run",
      "--state-dir",
      this.stateDir(node),
      "--node-address",
      node.address,
      "--work-dir",
      process.cwd(),
      "--peer-listen",
      `${node.address}:${PEER_PORT}`,
      ...viaProxy,
    ];
    this.#agents.set(
      node.name,
      this.#processes.start("flotilla-agent", args, join(this.#folder, `${node.name}.log`)),
    );
  }

  /** kill -9. */
  async killAgent(node: DemoNode): Promise<void> {
    const agent = this.#agents.get(node.name);
    if (agent === undefined) return;
    const ended = new Promise<void>((resolve) => agent.once("exit", () => resolve()));
    agent.kill("SIGKILL");
    await ended;
  }

  cutLink(): void {
    this.#proxy?.cut();
  }

  healLink(): void {
    this.#proxy?.heal();
  }

  close(): void {
    this.#proxy?.close();
  }

  /** Placements as the hub has them. */
  async assignments(): Promise<readonly ObjectOf<"Assignment">[]> {
    const list: { items: ObjectOf<"Assignment">[] } = JSON.parse(
      await this.cli("get", "assignments", "-o", "json"),
    );
    return list.items;
  }

  async nodes(): Promise<readonly ObjectOf<"EdgeNode">[]> {
    const list: { items: ObjectOf<"EdgeNode">[] } = JSON.parse(
      await this.cli("get", "edgenodes", "-o", "json"),
    );
    return list.items;
  }

  /** Sum of one metric of all agents, by the value of one label. */
  async agentMetric(name: string, label: string): Promise<ReadonlyMap<string, number>> {
    const sums = new Map<string, number>();
    for (const node of NODES) {
      const text = await this.#processes.run("flotilla-agent", [
        "metrics",
        "--state-dir",
        this.stateDir(node),
      ]);
      for (const [, labels = "", value = ""] of text.matchAll(
        new RegExp(`^${name}\\{(.*)\\} (\\S+)$`, "gm"),
      )) {
        const key = new RegExp(`${label}="([^"]*)"`).exec(labels)?.[1] ?? "";
        sums.set(key, (sums.get(key) ?? 0) + Number(value));
      }
    }
    return sums;
  }

  /** What the node's own agent says, over its local socket; works without the hub. */
  async localStatus(node: DemoNode): Promise<string> {
    return this.#processes.run("flotilla-agent", ["status", "--state-dir", this.stateDir(node)]);
  }
}
