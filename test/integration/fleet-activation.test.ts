import { join } from "node:path";
import type { ReportedArtifact } from "@flotilla/shared/model/artifact";
import { expect, test } from "vitest";
import type { AgentProcess } from "./support/agent-process.ts";
import { apply, deployment, settled } from "./support/applications.ts";
import { cli } from "./support/cli.ts";
import { textIfThere } from "./support/hub-api.ts";
import type { HubProcess } from "./support/hub-process.ts";
import { sleep, until } from "./support/until.ts";
import { nodesReady, type World, worldOfTest } from "./support/world.ts";

const TIMEOUT_MS = 240_000;

/** Releases as a fleet's operator sees them: hub, node and workload are processes of their own. */
class Fleet {
  readonly world: World;
  readonly hub: HubProcess;
  readonly agent: AgentProcess;

  static async start(seed: number): Promise<Fleet> {
    const world = worldOfTest(seed);
    const hub = await world.startHub();
    const agent = await world.startAgent("press-1", hub);
    await nodesReady(hub, 1);
    const fleet = new Fleet(world, hub, agent);
    world.writeFile("hub.pub", await fleet.run("trust online-key"));
    await fleet.run("trust init ~/repo --keys ~/keys --online-key ~/hub.pub");
    return fleet;
  }

  private constructor(world: World, hub: HubProcess, agent: AgentProcess) {
    this.world = world;
    this.hub = hub;
    this.agent = agent;
  }

  /** Runs the CLI against the hub; `~` is the world's folder. Throws what it said when it failed. */
  async run(line: string): Promise<string> {
    const argv = line.split(" ").map((word) => word.replace(/^~/, this.world.folder));
    const { status, out, err } = await cli(this.hub.kubeconfig, argv);
    if (status !== 0) throw new Error(`flotilla ${line}: ${err}`);
    return out;
  }

  /** Releases a greeting and wants it. */
  async release(version: string, text: string, pin: Readonly<Record<string, unknown>>) {
    this.world.writeFile("greeting.txt", `${text}\n`);
    await this.run(
      `artifact push greeting ~/greeting.txt --version ${version} --format config --sign ~/repo --key ~/keys/releases-1.key`,
    );
    const artifacts = [{ name: "greeting", version, healthWindow: "1s", ...pin }];
    await apply(this.hub, "greeter", [{ ...deployment("greeter", this.#command()), artifacts }]);
  }

  /** What the workload has said, a line for each greeting that it has taken: its pid and the greeting. */
  said(): readonly (readonly [pid: string, greeting: string])[] {
    const lines = textIfThere(this.#saidFile).trimEnd().split("\n");
    return lines.map((line) => [line.split(" ")[0] ?? "", line.slice(line.indexOf(" ") + 1)]);
  }

  async reported(): Promise<ReportedArtifact | undefined> {
    const { items } = await this.hub.api.list("Assignment");
    return items[0]?.status?.reported?.artifacts?.[0];
  }

  is(phase: string, version: string): Promise<ReportedArtifact> {
    return until(
      `release ${version} to be ${phase}`,
      async () => {
        const told = await this.reported();
        return told?.phase === phase && told.version === version && told;
      },
      { timeoutMs: 90_000 },
    );
  }

  get #saidFile(): string {
    return join(this.world.folder, "said");
  }

  /** Takes its greeting at the start and at SIGHUP; one that says `broken` ends it. */
  #command(): readonly string[] {
    const file = '"$FLOTILLA_ARTIFACTS/greeting/greeting.txt"';
    const load = `read -r text < ${file}; echo "$$ $text" >> ${this.#saidFile}; [ "$text" != broken ] || exit 1`;
    return ["sh", "-c", `load() { ${load}; }; trap load HUP; load; while :; do sleep 0.1; done`];
  }
}

test(
  "a release that ends the workload is gone back from on the node, the hub says why, and the next release goes on",
  async () => {
    const fleet = await Fleet.start(611);
    await fleet.release("1.0.0", "one", {});
    await fleet.is("Active", "1.0.0");
    await settled(fleet.hub, "greeter");
    await fleet.release("1.1.0", "broken", {});
    expect(await fleet.is("RolledBack", "1.1.0")).toMatchObject({
      activeVersion: "1.0.0",
      reason: "CrashLoop",
    });
    const greetings = (): readonly string[] => fleet.said().map(([, greeting]) => greeting);
    expect(greetings()).toEqual(["one", "broken", "broken", "broken", "one"]);
    expect((await fleet.agent.ask("artifacts")).out).toMatch(
      /greeting +1\.1\.0 +RolledBack +1\.0\.0/,
    );
    expect(await fleet.run("application status greeter")).toMatch(
      /rolled greeting back to 1\.0\.0/,
    );
    expect(await fleet.run("events --type Warning")).toContain("ArtifactRolledBack");
    // Another life of the agent does not try it again.
    await fleet.agent.process.kill9();
    fleet.agent.start();
    await fleet.agent.online();
    await fleet.release("1.2.0", "three", {});
    await fleet.is("Active", "1.2.0");
    expect(greetings()).toEqual(["one", "broken", "broken", "broken", "one", "three"]);
    await settled(fleet.hub, "greeter");
  },
  TIMEOUT_MS,
);

test(
  "a running workload takes release after release by a signal, wherever its agent is killed, and a lock holds one back",
  async () => {
    const fleet = await Fleet.start(612);
    const live = { reload: "signal" };
    await fleet.release("1.0.0", "one", live);
    await fleet.is("Active", "1.0.0");
    const pid = fleet.said()[0]?.[0];
    for (const [minor, greeting] of ["two", "three", "four"].entries()) {
      await fleet.release(`1.${minor + 1}.0`, greeting, live);
      await sleep(fleet.world.between(0, 1_500));
      await fleet.agent.process.kill9();
      fleet.agent.start();
      await fleet.is("Active", `1.${minor + 1}.0`);
      expect(fleet.said().at(-1)).toEqual([pid, greeting]);
    }
    const id = (await fleet.agent.status()).instances[0]?.id ?? "";
    const locked = await fleet.agent.ask("lock", id, "--reason", "shift runs", "--for", "1h");
    expect(locked.status).toBe(0);
    await fleet.release("1.4.0", "five", live);
    const held = await until("the lock to be told", async () => {
      const told = await fleet.reported();
      return told?.phase === "Prepared" && told.reason === "UpdateLocked" && told;
    });
    expect(held).toMatchObject({ activeVersion: "1.3.0" });
    expect(held.message).toContain("shift runs");
    expect((await fleet.agent.ask("unlock", id)).out).toBe("unlocked\n");
    await fleet.is("Active", "1.4.0");
    expect(fleet.said().at(-1)).toEqual([pid, "five"]);
    await settled(fleet.hub, "greeter");
  },
  TIMEOUT_MS,
);
