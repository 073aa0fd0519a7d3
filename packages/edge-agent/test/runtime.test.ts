import { chmodSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createTcpServer } from "node:net";
import { join } from "node:path";
import { must } from "@flotilla/shared/kernel/assert";
import type { Container, Probe } from "@flotilla/shared/model/workload";
import { afterEach, beforeEach, expect, test } from "vitest";
import { HostProbeRunner } from "../src/adapters/probes-health/probe-runner.ts";
import { InstanceFiles } from "../src/adapters/runtime/instance-files.ts";
import { parseStat, readBootId } from "../src/adapters/runtime/proc.ts";
import { processesOf, realAgent, testFolder, until } from "./support/real-node.ts";

let folder: ReturnType<typeof testFolder>;
beforeEach(() => {
  folder = testFolder();
});
afterEach(() => folder.remove());

const PATH = process.env["PATH"] ?? "";

function agent(options: { readonly logPartBytesMax?: number } = {}) {
  return realAgent(folder.path, options);
}

function start(
  runtime: ReturnType<typeof agent>["runtime"],
  container: Partial<Container>,
  more: { readonly runId?: string; readonly recordExit?: boolean } = {},
) {
  const runId = more.runId ?? "r1";
  return runtime.start({
    instanceId: "i",
    runId,
    container: { name: "main", ...container },
    recordExit: more.recordExit ?? false,
    environment: {
      PATH,
      FLOTILLA_AGENT: folder.path,
      FLOTILLA_INSTANCE: "i",
      FLOTILLA_RUN: runId,
      FLOTILLA_CONTAINER: "main",
      FLOTILLA_SPEC: "d1",
    },
  });
}

test.each([
  [{ command: ["no-such-program-here"] }, "CommandNotFound", "on PATH"],
  [{ command: ["./no-such-file"] }, "CommandNotFound", "./no-such-file"],
  [{ command: ["/etc/passwd"] }, "NotExecutable", "x permission"],
  [{ command: ["/etc/passwd/below"] }, "CommandNotFound", "below"],
  [{ command: [""] }, "CommandNotFound", "not found"],
  [{}, "NoCommand", "needs a command"],
  [{ command: ["true"], workingDir: "/no/such/folder" }, "BadWorkingDir", "/no/such/folder"],
])(
  "a container that cannot be started is an outcome with its reason: %j",
  (container, reason, text) => {
    const { runtime, store } = agent();
    const outcome = start(runtime, container);
    expect(outcome).toMatchObject({ ok: false, reason });
    expect(outcome.ok ? "" : outcome.message).toContain(text);
    expect(processesOf(folder.path)).toEqual([]);
    store.close();
  },
);

test("arguments reach the program as they are; no shell looks at them", async () => {
  const { runtime, store } = agent();
  start(runtime, { command: ["printf", "%s\\n"], args: ["$HOME; touch x", "`id`", "a  b"] });
  await until("its output", () =>
    runtime.readLog({ instanceId: "i", tailLines: 9 })?.text.includes("a  b"),
  );
  expect(runtime.readLog({ instanceId: "i", tailLines: 9 })).toEqual({
    text: "$HOME; touch x\n`id`\na  b\n",
    truncated: false,
  });
  store.close();
});

test("a process is told from a later one with its pid, and a zombie is dead", async () => {
  const { runtime, store } = agent();
  const outcome = start(runtime, { command: ["sh", "-c", "exit 5"] });
  const started = must(outcome.ok ? outcome.process : undefined, "it starts");
  await until("its end", () => !runtime.isAlive(started));
  expect(runtime.exitOf({ instanceId: "i", runId: "r1", container: "main" })).toMatchObject({
    exitCode: 5,
  });
  const self = { pid: process.pid, startTicks: 1, bootId: readBootId() };
  expect(runtime.isAlive(self)).toBe(false);
  expect(
    parseStat(7, "7 (a) b) Z) S 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 1 1"),
  ).toMatchObject({
    state: "S",
    processGroup: 7,
    startTicks: 4711,
  });
  expect(parseStat(7, "garbage")).toBeUndefined();
  store.close();
});

