import { join } from "node:path";
import type { ReportedArtifact } from "@flotilla/shared/model/artifact";
import { expect, onTestFinished, test } from "vitest";
import type { AgentProcess } from "./support/agent-process.ts";
import { apply, deployment } from "./support/applications.ts";
import { cli } from "./support/cli.ts";
import { textIfThere } from "./support/hub-api.ts";
import type { HubProcess } from "./support/hub-process.ts";
import { type Answered, Meddler, type Meddling } from "./support/meddler.ts";
import { until } from "./support/until.ts";
import { freePort, nodesReady, type World, worldOfTest } from "./support/world.ts";

const TIMEOUT_MS = 240_000;
/** More than any disk has. */
const WHOLE_DISK_BYTES = 10 ** 15;

/** A fleet whose artifacts come through somebody who meddles with them. */
class Fleet {
  readonly world: World;
  readonly hub: HubProcess;
  readonly agent: AgentProcess;
  readonly meddler: Meddler;
  #minor = -1;

  static async start(seed: number): Promise<Fleet> {
    const world = worldOfTest(seed);
    const port = await freePort();
    const hub = await world.makeHub("hub", { advertisedArtifactPort: port });
    await hub.start();
    const agent = await world.startAgent("press-1", hub);
    await nodesReady(hub, 1);
    const meddler = await Meddler.start(port, hub, agent);
    onTestFinished(() => meddler.close());
    const fleet = new Fleet({ world, hub, agent, meddler });
    world.writeFile("hub.pub", await fleet.run("trust online-key"));
    await fleet.run("trust init ~/repo --keys ~/keys --online-key ~/hub.pub");
    await fleet.release();
    await fleet.activeIs("1.0.0");
    return fleet;
  }

  private constructor(of: Pick<Fleet, "world" | "hub" | "agent" | "meddler">) {
    this.world = of.world;
    this.hub = of.hub;
    this.agent = of.agent;
    this.meddler = of.meddler;
  }

  async run(line: string): Promise<string> {
    const argv = line.split(" ").map((word) => word.replace(/^~/, this.world.folder));
    const { status, out, err } = await cli(this.hub.kubeconfig, argv);
    if (status !== 0) throw new Error(`flotilla ${line}: ${err}`);
    return out;
  }

