import { execFile, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "@flotilla/shared/platform/clock";
import { createMetrics } from "@flotilla/shared/platform/metrics";
import { systemRandom } from "@flotilla/shared/platform/random";
import { silentLog } from "@flotilla/shared/testing/silent-log";
import { afterEach, beforeEach, expect, test } from "vitest";
import { SqliteAgentStore } from "../src/adapters/store/sqlite-agent-store.ts";
import { lockStateDir } from "../src/adapters/store/state-lock.ts";
import { agentConfig } from "../src/main/config.ts";
import { AGENT_METRICS, openAgent } from "../src/main/wiring.ts";
import { acceptedDesired } from "./support/desired.ts";

const PROGRAM = join(import.meta.dirname, "../src/main/agent.ts");

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "flotilla-program-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function agent(...args: readonly string[]): Promise<{ status: number; out: string; err: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [PROGRAM, ...args], { timeout: 30_000 }, (error, out, err) => {
      resolve({ status: error === null ? 0 : Number(error.code), out, err });
    });
  });
}

test("run on a folder that is not enrolled says how to join, and makes nothing", async () => {
  const stateDir = join(folder, "nowhere");
  const { status, err } = await agent("run", "--state-dir", stateDir);
  expect(status).toBe(1);
  expect(err).toContain("this node is not enrolled");
  expect(err).toContain(`--state-dir ${stateDir}`);
  expect(existsSync(stateDir)).toBe(false);
});

test("the state directory of the configuration file is taken when no flag names one", async () => {
  const config = join(folder, "agent.json");
  writeFileSync(config, JSON.stringify({ stateDir: join(folder, "from-the-file") }));
  const { err } = await agent("run", "--config", config);
  expect(err).toContain("from-the-file holds no credentials");
});

test.each([
  [{ nodeAdress: "127.0.0.1" }, /nodeAdress is not known/],
  [{ mqttUrl: "http://hub" }, /mqttUrl/],
  ["no object", /is no JSON object/],
])("a configuration of %j ends with 2 and names the field", async (content, message) => {
  const config = join(folder, "agent.json");
  writeFileSync(config, JSON.stringify(content));
  const { status, err } = await agent("run", "--config", config);
  expect(status).toBe(2);
  expect(err).toMatch(message);
});

test("a join string that is none ends with 2 and says where one comes from", async () => {
  const { status, err } = await agent("join", "not-a-join-string", "--state-dir", folder);
  expect(status).toBe(2);
  expect(err).toContain("flotilla node join-token");
});

test("a reader that goes away is no error", async () => {
  const child = spawn(process.execPath, [PROGRAM, "--help"], { stdio: ["ignore", "pipe", "pipe"] });
  child.stdout.destroy();
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => (said += chunk.toString()));
  const status = await new Promise((resolve) => child.once("close", resolve));
  expect([status, said]).toEqual([0, ""]);
});

test("nobody else may read the lock", () => {
  lockStateDir(folder).release();
  expect(statSync(join(folder, "agent.lock")).mode & 0o777).toBe(0o600);
});

test("a machine that lost its credentials still runs what it accepted last, and waits to be joined again", async () => {
  const log = silentLog();
  const clock = systemClock();
  const random = systemRandom();
  const store = new SqliteAgentStore({ directory: folder }, { clock, random, log });
  store.acceptDesired(acceptedDesired({ nodeId: "n1" }));
  store.close();
  writeFileSync(join(folder, "credentials.json"), "{ damaged");
  const metrics = createMetrics(AGENT_METRICS);
  const agent = await openAgent(agentConfig({ stateDir: folder }), { clock, random, log, metrics });
  agent.close();
  expect(agent.nodeId).toBe("n1");
});
