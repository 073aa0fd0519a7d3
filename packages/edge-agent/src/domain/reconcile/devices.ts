import type { DesiredInstance, DeviceShare } from "@flotilla/shared/model/desired-state";
import type { PlanInput, Step } from "./step.ts";

/**
 * Accelerators of instances on their own node. The hub gives no slice away twice; here it is seen to that one is not used
 * twice either while it changes hands.
 */

/** Thousandths that a device has. */
const MILLI_PER_DEVICE = 1_000;

/**
 * What a run was started from: the digest of its spec, and the devices that it got. Another text means another run. Kept in
 * the run's environment, so that what a lost store named can still be told.
 */
export function runDigest({ specDigest, devices = [] }: DesiredInstance): string {
  if (devices.length === 0) return specDigest;
  const shares = devices.map(
    ({ uuid, milli }) => `${encodeURIComponent(uuid.toWellFormed())}:${milli}`,
  );
  return `${specDigest} ${shares.toSorted().join(",")}`;
}

/** The devices that a run digest names. */
export function devicesOfRun(digest: string): readonly DeviceShare[] {
  const [, shares = ""] = digest.split(" ");
  return shares.split(",").flatMap((share) => {
    const [uuid = "", milli] = share.split(":");
    const amount = Number(milli);
    return uuid !== "" && Number.isInteger(amount) && amount > 0
      ? [{ uuid: decoded(uuid), milli: amount }]
      : [];
  });
}

/** What tells a program which devices are its own. The container's own environment comes after it. */
export function deviceEnvironment(desired: DesiredInstance): Readonly<Record<string, string>> {
  const devices = desired.devices ?? [];
  const [first] = devices;
  if (first === undefined) return {};
  const uuids = devices.map((d) => d.uuid).join(",");
  return {
    NVIDIA_VISIBLE_DEVICES: uuids,
    CUDA_VISIBLE_DEVICES: uuids,
    FLOTILLA_GPU_MILLI: String(first.milli),
  };
}

/** Holds back each start whose devices are still in use by others, or were promised to a start before it. */
export function holdBackForDevices(steps: readonly Step[], input: PlanInput): Step[] {
  const held = new Holdings(input);
  return steps.map((step): Step => {
    if (step.kind !== "start") return step;
    const busy = (step.desired.devices ?? []).find((share) => !held.hasRoom(share, step.id));
    if (busy !== undefined)
      return {
        kind: "wait",
        id: step.id,
        reason: "DeviceBusy",
        message: `device ${busy.uuid} is still in use by ${held.holdersOf(busy.uuid, step.id).join(", ")}`,
      };
    held.add(step.id, step.desired.devices ?? []);
    return step;
  });
}

/** Who uses how much of which device. */
class Holdings {
  readonly #byDevice = new Map<string, { readonly id: string; readonly milli: number }[]>();

  constructor({ records, observed, orphans }: PlanInput) {
    for (const { id, intent, desired } of records) {
      const run = observed.get(id);
      const lives = run !== undefined && run.leaders.length + run.remnants.length > 0;
      // Of a start that an agent's death cut short a process may still appear.
      if (lives || intent === "starting") this.add(id, desired.devices ?? []);
    }
    for (const { instanceId, specDigest } of orphans)
      this.add(instanceId, devicesOfRun(specDigest));
  }

  add(id: string, shares: readonly DeviceShare[]): void {
    for (const { uuid, milli } of shares) {
      const holders = this.#byDevice.get(uuid) ?? [];
      holders.push({ id, milli });
      this.#byDevice.set(uuid, holders);
    }
  }

  hasRoom({ uuid, milli }: DeviceShare, id: string): boolean {
    const used = this.#others(uuid, id).reduce((sum, holder) => sum + holder.milli, 0);
    return used + milli <= MILLI_PER_DEVICE;
  }

  holdersOf(uuid: string, id: string): readonly string[] {
    return [...new Set(this.#others(uuid, id).map((holder) => holder.id))].toSorted();
  }

  /** An instance is not in its own way: its earlier run is gone before it is started again. */
  #others(uuid: string, id: string): readonly { readonly id: string; readonly milli: number }[] {
    return (this.#byDevice.get(uuid) ?? []).filter((holder) => holder.id !== id);
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