  /** Pushes the next version of the greeting and wants it. Returns the version. */
  async release(): Promise<string> {
    this.#minor += 1;
    const version = `1.${this.#minor}.0`;
    this.world.writeFile("greeting.txt", `${version}\n`);
    await this.run(
      `artifact push greeting ~/greeting.txt --version ${version} --format config --sign ~/repo --key ~/keys/releases-1.key`,
    );
    const artifacts = [{ name: "greeting", version, healthWindow: "1s", reload: "signal" }];
    await apply(this.hub, "greeter", [{ ...deployment("greeter", this.#command()), artifacts }]);
    return version;
  }

  /** The greetings that the workload has taken, without a restart in between. */
  said(): readonly string[] {
    return textIfThere(this.#saidFile).trimEnd().split("\n");
  }

  async reported(): Promise<ReportedArtifact | undefined> {
    const { items } = await this.hub.api.list("Assignment");
    return items[0]?.status?.reported?.artifacts?.[0];
  }

  activeIs(version: string): Promise<unknown> {
    return until(
      `${version} to be active`,
      async () => {
        const told = await this.reported();
        return told?.phase === "Active" && told.activeVersion === version;
      },
      { timeoutMs: 120_000, seen: () => this.agent.output.split("\n").slice(-5) },
    );
  }

  /** Waits until hub and node say why `version` is not there; returns the hub's words. */
  async refused(version: string, reason: string): Promise<ReportedArtifact> {
    const told = await until(
      `${reason} to be told of ${version}`,
      async () => {
        const now = await this.reported();
        return now?.version === version && now.reason === reason && now;
      },
      { timeoutMs: 120_000, seen: () => this.agent.output.split("\n").slice(-5) },
    );
    const { out } = await this.agent.ask("artifacts");
    if (!out.includes(reason)) throw new Error(`the node says nothing of ${reason}: ${out}`);
    return told;
  }

  events(): Promise<string> {
    return this.run("events --type Warning");
  }

  /** A new life of the agent, which has forgotten what it thinks of the way to the hub. */
  async restartAgent(args: readonly string[] = []): Promise<void> {
    await this.agent.process.kill9();
    this.agent.start({ args });
    await this.agent.online();
  }

  get #saidFile(): string {
    return join(this.world.folder, "said");
  }

  #command(): readonly string[] {
    const load = `cat "$FLOTILLA_ARTIFACTS/greeting/greeting.txt" >> ${this.#saidFile}`;
    return ["sh", "-c", `trap '${load}' HUP; ${load}; while :; do sleep 0.1; done`];
  }
}

const isPayload = ({ path }: Answered): boolean => path.startsWith("payloads/");
const payloads =
  (meddle: Meddling): Meddling =>
  (answered) =>
    isPayload(answered) ? meddle(answered) : {};

test(
  "bytes that are not what was signed, and answers that are none: the version before runs on, and hub and node say why",
  async () => {
    const fleet = await Fleet.start(701);
    fleet.meddler.meddle = payloads(({ body }) => ({ body: Buffer.from(body.map((b) => b ^ 1)) }));
    const altered = await fleet.release();
    expect(await fleet.refused(altered, "source-misbehaves")).toMatchObject({
      phase: "Downloading",
      activeVersion: "1.0.0",
    });
    expect(await fleet.events()).toMatch(/ArtifactFetchFailed.*not what was signed/);
    expect(fleet.said()).toEqual(["1.0.0"]);
    fleet.meddler.meddle = () => ({});
    await fleet.activeIs(altered);

    const answers: readonly (readonly [string, Meddling])[] = [
      ["it answers 200", () => ({ status: 200 })],
      ["it sends more than", ({ body }) => ({ body: Buffer.concat([body, body]) })],
      ["bytes", ({ body }) => ({ body: body.subarray(1) })],
      ["it answers the range", () => ({ headers: { "content-range": "bytes 1-2/3" } })],
    ];
    for (const [why, meddling] of answers) {
      await fleet.restartAgent();
      fleet.meddler.meddle = payloads(meddling);
      const version = await fleet.release();
      await fleet.activeIs(version);
      const told = (await fleet.events())
        .split("\n")
        .filter((e) => e.includes("source-misbehaves"));
      expect(told.join("\n")).toContain(why);
      expect(await fleet.events()).toContain("ArtifactServerFailed");
    }
    expect(fleet.said()).toEqual(["1.0.0", "1.1.0", "1.2.0", "1.3.0", "1.4.0", "1.5.0"]);
  },
  TIMEOUT_MS,
);

test(
  "metadata older than stored, a mix of two releases, and a disk without room: the version before runs on, and hub and node say why",
  async () => {
    const fleet = await Fleet.start(702);
    const seen = new Map<string, Buffer>();
    fleet.meddler.meddle = ({ path, body }) => {
      if (path.startsWith("metadata/")) seen.set(path, body);
      return {};
    };
    await fleet.activeIs(await fleet.release());
    const old = new Map(seen);
    await fleet.activeIs(await fleet.release());

    fleet.meddler.meddle = ({ path }) => {
      const body = path === "metadata/timestamp.json" ? old.get(path) : undefined;
      return body === undefined ? {} : { body };
    };
    const older = await fleet.release();
    expect(await fleet.refused(older, "metadata-rolled-back")).toMatchObject({
      activeVersion: "1.2.0",
    });
    const node = await fleet.hub.api.get("EdgeNode", "press-1");
    expect(node.status?.conditions).toContainEqual(
      expect.objectContaining({ type: "TrustRefused", status: "True" }),
    );
    fleet.meddler.meddle = () => ({});
    await fleet.restartAgent();
    await fleet.activeIs(older);

    const lists = [...old].filter(([path]) => /metadata\/\d+\.releases\.json$/.test(path));
    fleet.meddler.meddle = ({ path }) => {
      const body = /metadata\/\d+\.releases\.json$/.test(path) ? lists.at(-1)?.[1] : undefined;
      return body === undefined ? {} : { body };
    };
    const mixed = await fleet.release();
    expect(await fleet.refused(mixed, "metadata-mixed")).toMatchObject({ activeVersion: older });
    fleet.meddler.meddle = () => ({});
    await fleet.restartAgent(["--disk-reserve-bytes", `${WHOLE_DISK_BYTES}`]);
    const told = await fleet.refused(mixed, "disk-reserve");
    expect(told).toMatchObject({ activeVersion: older });
    expect(told.message).toContain("free beyond the reserve");
    await fleet.restartAgent();
    await fleet.activeIs(mixed);
    expect(fleet.said()).toEqual(["1.0.0", "1.1.0", "1.2.0", older, mixed]);
  },
  TIMEOUT_MS,
);
