import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { DesiredInstance } from "@flotilla/shared/model/desired-state";
import { afterEach, beforeEach, expect, test } from "vitest";
import { processesOf, realAgent, testFolder, until } from "./support/real-node.ts";
import { accepted, instance, job } from "./support/reconcile-builders.ts";

const CHILD = join(import.meta.dirname, "support/reconciler-child.ts");
const NODE = process.execPath;

let folder: ReturnType<typeof testFolder>;
let children: ChildProcess[];
beforeEach(() => {
  folder = testFolder();
  children = [];
});
afterEach(async () => {
  await Promise.all(children.map(kill9));
  folder.remove();
});

/** Writes the desired state as the link would, while no agent runs. */
function want(revision: number, instances: readonly DesiredInstance[]): void {
  withStore((agent) => agent.store.acceptDesired(accepted(revision, instances)));
}

function withStore<T>(use: (agent: ReturnType<typeof realAgent>) => T): T {
  const agent = realAgent(folder.path);
  try {
    return use(agent);
  } finally {
    agent.store.close();
  }
}

function record(id: string) {
  return withStore(({ store }) => store.instances().find((r) => r.id === id));
}

/** Starts an agent process and resolves when it has begun to reconcile. */
async function startAgent(): Promise<ChildProcess> {
  const child = spawn(NODE, [CHILD, folder.path], { stdio: ["ignore", "pipe", "inherit"] });
  children.push(child);
  await new Promise<void>((resolve, reject) => {
    child.stdout?.once("data", () => resolve());
    child.once("exit", () => reject(new Error("the agent ended before it was up")));
  });
  return child;
}

