import { CodedError, hasCode, messageOf } from "@flotilla/shared/kernel/errors";
import { systemClock } from "@flotilla/shared/platform/clock";
import { createLog, outliveOutput } from "@flotilla/shared/platform/log";
import { createMetrics } from "@flotilla/shared/platform/metrics";
import { systemRandom } from "@flotilla/shared/platform/random";
import { runServices } from "@flotilla/shared/platform/supervisor";
import { Command } from "commander";
import { hubConfig } from "./config.ts";
import { HUB_VERSION } from "./version.ts";
import { HUB_METRICS, openHub } from "./wiring.ts";

/** Exit status of a start that a person can mend: a flag, a file, a port. */
const USAGE_STATUS = 2;

/** Runs the hub until it is asked to stop, then drains. Resolves with the exit status. */
async function run(flags: Readonly<Record<string, unknown>>): Promise<number> {
  outliveOutput();
  const config = hubConfig(flags);
  const log = createLog({ name: "flotilla-hub", level: config.logLevel });
  const platform = {
    clock: systemClock(),
    random: systemRandom(),
    log,
    metrics: createMetrics(HUB_METRICS),
  };
  const hub = await openHub(config, platform);
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.once(signal, () => stop.abort(new Error(signal)));
  log.info(
    { version: HUB_VERSION, api: hub.apiUrl, mqtt: hub.mqttUrl, accessFile: hub.kubeconfigPath },
    "hub is up",
  );
  try {
    await runServices({ services: hub.services, signal: stop.signal }, platform);
  } finally {
    await hub.close();
  }
  log.info({}, "hub has stopped");
  return 0;
}

/** A failed start in three lines: what, the mend. */
function explain(error: unknown): number {
  process.stderr.write(`error: ${messageOf(error)}\n`);
  if (error instanceof CodedError && error.mend !== undefined)
    process.stderr.write(`try: ${error.mend}\n`);
  return hasCode(error, "config-invalid") || hasCode(error, "config-unreadable") ? USAGE_STATUS : 1;
}

const program = new Command("flotilla-hub")
  .description("the cloud side of Flotilla: resource API, MQTT broker, scheduler, desired state")
  .version(HUB_VERSION)
  .option("--data-dir <folder>", "state of the hub: database, keys, kubeconfig")
  .option("--config <file>", "JSON file with the same settings in camelCase")
  .option("--api-listen <host:port>", "address of the API (default 127.0.0.1:7443)")
  .option("--mqtt-listen <host:port>", "address of the broker (default 127.0.0.1:7883)")
  .option("--api-advertise <host:port>", "address of the API as nodes and people reach it")
  .option("--mqtt-advertise <host:port>", "address of the broker as nodes reach it")
  .option("--price-dir <path>", "where price files of SchedulingProfiles are read from")
  .option("--artifact-listen <host:port>", "where nodes fetch artifacts (default 127.0.0.1:7444)")
  .option("--artifact-advertise <host:port>", "that address as nodes reach it")
  .option("--upload-listen <host:port>", "where artifacts are uploaded (default 127.0.0.1:7445)")
  .option("--upload-advertise <host:port>", "that address as people reach it")
  .option("--artifact-incoming-dir <path>", "folder of releases that are taken in by themselves")
  .option("--artifact-quota-bytes <count>", "most bytes of contents of artifacts (default 20 GiB)")
  .option("--artifact-cache-bytes <count>", "most bytes of deltas that lie ready (default 10 GiB)")
  .option("--delta-workers <count>", "how many deltas are made at a time")
  .option("--log-level <level>", "debug, info, warn, error or silent")
  .action(async (flags: Readonly<Record<string, unknown>>) => {
    process.exitCode = await run(flags).catch(explain);
  });

await program.parseAsync();
