import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLog } from "@flotilla/shared/testing/silent-log";
import { afterEach, beforeEach, expect, test } from "vitest";
import { LocalServer } from "../src/adapters/socket/local-server.ts";
import { LocalInspector } from "../src/app/local-api/inspector.ts";
import { LocalOperator } from "../src/app/local-api/operator.ts";
import { agentProgram, runProgram, socketPathOf } from "../src/main/flotilla-agent.ts";
import { ArtifactNode, pin } from "./support/artifact-node.ts";
import { until } from "./support/real-node.ts";
import { instance } from "./support/reconcile-builders.ts";

const ID = "default.shop.vision-0";

let folder: string;
let stop: AbortController;
let served: Promise<void>;
let node: ArtifactNode;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "flotilla-commands-"));
  stop = new AbortController();
  node = new ArtifactNode();
  const { activation, reconciler, runtime, store } = node;
  const { book, gate, locks, retry } = activation;
  const operations = new LocalOperator({
    locks,
    retry,
    slots: () => book.all(),
    folderOf: (id) => gate.pathsOf(id).FLOTILLA_ARTIFACTS,
    reported: () => reconciler.reported(),
    instanceIds: () => new Set(store.instances().map((i) => i.id)),
    onChange: () => undefined,
  });
  const api = new LocalInspector(
    { nodeId: "n1", agentVersion: "1.2.3", pid: 17 },
    {
      reconciler,
      runtime,
      store,
      link: () => ({ connected: true, detail: "" }),
      locks: () => operations.locks(),
    },
  );
  const socketPath = socketPathOf(folder);
  const deps = { api, operations, log: silentLog(), metricsText: () => Promise.resolve("") };
  served = new LocalServer({ socketPath }, deps).run(stop.signal);
  await until("the socket", () => existsSync(socketPath));
  want(1);
  await node.passes(30);
});

afterEach(async () => {
  stop.abort();
  await served;
  rmSync(folder, { recursive: true, force: true });
});

function want(counter: number): void {
  const artifacts = [pin("detector", counter)];
  node.want([instance(ID, ["serve"], { artifacts, specDigest: `d${counter}` })]);
}

async function cli(...args: readonly string[]) {
  let [out, err] = ["", ""];
  const io = { out: (t: string) => void (out += t), err: (t: string) => void (err += t) };
  const status = await runProgram(agentProgram(io), [...args, "--state-dir", folder], io);
  return { status, out, err };
}

test("an operator holds updates back and lets them go on, and the node says so", async () => {
  const locked = await cli("lock", ID, "--reason", "shift runs", "--for", "2h");
  expect(locked.out).toMatch(
    new RegExp(`^updates of ${ID} are locked by an operator until .*Z: shift runs\n$`),
  );
  want(2);
  await node.passes(60);
  expect(node.activeCounter(ID)).toBe(1);
  expect((await cli("status")).out).toContain("locked by an operator");
  expect((await cli("plan")).out).toMatch(/wait \(UpdateLocked\): detector 2\.0\.0 waits/);
  expect((await cli("why", ID)).out).toContain("shift runs");
  expect((await cli("artifacts")).out).toMatch(
    /detector +2\.0\.0 +Prepared +1\.0\.0 +UpdateLocked/,
  );
  expect((await cli("unlock", ID)).out).toBe("unlocked\n");
  expect((await cli("unlock", ID)).out).toBe("there was no such lock\n");
  await node.passes(60);
  expect(node.activeCounter(ID)).toBe(2);
});

test("a lock names its reason, its time and an instance that is here", async () => {
  expect(await cli("lock", "--for", "2h")).toMatchObject({ status: 2 });
  expect(await cli("lock", "--reason", "x", "--for", "soon")).toMatchObject({ status: 2 });
  const long = await cli("lock", "--reason", "x", "--for", "8d");
  expect(long).toMatchObject({ status: 2, err: expect.stringContaining("at most") });
  const nobody = await cli("lock", "nobody", "--reason", "x", "--for", "1h");
  expect(nobody).toMatchObject({ status: 3, err: expect.stringContaining("nobody") });
  const all = await cli("lock", "--reason", "x", "--for", "1h", "-o", "json");
  expect(JSON.parse(all.out)).toMatchObject({ by: "operator", reason: "x" });
  expect((await cli("status", "-o", "json")).out).toContain('"locks"');
});

test("what failed is listed, and tried again when an operator asks", async () => {
  node.runtime.crashes = () => node.activeCounter(ID) === 2;
  want(2);
  await node.passes(200);
  const shown = await cli("artifacts");
  expect(shown.out).toMatch(/detector +2\.0\.0 +RolledBack +1\.0\.0 +CrashLoop/);
  expect(shown.out).toContain(`${ID}: detector 2.0.0 failed at `);
  node.runtime.crashes = () => false;
  expect((await cli("retry", ID)).out).toBe("what failed is tried again\n");
  expect((await cli("retry", ID)).out).toBe("nothing had failed there\n");
  expect(await cli("retry", "nobody")).toMatchObject({ status: 3 });
  await node.passes(60);
  expect(node.activeCounter(ID)).toBe(2);
});
