import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { AgentProcess } from "./support/agent-process.ts";
import { apply, converged, deployment, job, settled } from "./support/applications.ts";
import { cli } from "./support/cli.ts";
import type { HubProcess } from "./support/hub-process.ts";
import { until } from "./support/until.ts";
import { nodesReady, World } from "./support/world.ts";

const TIMEOUT_MS = 90_000;

/** One fleet for the whole file: these tests harm nothing that the next one needs. */
let world: World;
let hub: HubProcess;
let agents: readonly AgentProcess[];
beforeAll(async () => {
  world = new World({ seed: 711 });
  hub = await world.startHub();
  agents = await Promise.all(["n1", "n2"].map((node) => world.startAgent(node, hub)));
  await nodesReady(hub, 2);
}, TIMEOUT_MS);
afterEach(async ({ task }) => {
  if (task.result?.state === "fail") process.stderr.write(world.describe());
  for (const { metadata } of (await hub.api.list("Application")).items)
    await hub.api.remove("Application", metadata.name);
  await until("nothing to run", () => agents.every((a) => a.copies().length === 0));
});
afterAll(() => world.end());

async function flotilla(...argv: string[]): Promise<string> {
  const { status, out, err } = await cli(hub.kubeconfig, argv);
  if (status !== 0) throw new Error(`flotilla ${argv.join(" ")} ended with ${status}: ${err}`);
  return out;
}

async function instance(name: string): Promise<ObjectOf<"Assignment">> {
  return hub.api.get("Assignment", name);
}

function agentOf(node: string | undefined): AgentProcess {
  const agent = agents.find((a) => a.node === node);
  if (agent === undefined) throw new Error(`no agent of node ${node}`);
  return agent;
}

test(
  "a command that does not exist, a file that cannot be executed and a folder that is none say so everywhere, and nothing else suffers",
  async () => {
    const text = world.writeFile("not-a-program", "#!/bin/sh\necho hi\n");
    await apply(hub, "bad", [
      deployment("missing", ["/opt/nothing/here"]),
      deployment("unknown", ["no-such-program-7f3a"]),
      deployment("plain", [text]),
      deployment("folder", ["sleep", "1000"], { container: { workingDir: "/no/such/folder" } }),
      deployment("good", world.countingCommand()),
    ]);
    const expected = {
      "bad-missing-0": /\/opt\/nothing\/here/,
      "bad-unknown-0": /no-such-program-7f3a/,
      "bad-plain-0": /not-a-program/,
      "bad-folder-0": /\/no\/such\/folder/,
    };
    for (const [name, words] of Object.entries(expected)) {
      const { node, desired } = (await until(`${name} to exist`, () => instance(name))).spec;
      const reported = await until(`${name} to be reported with its reason`, async () => {
        const { status } = await instance(name);
        return words.test(status?.reported?.message ?? "") && status?.reported;
      });
      expect(reported.ready, name).toBe(false);
      expect(reported.reason, name).toMatch(/^[A-Z][A-Za-z]+$/);
      const why = await agentOf(node).ask("why", desired.id);
      expect(why.out, name).toMatch(words);
      expect(await flotilla("application", "status", "bad"), name).toMatch(words);
      const pods = await hub.api.request("GET", `/api/v1/namespaces/default/pods/${name}`);
      expect(pods.text, name).toMatch(words);
      const table = await podTable();
      expect(table.get(name), name).not.toMatch(/^(Running|Completed|)$/);
    }
    await until(
      "the good one to run",
      async () => (await instance("bad-good-0")).status?.reported?.ready,
    );
    expect((await podTable()).get("bad-good-0")).toBe("Running");
    expect((await hub.api.request("GET", "/readyz")).status).toBe(200);
  },
  TIMEOUT_MS,
);

/** Column STATUS of `kubectl get pods`: the hub makes the table, kubectl prints it. */
async function podTable(): Promise<ReadonlyMap<string, string>> {
  const { out } = await cli(hub.kubeconfig, ["get", "pods"]);
  const [head = "", ...rows] = out.trimEnd().split("\n");
  const at = head.indexOf("STATUS");
  return new Map(
    rows.map((row) => [row.split(/\s+/)[0] ?? "", row.slice(at).split(/\s{2,}/)[0] ?? ""]),
  );
}

test(
  "a Job runs its completions, no more than its parallelism at a time, and is done",
  async () => {
    const trace = join(world.folder, "trace");
    const command = [
      "sh",
      "-c",
      `echo "+ $FLOTILLA_INSTANCE" >> ${trace}; sleep 0.3; echo "- $FLOTILLA_INSTANCE" >> ${trace}`,
    ];
    await apply(hub, "batch", [job("work", command, { spec: { completions: 5, parallelism: 2 } })]);
    const { status } = await settled(hub, "batch");
    expect(status?.phase).toBe("Completed");
    const lines = readFileSync(trace, "utf8").trimEnd().split("\n");
    expect(lines.filter((l) => l.startsWith("+"))).toHaveLength(5);
    expect(new Set(lines).size).toBe(10);
    let running = 0;
    for (const line of lines) {
      running += line.startsWith("+") ? 1 : -1;
      expect(running).toBeLessThanOrEqual(2);
    }
  },
  TIMEOUT_MS,
);

