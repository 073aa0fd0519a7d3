import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "@flotilla/shared/platform/clock";
import { createMetrics } from "@flotilla/shared/platform/metrics";
import { systemRandom } from "@flotilla/shared/platform/random";
import { silentLog } from "@flotilla/shared/testing/silent-log";
import { HostProbeRunner } from "../../src/adapters/probes-health/probe-runner.ts";
import { readBootId } from "../../src/adapters/runtime/proc.ts";
import { HostProcessRuntime } from "../../src/adapters/runtime/process-runtime.ts";
import { SqliteAgentStore } from "../../src/adapters/store/sqlite-agent-store.ts";
import { RECONCILE_METRICS } from "../../src/app/reconcile/metrics.ts";
import type { FoundProcess } from "../../src/app/reconcile/ports.ts";
import { Reconciler } from "../../src/app/reconcile/reconciler.ts";

/** What a test agent on this machine is made of; its id is its folder's name, so that tests do not see each other. */
export function realAgent(
  directory: string,
  options: { readonly logPartBytesMax?: number; readonly workDir?: string } = {},
) {
  const clock = systemClock();
  const log = silentLog();
  const random = systemRandom();
  const bootId = readBootId();
  const agentId = directory;
  const deps: { wake: () => void } = { wake: () => undefined };
  const runtime = new HostProcessRuntime(
    {
      root: join(directory, "instances"),
      agentId,
      bootId,
      exitRecorder: [
        process.execPath,
        join(import.meta.dirname, "../../src/main/exit-recorder.ts"),
      ],
      ...options,
    },
    { clock, log, onExit: () => deps.wake() },
  );
  const store = new SqliteAgentStore({ directory }, { clock, random, log });
  const reconciler = new Reconciler(
    {
      agentId,
      nodeId: "n1",
      nodeAddress: "127.0.0.1",
      inheritedEnvironment: { PATH: process.env["PATH"] ?? "" },
      bootId,
    },
    {
      store,
      runtime,
      probeRunner: new HostProbeRunner(),
      clock,
      random,
      log,
      metrics: createMetrics(RECONCILE_METRICS),
      onChange: () => undefined,
    },
  );
  deps.wake = () => reconciler.wake();
  return { runtime, store, reconciler, clock };
}

/** A folder for one test; `remove` ends every process that carries its agent's id. */
export function testFolder(): { readonly path: string; readonly remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), "flotilla-reconcile-"));
  mkdirSync(join(path, "instances"));
  return {
    path,
    remove: () => {
      for (const found of processesOf(path)) {
        try {
          process.kill(found.pid, "SIGKILL");
        } catch {
          // It has ended by itself.
        }
      }
      rmSync(path, { recursive: true, force: true });
    },
  };
}

/** All live processes of the agent of this folder. */
export function processesOf(directory: string): readonly FoundProcess[] {
  const options = {
    root: join(directory, "instances"),
    agentId: directory,
    bootId: readBootId(),
    exitRecorder: [process.execPath] as [string],
  };
  const deps = { clock: systemClock(), log: silentLog(), onExit: () => undefined };
  return new HostProcessRuntime(options, deps).findAll();
}

/** Polls until `check` gives a value; the failure names what was waited for. */
export async function until<T>(
  what: string,
  check: () => T | undefined | false,
  timeoutMs = 20_000,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  while (performance.now() < deadline) {
    const value = check();
    if (value !== undefined && value !== false) return value;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`waited ${timeoutMs} ms for ${what}`);
}
