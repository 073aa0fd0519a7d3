import { expect, test } from "vitest";
import { apply, converged, deployment, job, settled } from "./support/applications.ts";
import { until } from "./support/until.ts";
import { joinString, nodesReady, worldOfTest } from "./support/world.ts";
import { wallClockOf, wallClockReachesOpenSsl } from "./support/wrong-clock.ts";

const TIMEOUT_MS = 120_000;

const DAY_MS = 86_400_000;

function dateIn(days: number): string {
  return new Date(Date.now() + days * DAY_MS).toISOString().slice(0, 19).replace("T", " ");
}

/** No battery behind the clock; a clock that is far ahead, yet within the life of the hub's server certificates. */
const CLOCKS = [
  { name: "is at 1970", time: "1970-01-01 00:00:10" },
  { name: "is more than a year ahead", time: dateIn(400) },
] as const;
/** Beyond the life of every server certificate that the hub has now. */
const FAR_FUTURE = "2045-06-01 00:00:00";

test.each(CLOCKS)(
  "a device whose clock $name enrols, connects, runs what it is told and reports",
  async ({ time }) => {
    const world = worldOfTest(600);
    const hub = await world.startHub();
    const agent = world.makeAgent("n1");
    await agent.join(await joinString(hub, { site: "plant" }), wallClockOf(time));
    agent.start({ env: wallClockOf(time) });
    await nodesReady(hub, 1);
    await apply(hub, "shop", [
      deployment("web", world.countingCommand(), { replicas: 2 }),
      job("once", ["sh", "-c", "exit 0"]),
    ]);
    await settled(hub, "shop");
    await converged(hub);
    expect(agent.copies()).toHaveLength(2);
    const { items } = await hub.api.list("Assignment");
    for (const { status } of items)
      expect(status?.reported?.startedAt).toMatch(new RegExp(`^${time.slice(0, 4)}`));
    await agent.online();
    // By such a clock every new certificate is past its half at once: it must not ask for the next one again and again.
    const renewals = agent.output.split("certificate renewed").length - 1;
    expect(renewals).toBeLessThanOrEqual(2);
  },
  TIMEOUT_MS,
);

test(
  "a clock that jumps restarts nothing; too far ahead the node is cut off, says why, runs on, and is back with the right time",
  async () => {
    const world = worldOfTest(601);
    const hub = await world.startHub();
    const agent = await world.startAgent("n1", hub);
    await nodesReady(hub, 1);
    await apply(hub, "shop", [deployment("web", world.countingCommand(), { replicas: 2 })]);
    await settled(hub, "shop");
    const pids = agent.copies().map((c) => c.pid);
    const restart = async (env: Readonly<Record<string, string>>): Promise<void> => {
      expect(await agent.process.terminate()).toBe(0);
      agent.start({ env });
    };
    for (const { time } of CLOCKS) {
      await restart(wallClockOf(time));
      await agent.online();
      expect(agent.copies().map((c) => c.pid)).toEqual(pids);
    }
    await restart(wallClockOf(FAR_FUTURE));
    // Where only JavaScript sees the clock, OpenSSL finds the certificates good and the node stays connected.
    await until("the agent to say why it is cut off", async () => {
      const { link } = await agent.status();
      return wallClockReachesOpenSsl
        ? !link.connected && link.detail.includes("certificate has expired")
        : link.connected;
    });
    expect(agent.copies().map((c) => c.pid)).toEqual(pids);
    await restart({});
    await agent.online();
    await apply(hub, "shop", [deployment("web", world.countingCommand(), { replicas: 3 })]);
    await settled(hub, "shop");
    await converged(hub);
    expect([...world.starts().values()]).toEqual([1, 1, 1]);
  },
  TIMEOUT_MS,
);
