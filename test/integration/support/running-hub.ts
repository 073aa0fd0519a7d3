import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hubConfig } from "@flotilla/hub/main/config";
import { HUB_METRICS, openHub } from "@flotilla/hub/main/wiring";
import { systemClock } from "@flotilla/shared/platform/clock";
import { createMetrics } from "@flotilla/shared/platform/metrics";
import { systemRandom } from "@flotilla/shared/platform/random";
import { runServices } from "@flotilla/shared/platform/supervisor";
import { RecordingLog } from "@flotilla/shared/testing/silent-log";

/** A whole hub in this process, on ports of its own and in a folder of its own. */
export interface RunningHub {
  readonly dataDir: string;
  readonly kubeconfig: string;
  readonly apiUrl: string;
  readonly log: RecordingLog;
  /** Stops it; its files stay until `remove`. */
  stop(): Promise<void>;
  remove(): void;
}

/** Starts a hub in `dataDir`, or in a new folder. */
export async function startHub(
  dataDir: string = mkdtempSync(join(tmpdir(), "flotilla-hub-")),
): Promise<RunningHub> {
  const log = new RecordingLog();
  const free = "127.0.0.1:0";
  const config = hubConfig({
    dataDir,
    apiListen: free,
    mqttListen: free,
    artifactListen: free,
    uploadListen: free,
  });
  const platform = {
    clock: systemClock(),
    random: systemRandom(),
    log,
    metrics: createMetrics(HUB_METRICS),
  };
  const hub = await openHub(config, platform);
  const stopping = new AbortController();
  const ended = runServices({ services: hub.services, signal: stopping.signal }, platform);
  return {
    dataDir,
    kubeconfig: hub.kubeconfigPath,
    apiUrl: hub.apiUrl,
    log,
    stop: async () => {
      stopping.abort(new Error("the test is over"));
      await ended;
      await hub.close();
    },
    remove: () => rmSync(dataDir, { recursive: true, force: true }),
  };
}
