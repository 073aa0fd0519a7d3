import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { SeededRandom } from "@flotilla/shared/testing/seeded-random";
import { inject, onTestFinished } from "vitest";
import { AgentProcess } from "./agent-process.ts";
import { textIfThere } from "./hub-api.ts";
import { HubProcess } from "./hub-process.ts";
import { until } from "./until.ts";

/** Below the range from which the kernel takes ports of outgoing connections, so that a restarted hub finds its own free. */
const PORT_MIN = 20_000;
const PORT_MAX = 32_000;
const LOG_TAIL_LINES = 25;

/** Real processes of one test or one file, and everything that has to go with them. */
export class World {
  readonly folder: string = mkdtempSync(join(tmpdir(), "flotilla-fleet-"));
  readonly seed: number;
  readonly random: SeededRandom;
  readonly #programs: string = inject("programs");
  readonly #hubs: HubProcess[] = [];
  readonly #agents: AgentProcess[] = [];
  readonly #onExit = (): void => this.#killNow();

  /** The seed is FLOTILLA_TEST_SEED when that is set. */
  constructor(options: { readonly seed: number }) {
    const given = Number(process.env["FLOTILLA_TEST_SEED"] ?? options.seed);
    this.seed = Number.isSafeInteger(given) ? given : options.seed;
    this.random = new SeededRandom(this.seed);
    process.once("exit", this.#onExit);
  }

  /** A whole number from `min` to `max`. */
  between(min: number, max: number): number {
    return min + Math.floor(this.random.unit("test") * (max - min + 1));
  }

  /** A hub on ports of its own, not started. */
  async makeHub(
    name = "hub",
    given: { readonly advertisedArtifactPort?: number } = {},
  ): Promise<HubProcess> {
    const [apiPort, mqttPort] = [await freePort(), await freePort()];
    const [artifactPort, uploadPort] = [await freePort(), await freePort()];
    const hub = new HubProcess({
      programs: this.#programs,
      folder: this.folder,
      name,
      apiPort,
      mqttPort,
      artifactPort,
      uploadPort,
      ...given,
    });
    this.#hubs.push(hub);
    return hub;
  }

  async startHub(name = "hub"): Promise<HubProcess> {
    const hub = await this.makeHub(name);
    await hub.start();
    return hub;
  }

  /** An agent with a state directory of its own, neither enrolled nor started. */
  makeAgent(node: string, given: { readonly directory?: string } = {}): AgentProcess {
    const agent = new AgentProcess({
      programs: this.#programs,
      folder: this.folder,
      node,
      ...given,
    });
    this.#agents.push(agent);
    return agent;
  }

  /** An agent that is enrolled and runs. */
  async startAgent(node: string, hub: HubProcess, site = "plant"): Promise<AgentProcess> {
    const agent = this.makeAgent(node);
    await agent.join(await joinString(hub, { site, nodeName: node }));
    agent.start();
    return agent;
  }

  /** Ends everything. */
  async end(): Promise<void> {
    process.off("exit", this.#onExit);
    await Promise.all([...this.#hubs.map((h) => h.end()), ...this.#agents.map((a) => a.end())]);
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** For a failure: the seed, and the ends of all logs. */
  describe(): string {
    const logs = [
      ...this.#hubs.map((h) => `${h.dataDir}.log`),
      ...this.#agents.map((a) => `${a.stateDir}.log`),
    ];
    const tails = [...new Set(logs)].map(
      (path) => `--- ${path}\n${textIfThere(path).split("\n").slice(-LOG_TAIL_LINES).join("\n")}`,
    );
    return `seed ${this.seed} (FLOTILLA_TEST_SEED=${this.seed} repeats it)\n${tails.join("\n")}\n`;
  }

  /** File in which each start of a workload that uses `countingCommand` leaves a line. */
  get startsFile(): string {
    return join(this.folder, "starts");
  }

  /** Starts so far, by instance. */
  starts(): ReadonlyMap<string, number> {
    const counts = new Map<string, number>();
    for (const line of textIfThere(this.startsFile).split("\n")) {
      const instance = line.split(" ")[0] ?? "";
      if (instance !== "") counts.set(instance, (counts.get(instance) ?? 0) + 1);
    }
    return counts;
  }

  /** A workload that leaves a line at each start, then stays. */
  countingCommand(marker = ""): readonly string[] {
    return [
      "sh",
      "-c",
      `echo "$FLOTILLA_INSTANCE $$ ${marker}" >> ${this.startsFile}; exec sleep 1000`,
    ];
  }

  writeFile(name: string, text: string): string {
    const path = join(this.folder, name);
    writeFileSync(path, text);
    return path;
  }

  #killNow(): void {
    for (const hub of this.#hubs) hub.killNow();
    for (const agent of this.#agents) agent.killNow();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A world for one test: a failure prints its seed and logs, and nothing of it outlives the test. */
export function worldOfTest(seed: number): World {
  const world = new World({ seed });
  onTestFinished(async ({ task }) => {
    if (task.result?.state === "fail") process.stderr.write(world.describe());
    await world.end();
  });
  return world;
}

/** A join string, as `flotilla node join-token` gets it. */
export async function joinString(
  hub: HubProcess,
  spec: { readonly site: string; readonly nodeName?: string; readonly ttl?: string },
): Promise<string> {
  const token: ObjectOf<"JoinToken"> = JSON.parse(
    (
      await hub.api.request("POST", "/apis/edge.kurator.dev/v1alpha1/jointokens", {
        apiVersion: "edge.kurator.dev/v1alpha1",
        kind: "JoinToken",
        metadata: { generateName: "test-" },
        spec,
      })
    ).text,
  );
  const text = token.status?.joinString;
  if (text === undefined) throw new Error(`no join string: ${JSON.stringify(token)}`);
  return text;
}

/** Waits until nodes have reported and are ready. */
export async function nodesReady(hub: HubProcess, count: number): Promise<void> {
  await until(`${count} ready nodes`, async () => {
    const { items } = await hub.api.list("EdgeNode");
    return items.filter((n) => n.status?.life === "ready").length === count;
  });
}

export async function freePort(): Promise<number> {
  for (;;) {
    const port = PORT_MIN + Math.floor(Math.random() * (PORT_MAX - PORT_MIN));
    if (await isFree(port)) return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
