import { strict as assert } from "node:assert";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import {
  accessSync,
  closeSync,
  constants,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs, promisify } from "node:util";
import { ROOT, until } from "./demo/processes.ts";

/**
 * Proves that the systemd unit runs: boots a Debian with systemd in a container, installs the agent there as an operator would,
 * and looks at it after a start, a kill -9, a stop and a reboot without a hub. Needs root, systemd-nspawn and mmdebstrap, and
 * a minute; where they are missing it says so. `--image FILE` takes a tar of such a Debian instead of making one.
 */
const { values } = parseArgs({ options: { image: { type: "string" } } });

const TOOLS = ["systemd-nspawn", "mmdebstrap", "nsenter", "tar"];
const STATE_DIR = "/var/lib/flotilla-agent";
const REPLICAS = 3;
const MANIFEST = `apiVersion: edge.kurator.dev/v1alpha1
kind: Site
metadata: {name: plant}
spec: {provider: onprem}
---
apiVersion: fleet.kurator.dev/v1alpha1
kind: Fleet
metadata: {name: demo}
spec: {sites: [{name: plant}]}
---
apiVersion: apps.kurator.dev/v1alpha1
kind: Application
metadata: {name: sleepers}
spec:
  fleet: {name: demo}
  components:
    - name: sleeper
      type: Deployment
      template: {spec: {replicas: ${REPLICAS}, template: {spec: {containers: [{name: sleeper, command: [/bin/sleep, "100000"]}]}}}}
`;

const run = promisify(execFile);
const startedMs = performance.now();
const folder = mkdtempSync(join(tmpdir(), "flotilla-systemd-"));
const machine = join(folder, "machine");
const dist = join(folder, "dist");
// What the caller's Node was told does not hold inside.
const environment = { PATH: process.env["PATH"], LANG: "C.UTF-8" };
let hub: ChildProcess | undefined;
let container: ChildProcess | undefined;

/** Pids by instance, as the agent in the container reports them; throws as long as not all run. */
interface Sight {
  readonly pids: Readonly<Record<string, number>>;
  readonly restarts: number;
}

const missing = TOOLS.filter((tool) => !isOnPath(tool));
if (missing.length > 0 || process.getuid?.() !== 0) {
  const why = missing.length > 0 ? `${missing.join(", ")} not found` : "not root";
  console.log(`left out: ${why} (apt-get install systemd-container mmdebstrap)`);
} else {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
    process.once(signal, () => void cleanUp().finally(() => process.exit(130)));
  try {
    await install();
    await prove();
  } finally {
    await cleanUp();
  }
}

async function install(): Promise<void> {
  mkdirSync(machine);
  const image = values.image ?? join(folder, "image.tar");
  const packages = "--include=systemd,systemd-sysv,dbus";
  if (values.image === undefined)
    await run("mmdebstrap", ["--quiet", "--variant=minbase", packages, "bookworm", image]);
  await run("tar", ["-C", machine, "-xf", image]);
  say("a Debian with systemd is there");
  await run(process.execPath, [join(ROOT, "scripts/build.ts"), "--quiet", "--out", dist]);
  await run("sh", [join(ROOT, "packaging/systemd/install.sh"), dist, machine], {
    env: { ...environment, NODE: process.execPath },
  });
  await startHub();
  const script = [
    "set -e",
    "systemd-sysusers /usr/lib/sysusers.d/flotilla-agent.conf",
    "systemd-tmpfiles --create /usr/lib/tmpfiles.d/flotilla-agent.conf",
    "systemctl enable flotilla-agent",
    `runuser -u flotilla-agent -- flotilla-agent join --state-dir ${STATE_DIR} --node-name box "$1"`,
  ];
  const joinString = (await flotilla("node", "join-token", "--site", "plant")).trim();
  const shell = ["/bin/sh", "-c", script.join("\n"), "install", joinString];
  await run("systemd-nspawn", [...nspawnFlags(), "--pipe", ...shell], { env: environment });
  say("the agent is installed, enabled and enrolled");
}