test("signals go to the whole group, once, and never to the agent's own", async () => {
  const { runtime, store } = agent();
  const file = join(folder.path, "terms");
  const outcome = start(runtime, {
    command: [
      "sh",
      "-c",
      `trap 'echo term >> ${file}; exit 0' TERM; sleep 300 & sleep 300 & wait; wait`,
    ],
  });
  const started = must(outcome.ok ? outcome.process : undefined, "it starts");
  const all = await until("the tree", () => {
    const found = processesOf(folder.path);
    return found.length === 3 ? found : undefined;
  });
  runtime.signal([started, ...all, { ...started, startTicks: 1 }], "SIGTERM");
  await until("the tree's end", () => processesOf(folder.path).length === 0);
  expect(readFileSync(file, "utf8")).toBe("term\n");
  store.close();
});

test.each([
  [["sh", "-c", "exit 0"], 0],
  [["sh", "-c", "exit 3"], 3],
  [["sh", "-c", "kill -9 $$"], 137],
])("the exit status of %j outlives the agent that started it", async (command, exitCode) => {
  const first = agent();
  start(first.runtime, { command }, { recordExit: true });
  first.store.close();
  const second = agent();
  const exit = await until("the record", () =>
    second.runtime.exitOf({ instanceId: "i", runId: "r1", container: "main" }),
  );
  expect(exit.exitCode).toBe(exitCode);
  second.store.close();
});

test("a recorded workload gets SIGTERM through its group and its status says so", async () => {
  const { runtime, store } = agent();
  const outcome = start(
    runtime,
    { command: ["sh", "-c", "trap 'exit 9' TERM; echo up; while :; do sleep 0.1; done"] },
    { recordExit: true },
  );
  const started = must(outcome.ok ? outcome.process : undefined, "it starts");
  await until(
    "it to be up",
    () => runtime.readLog({ instanceId: "i", tailLines: 1 })?.text === "up\n",
  );
  runtime.signal([started], "SIGTERM");
  const exit = await until("the record", () =>
    runtime.exitOf({ instanceId: "i", runId: "r1", container: "main" }),
  );
  expect(exit.exitCode).toBe(9);
  store.close();
});

test.each(["USR1", "USR2", "HUP", "ALRM"])(
  "a workload that signals its own group with %s does not hit the recorder, which opens no debugger",
  async (signal) => {
    const { runtime, store } = agent();
    const script = `trap : ${signal}; echo up; sleep 0.5; kill -${signal} 0; sleep 0.2; exit 7`;
    start(runtime, { command: ["sh", "-c", script] }, { recordExit: true });
    const exit = await until("the record", () =>
      runtime.exitOf({ instanceId: "i", runId: "r1", container: "main" }),
    );
    expect(exit.exitCode).toBe(7);
    expect(runtime.readLog({ instanceId: "i", tailLines: 10 })?.text).toBe("up\n");
    store.close();
  },
);

test.each([false, true])(
  "a workload is told of something, with a recorder before it: %s, and neither recorder nor child ends of it",
  async (recordExit) => {
    const { runtime, store } = agent();
    // Where no recorder stands before it the child, which does not listen, must not hear of it.
    const child = recordExit ? "" : "sleep 300 & ";
    const script = `trap 'echo told' USR1; ${child}echo up; while :; do sleep 0.05; done`;
    const started = start(runtime, { command: ["sh", "-c", script] }, { recordExit });
    const process = must(started.ok ? started.process : undefined, "it starts");
    const output = (): string => runtime.readLog({ instanceId: "i", tailLines: 10 })?.text ?? "";
    await until("its start", () => output() === "up\n");
    const before = runtime.findAll().length;
    runtime.tell([process], { signal: "SIGUSR1", recordsExit: recordExit });
    await until("the signal to be heard", () => output().includes("told\n"));
    expect(runtime.isAlive(process)).toBe(true);
    if (!recordExit) await until("its child", () => runtime.findAll().length >= before);
    runtime.tell([{ ...process, startTicks: process.startTicks + 1 }], {
      signal: "SIGUSR1",
      recordsExit: recordExit,
    });
    expect(output().match(/told/g)).toHaveLength(1);
    store.close();
  },
);

