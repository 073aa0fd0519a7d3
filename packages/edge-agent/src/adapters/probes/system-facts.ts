import { cpus } from "node:os";
import type { Clock } from "@flotilla/shared/kernel/clock";
import { messageOf } from "@flotilla/shared/kernel/errors";
import type { Log } from "@flotilla/shared/kernel/service";
import type { Inventory } from "@flotilla/shared/model/capacity";
import { cpu, osInfo, system } from "systeminformation";

/** systeminformation asks the system's own tools; one that hangs must not hold the agent's start. */
const SYSTEM_FACTS_TIMEOUT_MS = 5_000;

type Facts = Pick<Inventory, "operatingSystem" | "cpuModel" | "manufacturer" | "machineModel">;

/**
 * Names of the machine and its parts, once at start. Only calls without arguments: no text of ours or of the hub's ever
 * gets near a command line.
 */
export async function readSystemFacts(deps: {
  readonly clock: Clock;
  readonly log: Log;
}): Promise<Facts> {
  const fallback: Facts = {
    operatingSystem: "Linux",
    cpuModel: cpus()[0]?.model ?? "",
    manufacturer: "",
    machineModel: "",
  };
  const timeout = new AbortController();
  try {
    const late = deps.clock.sleep(SYSTEM_FACTS_TIMEOUT_MS, timeout.signal).then((): Facts => {
      throw new Error(`no answer in ${SYSTEM_FACTS_TIMEOUT_MS} ms`);
    });
    return await Promise.race([ask(fallback), late]);
  } catch (error) {
    deps.log.warn({ error: messageOf(error) }, "the machine's names could not be read");
    return fallback;
  } finally {
    timeout.abort(new Error("answered"));
  }
}

async function ask(fallback: Facts): Promise<Facts> {
  const [machine, os, processor] = await Promise.all([system(), osInfo(), cpu()]);
  const text = (value: string | undefined, otherwise: string): string =>
    (value ?? "").trim().slice(0, 256) || otherwise;
  return {
    operatingSystem: text(`${os.distro} ${os.release}`, fallback.operatingSystem),
    cpuModel: text(`${processor.manufacturer} ${processor.brand}`, fallback.cpuModel),
    manufacturer: text(machine.manufacturer, ""),
    machineModel: text(machine.model, ""),
  };
}
