import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ReportedArtifact } from "@flotilla/shared/model/artifact";
import { expect, test } from "vitest";
import type { AgentProcess } from "./support/agent-process.ts";
import { apply, deployment, settled } from "./support/applications.ts";
import { cli } from "./support/cli.ts";
import type { HubProcess } from "./support/hub-process.ts";
import { until } from "./support/until.ts";
import { nodesReady, type World, worldOfTest } from "./support/world.ts";
import { wallClockOf } from "./support/wrong-clock.ts";

const TIMEOUT_MS = 180_000;
/** 14 months after the first releases were signed, and after everything has expired. */
const LATER = "2028-01-25 12:00:00";

/** Runs the CLI against a hub; `~` is the world's folder. Throws what it said when it failed. */
async function run(world: World, hub: HubProcess, line: string): Promise<string> {
  const argv = line.split(" ").map((word) => word.replace(/^~/, world.folder));
  const { status, out, err } = await cli(hub.kubeconfig, argv);
  if (status !== 0) throw new Error(`flotilla ${line}: ${err}`);
  return out;
}

/** A hub with trust of its own, and a node. */
async function startTrusted(world: World): Promise<{ hub: HubProcess; agent: AgentProcess }> {
  const hub = await world.startHub();
  const agent = await world.startAgent("press-1", hub);
  await nodesReady(hub, 1);
  world.writeFile("hub.pub", await run(world, hub, "trust online-key"));
  await run(world, hub, "trust init ~/repo --keys ~/keys --online-key ~/hub.pub");
  return { hub, agent };
}

const push = (world: World, hub: HubProcess, version: string): Promise<string> => {
  world.writeFile("greeting.txt", `greeting of ${version}\n`);
  return run(
    world,
    hub,
    `artifact push greeting ~/greeting.txt --version ${version} --format config --sign ~/repo --key ~/keys/releases-1.key`,
  );
};

/** An instance that copies what it was given to a file, then stays. */
async function want(world: World, hub: HubProcess, version: string): Promise<void> {
  const script = `cat "$FLOTILLA_ARTIFACTS/greeting/greeting.txt" >> ${said(world)}; exec sleep 1000`;
  await apply(hub, "greeter", [
    {
      ...deployment("greeter", ["sh", "-c", script]),
      artifacts: [{ name: "greeting", version, healthWindow: "1s" }],
    },
  ]);
}

const said = (world: World): string => join(world.folder, "said");
const linesSaid = (world: World): readonly string[] =>
  readFileSync(said(world), "utf8").trimEnd().split("\n");

async function reported(hub: HubProcess): Promise<ReportedArtifact | undefined> {
  const { items } = await hub.api.list("Assignment");
  return items[0]?.status?.reported?.artifacts?.[0];
}

const activeIs = (hub: HubProcess, version: string): Promise<unknown> =>
  until(
    `release ${version} to be active`,
    async () => {
      const artifact = await reported(hub);
      return artifact?.phase === "Active" && artifact.activeVersion === version;
    },
    { timeoutMs: 90_000 },
  );

test(
  "a node installs what is signed, refuses to go back without a rule and says why, and goes back by a signed one",
  async () => {
    const world = worldOfTest(501);
    const { hub } = await startTrusted(world);
    for (const version of ["1.0.0", "1.1.0"]) {
      await push(world, hub, version);
      await want(world, hub, version);
      await activeIs(hub, version);
      await settled(hub, "greeter");
    }
    expect(linesSaid(world)).toEqual(["greeting of 1.0.0", "greeting of 1.1.0"]);
    const { status } = await hub.api.get("EdgeNode", "press-1");
    expect(status?.artifacts?.trust).toMatchObject({ rootVersion: 1, isAttested: true });

    await want(world, hub, "1.0.0");
    await until("the refusal to be told", async () => {
      const artifact = await reported(hub);
      return artifact?.reason === "release-rolled-back" && artifact.activeVersion === "1.1.0";
    });
    const node = await hub.api.get("EdgeNode", "press-1");
    expect(node.status?.artifacts?.trust?.refusal).toMatchObject({ code: "release-rolled-back" });

    await run(
      world,
      hub,
      "trust sign ~/repo --role releases --key ~/keys/releases-1.key --artifact greeting --release-counter 2 --rollback-to 1",
    );
    await run(world, hub, "trust publish ~/repo");
    await activeIs(hub, "1.0.0");
    expect(linesSaid(world).at(-1)).toBe("greeting of 1.0.0");
  },
  TIMEOUT_MS,
);

test(
  "14 months later and without the hub the node starts what it has; a file that was altered is not started",
  async () => {
    const world = worldOfTest(502);
    const { hub, agent } = await startTrusted(world);
    await push(world, hub, "1.0.0");
    await want(world, hub, "1.0.0");
    await activeIs(hub, "1.0.0");
    await hub.end();
    await agent.end();

    agent.start({ env: wallClockOf(LATER) });
    await until("the workload to be started again", () => linesSaid(world).length === 2);
    expect(linesSaid(world)).toEqual(["greeting of 1.0.0", "greeting of 1.0.0"]);
    await agent.end();

    const slots = join(agent.stateDir, "artifacts", "slots");
    const file = readdirSync(slots, { recursive: true, withFileTypes: true }).find(
      (entry) => entry.isFile() && entry.name === "greeting.txt",
    );
    writeFileSync(join(file?.parentPath ?? "", "greeting.txt"), "greeting of a stranger\n");
    agent.start({ env: wallClockOf(LATER) });
    await until("the damage to be noticed", async () => {
      const { out } = await agent.ask("status");
      return out.includes("Pending") && out;
    });
    expect(linesSaid(world)).toHaveLength(2);
  },
  TIMEOUT_MS,
);