test("NODE_OPTIONS of a workload are not the recorder's", async () => {
  const { runtime, store } = agent();
  runtime.start({
    instanceId: "i",
    runId: "r1",
    container: { name: "main", command: ["sh", "-c", 'echo "$NODE_OPTIONS"'] },
    recordExit: true,
    environment: { PATH, NODE_OPTIONS: "--no-such-option-at-all" },
  });
  const log = await until("its output", () => {
    const text = runtime.readLog({ instanceId: "i", tailLines: 5 })?.text ?? "";
    return text === "" ? undefined : text;
  });
  expect(log).toBe("--no-such-option-at-all\n");
  store.close();
});

test("a flood of output stays within its bound and its end can be read", async () => {
  const { runtime, store } = agent({ logPartBytesMax: 100_000 });
  start(runtime, {
    command: [
      "sh",
      "-c",
      "i=0; while [ $i -lt 200 ]; do printf '%05000d\\n' $i; i=$((i+1)); sleep 0.005; done; echo the end; exec sleep 300",
    ],
  });
  const log = join(folder.path, "instances/i/main.log");
  let largest = 0;
  await until("the end", () => {
    runtime.boundLogs();
    largest = Math.max(largest, statSync(log, { throwIfNoEntry: false })?.size ?? 0);
    return runtime.readLog({ instanceId: "i", tailLines: 1 })?.text === "the end\n";
  });
  expect(largest).toBeLessThan(400_000);
  expect(statSync(`${log}.1`).size).toBeLessThanOrEqual(100_000);
  const tail = must(runtime.readLog({ instanceId: "i", tailLines: 10_000 }), "there is a log");
  expect(tail.text.length).toBeLessThanOrEqual(64 * 1024);
  expect(tail.truncated).toBe(true);
  runtime.forget("i");
  expect(runtime.readLog({ instanceId: "i", tailLines: 1 })).toBeUndefined();
  store.close();
});

test("ids that are no file names stay within the instances' folder", () => {
  const root = join(folder.path, "files");
  mkdirSync(root);
  const files = new InstanceFiles({ root });
  for (const id of ["../../etc", "a/b", ".", "x".repeat(320), "A\0b"]) {
    const path = files.exitPath({ instanceId: id, runId: "../r", container: "../c" });
    expect(path.startsWith(`${root}/_`)).toBe(true);
    expect(path.split("/").every((part) => part !== ".." && part.length < 200)).toBe(true);
  }
});

async function listening(server: Server): Promise<number> {
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

function probing(
  probe: Probe,
  more: { readonly container?: Partial<Container>; readonly timeoutMs?: number } = {},
) {
  return new HostProbeRunner().run(
    probe,
    {
      host: "127.0.0.1",
      container: { name: "main", ...more.container },
      environment: { PATH, FLOTILLA_AGENT: folder.path, FLOTILLA_INSTANCE: "i", FLOTILLA_RUN: "r" },
      timeoutMs: more.timeoutMs ?? 5_000,
    },
    new AbortController().signal,
  );
}

test("exec probes go by the exit code, and what they start ends with their time-out", async () => {
  expect(await probing({ exec: { command: ["true"] } })).toEqual({ ok: true, message: "" });
  expect(await probing({ exec: { command: ["sh", "-c", "echo broken; exit 4"] } })).toEqual({
    ok: false,
    message: "exec: exit code 4: broken",
  });
  expect(await probing({ exec: { command: ["no-such-program-here"] } })).toMatchObject({
    ok: false,
  });
  const slow = { exec: { command: ["sh", "-c", "sleep 300 & sleep 300"] } };
  expect(await probing(slow, { timeoutMs: 300 })).toEqual({
    ok: false,
    message: "no answer within 300 ms",
  });
  await until("nothing to be left", () => processesOf(folder.path).length === 0);
});

test("httpGet probes pass from 200 to 399, by number or by the port's name, and time out", async () => {
  const seen: string[] = [];
  const handler: RequestListener = (request, response) => {
    seen.push(`${request.url} ${String(request.headers["x-probe"])}`);
    if (request.url === "/slow") return;
    if (request.url === "/moved") response.writeHead(302, { location: "/ok" }).end();
    else if (request.url === "/away")
      response.writeHead(302, { location: "http://192.0.2.1/" }).end();
    else if (request.url === "/loop") response.writeHead(302, { location: "/loop" }).end();
    else if (request.url === "/big") response.end("x".repeat(5_000_000));
    else response.writeHead(request.url === "/ok" ? 200 : 500).end();
  };
  const server = createServer(handler);
  const port = await listening(server);
  const container = { ports: [{ name: "http", containerPort: port }] };
  const get = (path: string, timeoutMs = 5_000) =>
    probing({ httpGet: { path, port: "http" } }, { container, timeoutMs });
  expect(
    await probing({
      httpGet: { path: "/ok", port, httpHeaders: [{ name: "X-Probe", value: "1" }] },
    }),
  ).toMatchObject({ ok: true });
  expect(seen).toEqual(["/ok 1"]);
  expect(await get("ok")).toMatchObject({ ok: true });
  expect(await get("/moved")).toMatchObject({ ok: true });
  expect(await get("/away")).toMatchObject({ ok: true });
  expect(await get("/big")).toMatchObject({ ok: true });
  expect(await get("/broken")).toEqual({ ok: false, message: "httpGet /broken: status 500" });
  expect(await get("/loop")).toMatchObject({ ok: false });
  expect(await get("/slow", 200)).toEqual({ ok: false, message: "no answer within 200 ms" });
  expect(await probing({ httpGet: { port: "nope" } })).toMatchObject({ ok: false });
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  expect(await probing({ httpGet: { path: "/ok", port } })).toMatchObject({ ok: false });
});

test("tcpSocket probes pass when somebody listens", async () => {
  const server = createTcpServer((socket) => socket.destroy());
  const port = await new Promise<number>((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : 0);
    });
  });
  expect(await probing({ tcpSocket: { port } })).toEqual({ ok: true, message: "" });
  await new Promise((resolve) => server.close(resolve));
  expect(await probing({ tcpSocket: { port } })).toMatchObject({ ok: false });
  // TEST-NET-1 answers nothing, or says that it cannot be reached.
  expect(
    await probing({ tcpSocket: { port: 9, host: "192.0.2.1" } }, { timeoutMs: 200 }),
  ).toMatchObject({ ok: false });
  expect(await probing({})).toMatchObject({ ok: false });
});

