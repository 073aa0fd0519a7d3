import { type Activation, makeActivation } from "@flotilla/edge-agent/app/artifact/activation";
import type { Random } from "@flotilla/shared/kernel/random";
import type { Log } from "@flotilla/shared/kernel/service";
import type { SimAgentStore } from "../node/agent-store.ts";
import type { SimRuntime } from "../node/process-runtime.ts";
import { noMetrics } from "../world/no-metrics.ts";
import { sha256 } from "../world/signing.ts";
import { type AgentFilesDeps, SimBlobs, SimFetcher, SimSlotDisk } from "./agent-files.ts";
import { SimTrust } from "./agent-trust.ts";

/** Mean time until a workload answers a reload. */
const RELOAD_MS = 50;

/** The agent's real activation over a simulated disk, simulated sources and what people signed. */
export function simActivation(
  deps: Omit<AgentFilesDeps, "onSwitch"> & {
    readonly store: SimAgentStore;
    readonly runtime: SimRuntime;
    readonly random: Random;
    readonly log: Log;
    readonly onChange: () => void;
  },
): Activation {
  const { clock, depot, dice, machine, runtime, store } = deps;
  const files = { ...deps, onSwitch: (id: string) => runtime.filesChanged(id) };
  return makeActivation(
    { bootId: machine.bootId },
    {
      ...deps,
      slots: store,
      sha256,
      trust: new SimTrust(files, store),
      fetcher: new SimFetcher(files),
      blobs: new SimBlobs(files),
      disk: new SimSlotDisk(files),
      recover: () => Promise.resolve(),
      forget: (isWanted) => {
        const { parts } = machine.artifacts;
        for (const digest of parts.keys()) if (!isWanted(digest)) parts.delete(digest);
      },
      signals: runtime,
      poster: {
        post: async ({ path }, signal) => {
          await clock.sleep(dice.exponential(RELOAD_MS), signal).catch(() => undefined);
          return { ok: depot.takesReload(path), message: "status 500" };
        },
      },
      lockFiles: { read: () => undefined },
      peer: () => undefined,
      metrics: noMetrics(),
    },
  );
}
