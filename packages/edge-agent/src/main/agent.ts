import { hostname } from "node:os";
import { join } from "node:path";
import { systemClock } from "@flotilla/shared/platform/clock";
import { createLog, outliveOutput } from "@flotilla/shared/platform/log";
import { createMetrics } from "@flotilla/shared/platform/metrics";
import { systemRandom } from "@flotilla/shared/platform/random";
import { runServices } from "@flotilla/shared/platform/supervisor";
import { Option } from "commander";
import { agentConfig } from "./config.ts";
import { agentProgram, DEFAULT_STATE_DIR, runProgram, stateDirOption } from "./flotilla-agent.ts";
import type { AgentPlatform } from "./platform.ts";
import { AGENT_VERSION } from "./version.ts";
import { AGENT_METRICS, joinFleet, openAgent } from "./wiring.ts";

function platformOf(logLevel: string): AgentPlatform {
  return {
    clock: systemClock(),
    random: systemRandom(),
    log: createLog({ name: "flotilla-agent", level: logLevel }),
    metrics: createMetrics(AGENT_METRICS),
  };
}

/** Runs the agent until it is asked to stop. Its workloads go on. */
async function run(flags: Readonly<Record<string, unknown>>): Promise<void> {
  const config = agentConfig(flags);
  const platform = platformOf(config.logLevel);
  const agent = await openAgent(config, platform);
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.once(signal, () => stop.abort(new Error(signal)));
  platform.log.info(
    { version: AGENT_VERSION, node: agent.nodeId, stateDir: config.stateDir },
    "agent is up",
  );
  await agent.systemd.ready(`node ${agent.nodeId}`);
  try {
    await runServices({ services: agent.services, signal: stop.signal }, platform);
  } finally {
    await agent.systemd.stopping();
    agent.close();
  }
  platform.log.info({}, "agent has stopped; workloads go on");
}

interface JoinFlags {
  readonly stateDir: string;
  readonly nodeName: string;
}

/** Enrols this machine, once. */
async function enrol(joinString: string, flags: JoinFlags): Promise<void> {
  const { credentials, isNew } = await joinFleet({ ...flags, joinString }, platformOf("warn"));
  const { nodeId, apiUrl } = credentials;
  io.out(
    isNew
      ? `node ${nodeId} is enrolled at ${apiUrl}\nnext: flotilla-agent run --state-dir ${flags.stateDir}\n`
      : `this machine is enrolled already, as node ${nodeId} at ${apiUrl}; the join string was not used\nto enrol it anew, stop the agent and remove ${join(flags.stateDir, "credentials.json")} first\n`,
  );
}

const io = {
  out: (text: string): void => void process.stdout.write(text),
  err: (text: string): void => void process.stderr.write(text),
};

outliveOutput();
const program = agentProgram(io).version(AGENT_VERSION);
program
  .command("join")
  .description("enrol this machine with a join string of `flotilla node join-token`")
  .argument("<join-string>")
  .addOption(stateDirOption())
  .option(
    "--node-name <name>",
    "name of the node in the fleet",
    hostname().split(".")[0]?.toLowerCase() ?? "node",
  )
  .action(enrol);
program
  .command("run")
  .description("run the agent (what the systemd unit starts)")
  .addOption(
    new Option(
      "--state-dir <folder>",
      `state directory of the agent (default ${DEFAULT_STATE_DIR})`,
    ).env("FLOTILLA_STATE_DIR"),
  )
  .option("--config <file>", "JSON file with the same settings in camelCase")
  .option(
    "--node-address <address>",
    "address on which workloads of this node are reached (default 127.0.0.1)",
  )
  .option(
    "--work-dir <folder>",
    "where workloads start whose manifest names no folder (default: the state directory)",
  )
  .option(
    "--hardware-id <id>",
    "what releases are made for, as their metadata names it (default <os>-<arch>)",
  )
  .option(
    "--artifact-url <url>",
    "where the hub's artifact server is reached from here, when not as the hub says",
  )
  .option(
    "--peer-listen <host:port>",
    "where other nodes of the site get payloads, or off (default: port 7446 of the node's address)",
  )
  .option("--peer-bytes-per-second <bytes>", "most that other nodes get altogether")
  .option("--payload-cache-bytes <bytes>", "most that is kept for other nodes (default 1 GiB)")
  .option("--download-bytes-per-second <bytes>", "most that downloads from the hub take")
  .option("--disk-reserve-bytes <bytes>", "free space that downloads leave alone (default 256 MiB)")
  .option("--disk-probe", "measure the disk's speed at each start")
  .option("--mqtt-url <url>", "where the broker is reached from here, when not as the hub says")
  .option("--trust-root <file>", "1.root.json of the trust metadata (default: the hub's, once)")
  .option("--log-level <level>", "debug, info, warn, error or silent")
  .action(run);

process.exitCode = await runProgram(program, process.argv.slice(2), io);