test("a container that names no folder starts in the work folder, and so does its exec probe", async () => {
  const { runtime, store } = realAgent(folder.path, { workDir: folder.path });
  start(runtime, { command: ["pwd"] });
  const log = await until("its output", () => {
    const text = runtime.readLog({ instanceId: "i", tailLines: 1 })?.text ?? "";
    return text === "" ? undefined : text;
  });
  expect(log).toBe(`${folder.path}\n`);
  const context = {
    host: "127.0.0.1",
    container: { name: "main" },
    environment: { PATH },
    timeoutMs: 5_000,
  };
  const probe = { exec: { command: ["test", "-d", "instances"] } };
  const runner = new HostProbeRunner({ workDir: folder.path });
  expect(await runner.run(probe, context, new AbortController().signal)).toMatchObject({
    ok: true,
  });
  store.close();
});

test("a program found by a relative path is taken from the working folder", async () => {
  const script = join(folder.path, "run.sh");
  writeFileSync(script, "#!/bin/sh\necho here $PWD\n");
  chmodSync(script, 0o755);
  const { runtime, store } = agent();
  expect(start(runtime, { command: ["./run.sh"], workingDir: folder.path })).toMatchObject({
    ok: true,
  });
  await until(
    "its output",
    () => runtime.readLog({ instanceId: "i", tailLines: 1 })?.text === `here ${folder.path}\n`,
  );
  store.close();
});

test("a log that was replaced by a link is neither followed nor in the way of the others", async () => {
  const { runtime, store } = agent({ logPartBytesMax: 1_000 });
  const precious = join(folder.path, "precious");
  writeFileSync(precious, "p".repeat(5_000));
  for (const id of ["a", "z"]) mkdirSync(join(folder.path, "instances", id));
  symlinkSync(precious, join(folder.path, "instances/a/main.log"));
  writeFileSync(join(folder.path, "instances/z/main.log"), "z".repeat(5_000));
  runtime.boundLogs();
  expect(statSync(precious).size).toBe(5_000);
  expect(statSync(join(folder.path, "instances/z/main.log")).size).toBe(0);
  expect(runtime.readLog({ instanceId: "a", tailLines: 1 })).toBeUndefined();
  expect(runtime.readLog({ instanceId: "z", tailLines: 1 })?.text).toBe("z".repeat(1_000));
  store.close();
});