test(
  "a Job that fails is tried again backoffLimit times and then has failed, with its exit code; nothing more is started",
  async () => {
    const tries = join(world.folder, "tries");
    const failing = ["sh", "-c", `echo "$FLOTILLA_INSTANCE" >> ${tries}; exit 3`];
    await apply(hub, "fails", [
      // As the article writes it: restartPolicy beside the pod's spec.
      job("train", failing, {
        spec: { completions: 2, parallelism: 1, backoffLimit: 2 },
        template: { restartPolicy: "Never" },
      }),
    ]);
    await until("the Job to have failed", async () => {
      const { status } = await hub.api.get("Application", "fails");
      return status?.components?.[0]?.failed === 1;
    });
    const { spec, status } = await instance("fails-train-0");
    expect(spec.desired.restartPolicy).toBe("Never");
    expect(status?.reported).toMatchObject({ phase: "Failed", exitCode: 3, restartCount: 2 });
    expect(readFileSync(tries, "utf8").trimEnd().split("\n")).toHaveLength(3);
    expect((await hub.api.list("Assignment")).items).toHaveLength(1);
    expect(await flotilla("application", "status", "fails")).toMatch(/Failed/);
    expect((await hub.api.get("Application", "fails")).status?.phase).toBe("Degraded");
  },
  TIMEOUT_MS,
);

test(
  "a drain empties a node, the workloads appear elsewhere, each in one copy, and what was elsewhere is not restarted",
  async () => {
    await apply(hub, "shop", [deployment("web", world.countingCommand(), { replicas: 4 })]);
    await settled(hub, "shop");
    const [first, second] = agents;
    if (first === undefined || second === undefined) throw new Error("two agents run");
    const stayed = second.copies().map((c) => c.pid);
    expect(first.copies().length).toBeGreaterThan(0);
    expect(await flotilla("node", "drain", "n1")).toBe("node/n1 draining\n");
    await until("the node to be empty", () => first.copies().length === 0);
    await settled(hub, "shop");
    expect(second.copies()).toHaveLength(4);
    for (const pid of stayed) expect(second.copies().map((c) => c.pid)).toContain(pid);
    const drained = await until("the condition Drained", async () =>
      (await hub.api.get("EdgeNode", "n1")).status?.conditions?.find((c) => c.type === "Drained"),
    );
    expect(drained.status).toBe("True");
    await flotilla("node", "uncordon", "n1");
    await converged(hub);
  },
  TIMEOUT_MS,
);

test(
  "what runs on a node is what its accepted desired state asks for, and what is not asked for any more stops",
  async () => {
    await apply(hub, "shop", [deployment("web", world.countingCommand(), { replicas: 4 })]);
    await settled(hub, "shop");
    for (const replicas of [2, 3, 0]) {
      await apply(hub, "shop", [deployment("web", world.countingCommand(), { replicas })]);
      await until(`${replicas} copies`, () => copies().length === replicas);
      await converged(hub);
      const { items } = await hub.api.list("Assignment");
      expect(copies()).toEqual(
        items.map((a) => `${a.spec.desired.id} on ${a.spec.node}`).toSorted(),
      );
    }
  },
  TIMEOUT_MS,
);

function copies(): readonly string[] {
  return agents.flatMap((a) => a.copies().map((c) => `${c.instance} on ${a.node}`)).toSorted();
}

test(
  "desired revisions that a node accepts only grow, and it remembers the highest outside of its database",
  async () => {
    const [agent] = agents;
    if (agent === undefined) throw new Error("an agent runs");
    let before = (await agent.status()).acceptedRevision;
    for (const replicas of [2, 4, 1, 3]) {
      await apply(hub, "shop", [
        deployment("web", world.countingCommand(), { replicas, pod: { nodeName: agent.node } }),
      ]);
      await settled(hub, "shop");
      const { acceptedRevision } = await agent.status();
      expect(acceptedRevision).toBeGreaterThan(before);
      before = acceptedRevision;
    }
    const file = join(agent.stateDir, "epoch");
    expect(JSON.parse(readFileSync(file, "utf8"))).toMatchObject({ revision: before });
  },
  TIMEOUT_MS,
);

test(
  "no node is given more than it has: what does not fit waits, says why, and is placed when there is room",
  async () => {
    const { items } = await hub.api.list("EdgeNode");
    const milliCpu = items[0]?.status?.capacity?.milliCpu ?? 0;
    expect(milliCpu).toBeGreaterThan(0);
    const half = `${Math.floor(milliCpu * 0.6)}m`;
    const large = (replicas: number) =>
      deployment("web", world.countingCommand(), {
        replicas,
        container: { resources: { requests: { cpu: half, memory: "8Mi" } } },
      });
    await apply(hub, "shop", [large(3)]);
    await until("two to be ready", async () => {
      const { status } = await hub.api.get("Application", "shop");
      return status?.components?.[0]?.ready === 2;
    });
    const placed = (await hub.api.list("Assignment")).items;
    for (const node of items) {
      const own = placed.filter((a) => a.spec.node === node.metadata.name);
      const requested = own.reduce((sum, a) => sum + a.spec.requests.milliCpu, 0);
      expect(requested).toBeLessThanOrEqual(node.status?.capacity?.milliCpu ?? 0);
    }
    const waiting = placed.find((a) => a.spec.node === undefined);
    expect(waiting?.status?.message ?? "").toMatch(/cpu/i);
    expect(await flotilla("why", waiting?.metadata.name ?? "")).toMatch(/cpu/i);
    await apply(hub, "shop", [large(2)]);
    await settled(hub, "shop");
  },
  TIMEOUT_MS,
);
