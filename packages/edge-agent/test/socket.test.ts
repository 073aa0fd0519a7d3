import { spawn } from "node:child_process";
import { existsSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { silentLog } from "@flotilla/shared/testing/silent-log";
import { afterEach, beforeEach, expect, test } from "vitest";
import { LOCAL_CONNECTIONS_MAX, LocalServer } from "../src/adapters/socket/local-server.ts";
import { LocalInspector } from "../src/app/local-api/inspector.ts";
import type { LocalApi, LocalOperations } from "../src/app/local-api/ports.ts";
import { agentProgram, runProgram, socketPathOf } from "../src/main/flotilla-agent.ts";
import { ManualNode } from "./support/manual-reconciler.ts";
import { testFolder } from "./support/real-node.ts";
import { instance } from "./support/reconcile-builders.ts";

const metricsText = (): Promise<string> => Promise.resolve("flotilla_agent_link_online 1\n");

let folder: ReturnType<typeof testFolder>;
let stop: AbortController;
let running: Promise<void>[];
beforeEach(() => {
  folder = testFolder();
  stop = new AbortController();
  running = [];
});
afterEach(async () => {
  stop.abort();
  await Promise.allSettled(running);
  folder.remove();
});

/** A node on which nobody operates; test/artifact-commands.test.ts has one. */
const operations: LocalOperations = {
  lock: () => {
    throw new Error("nobody locks here");
  },
  unlock: () => false,
  retry: () => 0,
  artifacts: () => ({ node: undefined, instances: [] }),
};

/** A node of made-up processes with a workload that runs, one that backs off and one that was not tried yet. */
async function node(): Promise<ManualNode> {
  const manual = new ManualNode();
  manual.want([
    instance("default.shop.web-0", ["serve"]),
    instance("default.shop.bad-0", ["missing"]),
  ]);
  await manual.passes(2);
  return manual;
}

async function serve(
  manual: ManualNode,
  wrap: (api: LocalApi) => LocalApi = (api) => api,
): Promise<string> {
  const inspector = new LocalInspector(
    { nodeId: "n1", agentVersion: "1.2.3", pid: 17 },
    {
      reconciler: manual.reconciler,
      runtime: manual.runtime,
      store: manual.store,
      link: () => ({ connected: false, detail: "no route to the hub" }),
      locks: () => [],
    },
  );
  const socketPath = socketPathOf(folder.path);
  const server = new LocalServer(
    { socketPath },
    { api: wrap(inspector), operations, log: silentLog(), metricsText },
  );
  running.push(server.run(stop.signal));
  while (!existsSync(socketPath) || (statSync(socketPath).mode & 0o777) !== 0o660)
    await new Promise((resolve) => setTimeout(resolve, 5));
  return socketPath;
}

async function cli(...args: readonly string[]) {
  let [out, err] = ["", ""];
  const io = { out: (t: string) => void (out += t), err: (t: string) => void (err += t) };
  const status = await runProgram(agentProgram(io), [...args, "--state-dir", folder.path], io);
  return { status, out, err };
}

/** Sends bytes as they are and returns what comes back. */
function raw(socketPath: string, bytes: string): Promise<string> {
  return new Promise((resolve) => {
    let answer = "";
    const socket = connect(socketPath, () => socket.write(bytes));
    socket.on("data", (chunk) => void (answer += chunk.toString()));
    socket.on("error", () => undefined);
    socket.on("close", () => resolve(answer));
  });
}

test("status, plan, why and logs are answered with no hub", async () => {
  await serve(await node());
  const status = await cli("status");
  expect(status).toMatchObject({ status: 0, err: "" });
  expect(status.out).toContain("hub: not connected, no route to the hub");
  expect(status.out).toMatch(/default\.shop\.web-0 +Running +yes +0/);
  expect(status.out).toMatch(/default\.shop\.bad-0 +Pending +no .*CommandNotFound/);
  expect((await cli("plan")).out).toMatch(/default\.shop\.bad-0 +wait +1 s +wait \(BackOff\)/);
  const why = await cli("why", "default.shop.bad-0");
  expect(why.out).toContain("desired state 1 asks for it with this spec");
  expect(why.out).toContain("CommandNotFound");
  expect((await cli("logs", "default.shop.web-0")).out).toBe("a line\n");
});

test("-o json prints what the socket answers", async () => {
  await serve(await node());
  const status: unknown = JSON.parse((await cli("status", "-o", "json")).out);
  expect(status).toMatchObject({
    nodeId: "n1",
    agentVersion: "1.2.3",
    acceptedRevision: 1,
    convergedRevision: 0,
  });
  const why: unknown = JSON.parse((await cli("why", "default.shop.web-0", "-o", "json")).out);
  expect(why).toMatchObject({ instance: { phase: "Running" }, desired: { wanted: true } });
});

test("a node where all is well says that nothing is to do", async () => {
  const manual = new ManualNode();
  manual.want([instance("a", ["serve"])]);
  await manual.passes(2);
  await serve(manual);
  expect((await cli("plan")).out).toBe("nothing to do: this node is as desired state 1 says\n");
});

test.each([
  [["why", "no-such-instance"], 3, "no instance"],
  [["logs", "no-such-instance"], 3, "no log"],
  [["logs", "a", "--tail", "0"], 2, "1 to 10000"],
  [["logs", "a", "--tail", "many"], 2, "1 to 10000"],
  [["status", "-o", "xml"], 2, "xml"],
  [["why"], 2, "instance"],
  [["frobnicate"], 2, "frobnicate"],
])("flotilla-agent %j ends with its exit status and says why", async (args, status, text) => {
  await serve(await node());
  const result = await cli(...args);
  expect(result.status).toBe(status);
  expect(result.err).toContain(text);
});

test("without an agent the command says so and what to do", async () => {
  const result = await cli("status");
  expect(result).toMatchObject({ status: 1, out: "" });
  expect(result.err).toContain("no agent runs there");
  expect(result.err).toContain("try: Start the agent");
});

test.each([
  ["POST /v1/status HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}", "405"],
  ["GET /v1/nothing HTTP/1.1\r\nHost: a\r\n\r\n", "404"],
  ["GET /v2/status HTTP/1.1\r\nHost: a\r\n\r\n", "404"],
  ["GET /v1/instances/%E0%A4%A HTTP/1.1\r\nHost: a\r\n\r\n", "400"],
  ["GET /v1/instances/a/log?tailLines=1e9 HTTP/1.1\r\nHost: a\r\n\r\n", "400"],
  ["GET /v1/instances/a/log?tailLines=-1 HTTP/1.1\r\nHost: a\r\n\r\n", "400"],
  ["GET /v1/instances/a/b/c/d HTTP/1.1\r\nHost: a\r\n\r\n", "404"],
  ["GET // HTTP/1.1\r\nHost: a\r\n\r\n", "40"],
  [`GET /v1/status HTTP/1.1\r\nHost: a\r\nX: ${"x".repeat(20_000)}\r\n\r\n`, "431"],
  ["\x16\x03\x01 this is no HTTP", "400"],
])("bad input is refused and the server goes on: %j", async (bytes, code) => {
  const socketPath = await serve(await node());
  expect(await raw(socketPath, bytes)).toMatch(new RegExp(`^HTTP/1.1 ${code}`));
  expect((await cli("status")).status).toBe(0);
});

test("an answer that fails is a 500, not the end of the agent", async () => {
  await serve(await node(), (api) => ({
    ...api,
    plan: () => {
      throw new Error("a bug");
    },
    status: () => api.status(),
  }));
  expect(await cli("plan")).toMatchObject({ status: 1, err: "error: a bug\n" });
  expect((await cli("status")).status).toBe(0);
});

test("more callers than it serves are turned away, and it serves again when they are gone", async () => {
  const socketPath = await serve(await node());
  const sockets = Array.from({ length: LOCAL_CONNECTIONS_MAX }, () => connect(socketPath));
  await Promise.all(sockets.map((s) => new Promise((resolve) => s.once("connect", resolve))));
  expect((await cli("status")).status).toBe(1);
  for (const socket of sockets) socket.destroy();
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect((await cli("status")).status).toBe(0);
});

test("the socket of a dead agent is taken over, that of a live one is not", async () => {
  const socketPath = socketPathOf(folder.path);
  const code = `require("node:net").createServer().listen(${JSON.stringify(socketPath)}, () => process.kill(process.pid, "SIGKILL"))`;
  await new Promise((resolve) => spawn(process.execPath, ["-e", code]).once("exit", resolve));
  expect(existsSync(socketPath)).toBe(true);
  const manual = await node();
  await serve(manual);
  expect((await cli("status")).status).toBe(0);
  const second = new LocalServer(
    { socketPath },
    { api: inspectorOf(manual), operations, log: silentLog(), metricsText },
  );
  await expect(second.run(stop.signal)).rejects.toMatchObject({ code: "socket-in-use" });
  expect((await cli("status")).status).toBe(0);
});

test("a path that cannot be a socket is refused with the mend", async () => {
  const api = inspectorOf(await node());
  const long = new LocalServer(
    { socketPath: join(folder.path, "x".repeat(120)) },
    { api, operations, log: silentLog(), metricsText },
  );
  await expect(long.run(stop.signal)).rejects.toMatchObject({ code: "socket-path-too-long" });
  const file = join(folder.path, "a-file");
  writeFileSync(file, "keep me");
  const occupied = new LocalServer(
    { socketPath: file },
    { api, operations, log: silentLog(), metricsText },
  );
  await expect(occupied.run(stop.signal)).rejects.toMatchObject({ code: "socket-unusable" });
  expect(statSync(file).size).toBe(7);
  const nowhere = new LocalServer(
    { socketPath: join(folder.path, "no/such/folder/s") },
    { api, operations, log: silentLog(), metricsText },
  );
  await expect(nowhere.run(stop.signal)).rejects.toMatchObject({ code: "socket-unusable" });
});

function inspectorOf(manual: ManualNode): LocalInspector {
  return new LocalInspector(
    { nodeId: "n1", agentVersion: "1", pid: 1 },
    {
      reconciler: manual.reconciler,
      runtime: manual.runtime,
      store: manual.store,
      link: () => ({ connected: true, detail: "" }),
      locks: () => [],
    },
  );
}

test("the metrics are told in Prometheus' text format", async () => {
  await serve(await node());
  expect(await cli("metrics")).toEqual({
    status: 0,
    out: "flotilla_agent_link_online 1\n",
    err: "",
  });
});