async function startHub(): Promise<void> {
  const listen = ["api", "mqtt", "artifact", "upload"].flatMap((what) => [
    `--${what}-listen`,
    "127.0.0.1:0",
  ]);
  const bundle = join(dist, "flotilla-hub.mjs");
  hub = background(process.execPath, [bundle, "--data-dir", join(folder, "hub"), ...listen]);
  await until("the hub to answer", () => flotilla("get", "sites"));
  const manifest = join(folder, "manifest.yaml");
  writeFileSync(manifest, MANIFEST);
  await flotilla("apply", "-f", manifest);
}

async function prove(): Promise<void> {
  boot();
  const before = await until("the workloads to run", look);
  say(`the unit is ${await property("ActiveState")}, ${REPLICAS} workloads run`);

  const killed = await property("MainPID");
  await inside("systemctl", "kill", "--kill-whom=main", "--signal=SIGKILL", "flotilla-agent");
  await until("systemd to start it again", async () =>
    (await property("NRestarts")) === "1" && (await property("ActiveState")) === "active"
      ? true
      : undefined,
  );
  assert.notEqual(await property("MainPID"), killed);
  assert.deepEqual(await until("the agent to answer", look), before);
  say("kill -9: started again, every workload taken over, none restarted");

  await inside("systemctl", "stop", "flotilla-agent");
  for (const pid of Object.values(before.pids)) await inside("test", "-d", `/proc/${pid}`);
  await inside("systemctl", "start", "flotilla-agent");
  assert.deepEqual(await until("the agent to answer", look), before);
  say("stop and start: the workloads went on meanwhile and are taken over");

  await end(hub, "SIGKILL");
  await end(container, "SIGTERM");
  boot();
  const after = await until("the workloads to run after the reboot", look);
  assert.deepEqual(Object.keys(after.pids), Object.keys(before.pids));
  say("reboot without a hub: everything runs again");
}

function nspawnFlags(): string[] {
  return ["--quiet", "--directory", machine, "--register=no", "--keep-unit"];
}

/** SIGTERM to systemd-nspawn is then a shutdown in good order (SIGRTMIN+3 is systemd's "halt"). */
function boot(): void {
  const flags = [...nspawnFlags(), "--kill-signal=SIGRTMIN+3", "--boot"];
  container = background("systemd-nspawn", flags);
}

async function look(): Promise<Sight | undefined> {
  const command = ["flotilla-agent", "status", "--state-dir", STATE_DIR, "-o", "json"];
  const { instances }: { instances: { id: string; pid?: number; restartCount: number }[] } =
    JSON.parse(await inside("runuser", "-u", "flotilla-agent", "--", ...command));
  const running = instances.filter((i) => i.pid !== undefined);
  if (running.length < REPLICAS) return undefined;
  const pids = Object.fromEntries(running.map((i) => [i.id, i.pid ?? 0]));
  return { pids, restarts: running.reduce((sum, i) => sum + i.restartCount, 0) };
}

async function property(name: string): Promise<string> {
  return (await inside("systemctl", "show", "-P", name, "flotilla-agent")).trim();
}

/** Runs a program among the container's processes. */
async function inside(...command: string[]): Promise<string> {
  const pid = container?.pid;
  const [leader] = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ");
  const namespaces = ["-t", leader ?? "", "-m", "-u", "-i", "-p", "--"];
  return (await run("nsenter", [...namespaces, ...command], { env: environment })).stdout;
}

async function flotilla(...args: string[]): Promise<string> {
  const kubeconfig = ["--kubeconfig", join(folder, "hub/kubeconfig")];
  const bundle = join(dist, "flotilla.mjs");
  return (await run(process.execPath, [bundle, ...kubeconfig, ...args])).stdout;
}

function background(program: string, args: readonly string[]): ChildProcess {
  const log = openSync(join(folder, "log"), "a");
  const child = spawn(program, args, { env: environment, stdio: ["ignore", log, log] });
  closeSync(log);
  return child;
}

async function end(child: ChildProcess | undefined, signal: NodeJS.Signals): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill(signal);
  await ended;
}

async function cleanUp(): Promise<void> {
  await end(hub, "SIGKILL");
  await end(container, "SIGTERM");
  rmSync(folder, { recursive: true, force: true });
}

function isOnPath(tool: string): boolean {
  return (process.env["PATH"] ?? "").split(":").some((directory) => {
    try {
      accessSync(join(directory, tool), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function say(text: string): void {
  const seconds = (performance.now() - startedMs) / 1000;
  console.log(`${seconds.toFixed(1).padStart(6)} s  ${text}`);
}
