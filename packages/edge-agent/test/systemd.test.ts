import { execFile, spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { ManualClock } from "@flotilla/shared/testing/manual-clock";
import { RecordingLog } from "@flotilla/shared/testing/silent-log";
import { afterEach, beforeEach, expect, test } from "vitest";
import { SystemdNotifier, watchdogIntervalMs } from "../src/adapters/systemd/notify.ts";
import { testFolder, until } from "./support/real-node.ts";

const run = promisify(execFile);
const PACKAGING = join(import.meta.dirname, "../../../packaging/systemd");
const ANALYZE = "/usr/bin/systemd-analyze";

let folder: ReturnType<typeof testFolder>;
beforeEach(() => {
  folder = testFolder();
});
afterEach(() => folder.remove());

/** Stands in for systemd-notify: writes down how it was called. */
function fakeNotify(): { readonly path: string; calls: () => readonly string[] } {
  const path = join(folder.path, "systemd-notify");
  const calls = join(folder.path, "calls");
  writeFileSync(path, `#!/bin/sh\necho "$NOTIFY_SOCKET $*" >> ${calls}\n`);
  chmodSync(path, 0o755);
  return {
    path,
    calls: () => (existsSync(calls) ? readFileSync(calls, "utf8").trim().split("\n") : []),
  };
}

function notifier(options: {
  readonly programPath: string;
  readonly notifySocket?: string | undefined;
  readonly isFresh?: () => boolean;
}) {
  const clock = new ManualClock();
  const log = new RecordingLog();
  const { programPath, isFresh = () => true } = options;
  const notifySocket = "notifySocket" in options ? options.notifySocket : "/run/systemd/notify";
  const service = new SystemdNotifier(
    { notifySocket, watchdogUsec: "60000000", programPath },
    { clock, log, isFresh },
  );
  return { service, clock, log };
}

test("readiness and stopping are told through systemd-notify", async () => {
  const fake = fakeNotify();
  const { service } = notifier({ programPath: fake.path });
  await service.ready("3 instances\nrun");
  await service.stopping();
  expect(fake.calls()).toEqual([
    "/run/systemd/notify --ready --status=3 instances run",
    "/run/systemd/notify STOPPING=1",
  ]);
});

test("the watchdog is served at half its time and only while the work is fresh", async () => {
  const fake = fakeNotify();
  let isFresh = true;
  const { service, clock, log } = notifier({ programPath: fake.path, isFresh: () => isFresh });
  const stop = new AbortController();
  const running = service.run(stop.signal);
  await until("the first ping", () => fake.calls().length === 1 && clock.sleeperCount === 1);
  await clock.advance(30_000);
  await until("the second ping", () => fake.calls().length === 2 && clock.sleeperCount === 1);
  isFresh = false;
  await clock.advance(90_000);
  expect(fake.calls()).toHaveLength(2);
  expect(log.lines.filter((l) => l.level === "error")).toHaveLength(1);
  stop.abort();
  await running;
  expect(fake.calls().every((call) => call.endsWith("WATCHDOG=1"))).toBe(true);
});

test("a machine that wakes from sleep is not taken for an agent that hangs", async () => {
  const fake = fakeNotify();
  let isFresh = true;
  const { service, clock } = notifier({ programPath: fake.path, isFresh: () => isFresh });
  const stop = new AbortController();
  const running = service.run(stop.signal);
  await until("the first ping", () => fake.calls().length === 1 && clock.sleeperCount === 1);
  // The notifier's timer comes before the reconciler's first pass after the sleep.
  isFresh = false;
  await clock.advance(30_000);
  isFresh = true;
  await clock.advance(1_000);
  await until("the ping after the pass", () => fake.calls().length === 2);
  expect(clock.bootMs()).toBeLessThan(60_000);
  stop.abort();
  await running;
});

test("without systemd nothing is run, and a missing program is said and survived", async () => {
  const fake = fakeNotify();
  const without = notifier({ programPath: fake.path, notifySocket: undefined });
  await without.service.ready("");
  expect(fake.calls()).toEqual([]);
  const broken = notifier({ programPath: join(folder.path, "not-there") });
  await broken.service.ready("");
  expect(broken.log.lines).toMatchObject([{ level: "warn" }]);
});

test.each([
  ["60000000", 30_000],
  ["1", 1],
  ["0", undefined],
  ["nonsense", undefined],
  [undefined, undefined],
])("WATCHDOG_USEC %j is a ping each %j ms", (usec, expected) => {
  expect(watchdogIntervalMs(usec)).toBe(expected);
});

/** A tree as install.sh lays it out, from a made-up build. */
async function installed(): Promise<string> {
  const [dist, root] = [join(folder.path, "dist"), join(folder.path, "root")];
  mkdirSync(dist);
  for (const name of ["flotilla-agent.mjs", "exit-recorder.mjs", "better_sqlite3.node"])
    writeFileSync(join(dist, name), "");
  await run("sh", [join(PACKAGING, "install.sh"), dist, root], {
    env: { ...process.env, NODE: process.execPath },
  });
  return root;
}

test("install.sh lays out everything that the unit names", async () => {
  const root = await installed();
  const unit = readFileSync(join(root, "usr/lib/systemd/system/flotilla-agent.service"), "utf8");
  const [node = "", , bundle = ""] = /^ExecStart=(.*)$/m.exec(unit)?.[1]?.split(" ") ?? [];
  expect(statSync(join(root, node)).mode & 0o111).toBe(0o111);
  expect(existsSync(join(root, bundle))).toBe(true);
  expect(existsSync(join(root, "usr/lib/flotilla-agent/exit-recorder.mjs"))).toBe(true);
  expect(existsSync(join(root, "usr/lib/flotilla-agent/better_sqlite3.node"))).toBe(true);
  expect(statSync(join(root, "usr/bin/flotilla-agent")).mode & 0o111).toBe(0o111);
});

test("install.sh without a build says what to do", async () => {
  await expect(
    run("sh", [join(PACKAGING, "install.sh"), join(folder.path, "empty"), folder.path]),
  ).rejects.toMatchObject({
    stderr: expect.stringContaining("try: build it first"),
  });
});

test("the unit says what lets workloads outlive the agent", () => {
  const unit = readFileSync(join(PACKAGING, "flotilla-agent.service"), "utf8");
  for (const line of [
    "Type=notify",
    "NotifyAccess=all",
    "KillMode=process",
    "Restart=always",
    "WatchdogSec=60s",
    "OOMPolicy=continue",
  ])
    expect(unit).toContain(`\n${line}\n`);
  expect(unit).not.toMatch(/^PrivateTmp=yes/m);
});

test("systemd itself finds nothing wrong with the unit", async () => {
  const root = await installed();
  const text = readFileSync(join(PACKAGING, "flotilla-agent.service"), "utf8");
  const unit = join(folder.path, "flotilla-agent.service");
  // Its files lie below the made-up root; the judgement is about the unit.
  writeFileSync(
    unit,
    text.replaceAll("/usr/lib/flotilla-agent/", `${root}/usr/lib/flotilla-agent/`),
  );
  // Where systemd is not installed nobody can judge; what the unit says is tested above.
  const result = existsSync(ANALYZE) ? await verify(unit) : { code: 0, said: "" };
  const about = result.said.split("\n").filter((line) => line.includes("flotilla-agent"));
  expect(about).toEqual([]);
  expect(result.code).toBe(0);
});

function verify(unit: string): Promise<{ readonly code: number | null; readonly said: string }> {
  return new Promise((resolve) => {
    const child = spawn(ANALYZE, ["verify", "--man=no", unit], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let said = "";
    child.stdout.on("data", (chunk: Buffer) => void (said += chunk.toString()));
    child.stderr.on("data", (chunk: Buffer) => void (said += chunk.toString()));
    child.once("close", (code) => resolve({ code, said }));
  });
}