async function kill9(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise<void>((resolve) => {
    child.once("exit", () => resolve());
  });
  child.kill("SIGKILL");
  await ended;
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

function leaders() {
  return processesOf(folder.path).filter((p) => p.leadsGroup);
}

/** Appends a line at each start, then stays. */
function counting(name: string): readonly string[] {
  const file = join(folder.path, name);
  return ["sh", "-c", `echo start >> ${file}; exec sleep 300`];
}

function startsOf(name: string): number {
  try {
    return readFileSync(join(folder.path, name), "utf8").split("\n").length - 1;
  } catch {
    return 0;
  }
}

test("an agent that is killed at any moment leaves exactly one copy of each workload, none restarted that was right", async () => {
  const names = ["a", "b", "c", "d"];
  want(
    1,
    names.map((n) => instance(n, counting(n))),
  );
  // Killed at moments from before the first deed to long after the last one.
  for (const delayMs of [0, 5, 10, 20, 30, 45, 60, 90, 150, 400]) {
    const agent = await startAgent();
    await sleep(delayMs);
    await kill9(agent);
  }
  const agent = await startAgent();
  await until("every workload to run", () => names.every((n) => record(n)?.intent === "running"));
  const before = leaders();
  expect(before.map((p) => p.instanceId).sort()).toEqual(names);
  await kill9(agent);
  await startAgent();
  await sleep(2_500);
  expect(new Set(leaders().map((p) => p.pid))).toEqual(new Set(before.map((p) => p.pid)));
  expect(leaders()).toHaveLength(names.length);
  for (const n of names) {
    expect(record(n)).toMatchObject({ restartCount: 0, failureCount: 0 });
    expect(startsOf(n)).toBe(1);
  }
});

test("what died or changed while no agent ran is started again, the rest is left alone", async () => {
  want(1, [
    instance("dies", counting("dies")),
    instance("edited", counting("edited")),
    instance("stays", counting("stays")),
  ]);
  const first = await startAgent();
  await until("all to run", () => leaders().length === 3 && record("stays")?.intent === "running");
  const stays = leaders().find((p) => p.instanceId === "stays");
  await kill9(first);
  const victim = leaders().find((p) => p.instanceId === "dies");
  process.kill(-(victim?.pid ?? 0), "SIGKILL");
  want(2, [
    instance("dies", counting("dies")),
    instance("edited", [...counting("edited"), "more"]),
    instance("stays", counting("stays")),
  ]);
  await startAgent();
  await until("both to run again", () => startsOf("dies") === 2 && startsOf("edited") === 2);
  await until("convergence", () => withStore(({ store }) => store.convergedRevision()) === 2);
  expect(leaders()).toHaveLength(3);
  expect(leaders().find((p) => p.instanceId === "stays")).toEqual(stays);
  expect(record("dies")).toMatchObject({ restartCount: 1 });
  expect(record("stays")).toMatchObject({ restartCount: 0 });
  expect(startsOf("stays")).toBe(1);
});

test("a Job that succeeded while no agent ran has succeeded, one that failed is tried again", async () => {
  const gate = join(folder.path, "gate");
  const after = (code: number, name: string): readonly string[] => [
    "sh",
    "-c",
    `echo start >> ${join(folder.path, name)}; while [ ! -e ${gate} ]; do sleep 0.05; done; exit ${code}`,
  ];
  want(1, [job("good", after(0, "good")), job("bad", after(3, "bad"), { backoffLimit: 1 })]);
  const first = await startAgent();
  await until(
    "both to run",
    () => startsOf("good") === 1 && startsOf("bad") === 1 && record("bad")?.intent === "running",
  );
  await kill9(first);
  writeFileSync(gate, "");
  await until("both to end", () => processesOf(folder.path).length === 0);
  await startAgent();
  await until("good to be judged", () => record("good")?.outcome === "succeeded");
  await until("bad to have failed for good", () => record("bad")?.outcome === "failed");
  expect(record("bad")).toMatchObject({
    exitCode: 3,
    reason: "BackoffLimitExceeded",
    restartCount: 1,
  });
  expect(startsOf("good")).toBe(1);
  expect(startsOf("bad")).toBe(2);
});

test("a Job whose recorder is killed has an unknown end, which counts as a failure", async () => {
  want(1, [job("j", ["sleep", "300"], { backoffLimit: 0 })]);
  const agent = realAgent(folder.path);
  agent.reconciler.pass();
  const recorder = await until("the recorder and its program", () => {
    const all = processesOf(folder.path);
    return all.length === 2 ? all.find((p) => p.leadsGroup) : undefined;
  });
  process.kill(recorder.pid, "SIGKILL");
  await until("the end to be judged", () => {
    agent.reconciler.pass();
    return agent.store.instances()[0]?.outcome === "failed";
  });
  expect(agent.store.instances()[0]).toMatchObject({ reason: "BackoffLimitExceeded" });
  expect(processesOf(folder.path)).toEqual([]);
  agent.store.close();
});

test("a run of the reconciler carries a desired state out, reports it, and leaves the workloads when it stops", async () => {
  const agent = realAgent(folder.path);
  const stop = new AbortController();
  const run = agent.reconciler.run(stop.signal);
  agent.store.acceptDesired(
    accepted(1, [
      instance("web", ["sleep", "300"]),
      job("once", ["true"]),
      instance("none", ["no-such-program-here"]),
    ]),
  );
  agent.reconciler.wake();
  await until("the job to be done", () =>
    agent.reconciler.reported().instances.some((i) => i.phase === "Succeeded"),
  );
  expect(agent.reconciler.reported().instances).toMatchObject([
    { id: "none", phase: "Pending", reason: "CommandNotFound" },
    { id: "once", phase: "Succeeded", exitCode: 0 },
    { id: "web", phase: "Running", ready: true },
  ]);
  stop.abort();
  await run;
  expect(leaders().map((p) => p.instanceId)).toEqual(["web"]);
  agent.store.close();
});

test("a workload that ignores SIGTERM is killed with its whole fork tree when its grace is over", async () => {
  const agent = realAgent(folder.path);
  const stubborn = [
    "sh",
    "-c",
    "trap '' TERM; sleep 300 & sh -c 'trap \"\" TERM; sleep 301 & wait' & while :; do sleep 1; done",
  ];
  agent.store.acceptDesired(
    accepted(1, [instance("s", stubborn, { terminationGracePeriodSeconds: 1 })]),
  );
  const stop = new AbortController();
  const run = agent.reconciler.run(stop.signal);
  await until("the tree to stand", () => processesOf(folder.path).length >= 4);
  const beganMs = performance.now();
  agent.store.acceptDesired(accepted(2, []));
  agent.reconciler.wake();
  await until("the tree to be gone", () => processesOf(folder.path).length === 0);
  expect(performance.now() - beganMs).toBeGreaterThan(800);
  await until("the record to be gone", () => agent.store.instances().length === 0);
  stop.abort();
  await run;
  agent.store.close();
});

test("a program that ends at once is tried again with a growing pause", async () => {
  const agent = realAgent(folder.path);
  const command = ["sh", "-c", `echo start >> ${join(folder.path, "flap")}; exit 7`];
  agent.store.acceptDesired(accepted(1, [instance("flap", command)]));
  const stop = new AbortController();
  const run = agent.reconciler.run(stop.signal);
  await until("three starts", () => startsOf("flap") === 3);
  await sleep(1_500);
  expect(startsOf("flap")).toBe(3);
  expect(agent.reconciler.reported().instances[0]).toMatchObject({
    phase: "Pending",
    exitCode: 7,
    restartCount: 2,
    reason: "Exited",
  });
  expect(agent.reconciler.snapshot().steps).toMatchObject([{ kind: "wait", reason: "BackOff" }]);
  stop.abort();
  await run;
  agent.store.close();
});

test("workloads get their names, expanded variables and nothing of the agent's own environment", async () => {
  process.env["FLOTILLA_TEST_SECRET"] = "do not leak";
  const agent = realAgent(folder.path);
  const containers = [
    {
      name: "main",
      command: [
        "sh",
        "-c",
        `env > ${join(folder.path, "env")}; echo "$1" >> ${join(folder.path, "env")}; exec sleep 300`,
        "x",
      ],
      args: ["$(GREETING) on $(FLOTILLA_NODE) $$(KEPT) $(UNKNOWN)"],
      env: [
        { name: "WHO", value: "world" },
        { name: "GREETING", value: "hello $(WHO)" },
        { name: "FLOTILLA_AGENT", value: "forged" },
      ],
    },
  ];
  agent.store.acceptDesired(accepted(1, [instance("e", [], { containers, index: 4 })]));
  agent.reconciler.pass();
  const text = await until("the environment", () => {
    try {
      const read = readFileSync(join(folder.path, "env"), "utf8");
      return read.includes("KEPT") ? read : undefined;
    } catch {
      return undefined;
    }
  });
  expect(text).toContain("hello world on n1 $(KEPT) $(UNKNOWN)\n");
  expect(text).toContain("FLOTILLA_INDEX=4\n");
  expect(text).toContain("FLOTILLA_NODE_ADDRESS=127.0.0.1\n");
  expect(text).toContain(`FLOTILLA_AGENT=${folder.path}\n`);
  expect(text).not.toContain("do not leak");
  delete process.env["FLOTILLA_TEST_SECRET"];
  agent.store.close();
});

/** Writes its environment into a file of this name, then stays. */
function telling(name: string): string[] {
  const file = join(folder.path, name);
  return ["sh", "-c", `env > ${file}.part; mv ${file}.part ${file}; exec sleep 300`];
}

function told(name: string): Readonly<Record<string, string>> | undefined {
  try {
    const lines = readFileSync(join(folder.path, name), "utf8").trim().split("\n");
    return Object.fromEntries(lines.map((line) => line.split(/=(.*)/s).slice(0, 2)));
  } catch {
    return undefined;
  }
}

test("a workload is told which devices are its own, unless its spec says otherwise", async () => {
  const agent = realAgent(folder.path);
  const own = [
    { name: "main", command: telling("own"), env: [{ name: "CUDA_VISIBLE_DEVICES", value: "1" }] },
  ];
  agent.store.acceptDesired(
    accepted(1, [
      instance("cards", telling("cards"), {
        devices: [
          { uuid: "GPU-b", milli: 1_000 },
          { uuid: "GPU-a", milli: 1_000 },
        ],
      }),
      instance("mig", telling("mig"), { devices: [{ uuid: "MIG-1", milli: 1_000 }] }),
      instance("none", telling("none")),
      instance("own", [], { containers: own, devices: [{ uuid: "GPU-c", milli: 250 }] }),
    ]),
  );
  agent.reconciler.pass();
  const names = ["cards", "mig", "none", "own"];
  await until("all environments", () => names.every((name) => told(name) !== undefined));
  const devicesOf = (name: string) => {
    const { NVIDIA_VISIBLE_DEVICES, CUDA_VISIBLE_DEVICES, FLOTILLA_GPU_MILLI } = told(name) ?? {};
    return [NVIDIA_VISIBLE_DEVICES, CUDA_VISIBLE_DEVICES, FLOTILLA_GPU_MILLI];
  };
  expect(devicesOf("cards")).toEqual(["GPU-b,GPU-a", "GPU-b,GPU-a", "1000"]);
  expect(devicesOf("mig")).toEqual(["MIG-1", "MIG-1", "1000"]);
  expect(devicesOf("own")).toEqual(["GPU-c", "1", "250"]);
  expect(devicesOf("none")).toEqual([undefined, undefined, undefined]);
  agent.store.close();
});

test("a device changes hands only when nothing of the run before is left, also over a lost store", async () => {
  const card = { devices: [{ uuid: "GPU-1", milli: 1_000 }] };
  const grace = { terminationGracePeriodSeconds: 60 };
  const stubborn = ["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"];
  const before = realAgent(folder.path);
  before.store.acceptDesired(accepted(1, [instance("old", stubborn, { ...card, ...grace })]));
  before.reconciler.pass();
  const old = await until("the first holder", () => leaders().find((p) => p.instanceId === "old"));
  before.store.acceptDesired(accepted(2, [instance("new", ["sleep", "300"], card)]));
  before.reconciler.pass();
  before.reconciler.pass();
  const waits = { id: "new", kind: "wait", reason: "DeviceBusy" };
  expect(before.reconciler.snapshot().steps).toContainEqual(expect.objectContaining(waits));
  before.store.deleteInstance("old");
  before.store.close();
  // To this agent the old holder is a run that no record names; its environment says what it has.
  const after = realAgent(folder.path);
  after.reconciler.pass();
  expect(after.reconciler.snapshot().steps).toContainEqual(expect.objectContaining(waits));
  expect(leaders().map((p) => p.instanceId)).toEqual(["old"]);
  process.kill(-old.pid, "SIGKILL");
  await until("the next holder", () => {
    after.reconciler.pass();
    return leaders().some((p) => p.instanceId === "new");
  });
  expect(leaders()).toHaveLength(1);
  after.store.close();
});
