import { readFileSync, utimesSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import type { DesiredArtifact } from "@flotilla/shared/model/artifact";
import { afterEach, beforeEach, expect, test } from "vitest";
import { readBootId } from "../src/adapters/runtime/proc.ts";
import { AgentLife, installedText, ModelHub } from "./support/real-artifact-agent.ts";
import { processesOf, testFolder, until } from "./support/real-node.ts";
import { instance } from "./support/reconcile-builders.ts";
import { portOf } from "./support/tcp-proxy.ts";

/** Models on a node, with real processes and real files: what an operator sees of an update, and of one that fails. */

const SERVER = join(import.meta.dirname, "support/model-server-child.ts");
const ID = "shop.vision-0";

let folder: ReturnType<typeof testFolder>;
let hub: ModelHub;
let life: AgentLife;
let port: number;

beforeEach(async () => {
  folder = testFolder();
  hub = new ModelHub();
  port = await freePort();
  life = new AgentLife(folder.path, hub, readBootId());
});

afterEach(async () => {
  await life.end();
  folder.remove();
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const free = portOf(server.address());
  await new Promise((resolve) => server.close(resolve));
  return free;
}

/** As the hub would: what is switched by a restart is part of the digest. */
function want(pin: DesiredArtifact): void {
  const command = [process.execPath, SERVER, String(port)];
  const probe = { httpGet: { port, path: "/" }, periodSeconds: 1, failureThreshold: 60 };
  const containers = [{ name: "main", command, readinessProbe: probe }];
  const specDigest = pin.reload === "restart" ? `v${pin.counter}` : "live";
  life.want([instance(ID, [], { containers, artifacts: [pin], specDigest })]);
}

async function served(): Promise<{ readonly model: string; readonly pid: number } | undefined> {
  try {
    const answer: unknown = await (await fetch(`http://127.0.0.1:${port}/`)).json();
    return Object(answer);
  } catch {
    return undefined;
  }
}

async function serves(model: string): Promise<{ readonly model: string; readonly pid: number }> {
  for (const end = performance.now() + 20_000; performance.now() < end; ) {
    const answer = await served();
    if (answer?.model === model) return answer;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`"${model}" is not served; ${JSON.stringify(life.artifact(ID))}`);
}

function phase(wanted: string, version: string): Promise<unknown> {
  return until(`${version} to be ${wanted}`, () => {
    const told = life.artifact(ID);
    return told?.phase === wanted && told.version === version;
  });
}

test("a model is installed, and updated by a restart", async () => {
  want(hub.pin(1, "first"));
  const before = await serves("first");
  await phase("Active", "1.0.0");
  want(hub.pin(2, "second"));
  const after = await serves("second");
  await phase("Active", "2.0.0");
  expect(after.pid).not.toBe(before.pid);
  expect(installedText(folder.path, ID)).toBe("second");
  expect(life.agent.reconciler.snapshot().steps).toEqual([]);
});

test.each([
  ["SIGHUP", { reload: "signal" as const }],
  ["POST", { reload: "http" as const }],
])("a running workload takes another model by %s", async (_, reload) => {
  const http = { port, path: "/reload" };
  const more = reload.reload === "http" ? { ...reload, http } : reload;
  want(hub.pin(1, "first", more));
  const before = await serves("first");
  await phase("Active", "1.0.0");
  want(hub.pin(2, "second", more));
  expect(await serves("second")).toEqual({ model: "second", pid: before.pid });
  await phase("Active", "2.0.0");
  expect(life.agent.store.instances()[0]).toMatchObject({ restartCount: 0 });
});

test("a workload that refuses a model keeps the one it has, and its files are the last good ones again", async () => {
  const more = { reload: "http" as const, http: { port, path: "/reload" } };
  want(hub.pin(1, "first", more));
  const before = await serves("first");
  await phase("Active", "1.0.0");
  want(hub.pin(2, "stubborn", more));
  await phase("RolledBack", "2.0.0");
  await until("the first model's files", () => installedText(folder.path, ID) === "first");
  expect(await serves("first")).toEqual(before);
});

test("a model that ends the workload is gone back from, and not tried again", async () => {
  want(hub.pin(1, "first"));
  await serves("first");
  await phase("Active", "1.0.0");
  want(hub.pin(2, "crash"));
  await phase("RolledBack", "2.0.0");
  const { pid } = await serves("first");
  expect(life.artifact(ID)).toMatchObject({ reason: "CrashLoop", activeVersion: "1.0.0" });
  // Neither another agent nor the same wish in a new revision tries it again.
  await life.end();
  life = new AgentLife(folder.path, hub, readBootId());
  want(hub.pin(2, "crash"));
  await phase("RolledBack", "2.0.0");
  expect(await serves("first")).toEqual({ model: "first", pid });
});

test("the workload's lock file holds the switch until it is old or gone", async () => {
  want(hub.pin(1, "first"));
  await serves("first");
  await phase("Active", "1.0.0");
  const environment = readFileSync(`/proc/${(await serves("first")).pid}/environ`, "utf8");
  const lock = /FLOTILLA_UPDATE_LOCK=([^\0]+)/.exec(environment)?.[1] ?? "";
  writeFileSync(lock, "measuring\n");
  want(hub.pin(2, "second"));
  await phase("Prepared", "2.0.0");
  await until("the lock to be told", () => life.artifact(ID)?.reason === "UpdateLocked");
  expect(life.artifact(ID)?.message).toContain("measuring");
  expect(await serves("first")).toBeDefined();
  const longAgo = new Date(Date.now() - 25 * 3_600_000);
  utimesSync(lock, longAgo, longAgo);
  await serves("second");
});

test("after a reboot with no network the workload starts from what is on the disk, checked", async () => {
  want(hub.pin(1, "first"));
  await serves("first");
  await phase("Active", "1.0.0");
  hub.isOnline = false;
  hub.trust.isOnline = false;
  await life.end();
  for (const { pid } of processesOf(folder.path)) process.kill(pid, "SIGKILL");
  await until("the processes to be gone", () => processesOf(folder.path).length === 0);
  life = new AgentLife(folder.path, hub, "another-boot");
  await serves("first");
  await phase("Active", "1.0.0");
  expect(life.agent.reconciler.snapshot().steps).toEqual([]);
});
