import type { DeviceShare } from "../../model/desired-state.ts";
import type { NodeFacts, PlacementRequest } from "../facts.ts";
import { chooseDevices } from "./choose-devices.ts";
import type { GpuValues } from "./values.ts";

/** What a request gets of a node's devices. */
export type Shares =
  /** `devices` is absent when it asks for none. */
  { readonly ok: true; readonly devices?: readonly DeviceShare[] } | { readonly ok: false };

/**
 * Shares of the devices that a request gets on a node. `held`: what the instance has there already (and has given back in
 * `node`); it keeps them when they still do, so that a change elsewhere in its spec moves it to no other device.
 */
export function deviceShares(
  node: Pick<NodeFacts, "devices">,
  { gpu }: Pick<PlacementRequest, "gpu">,
  options: { readonly held?: readonly DeviceShare[]; readonly values?: GpuValues } = {},
): Shares {
  if (gpu === undefined) return { ok: true };
  const { held = [], values } = options;
  const own = node.devices.filter((d) => held.some((h) => h.uuid === d.uuid));
  const uuids = chooseDevices({ devices: own }, gpu, values) ?? chooseDevices(node, gpu, values);
  if (uuids === undefined) return { ok: false };
  return { ok: true, devices: uuids.map((uuid) => ({ uuid, milli: gpu.milli })) };
}

/** Whether what an instance has is as many devices, and as much of each, as it asks for; which ones they are is not asked. */
export function hasShares(
  devices: readonly DeviceShare[] | undefined,
  { gpu }: Pick<PlacementRequest, "gpu">,
): boolean {
  const has = devices ?? [];
  return has.length === (gpu?.count ?? 0) && has.every((d) => d.milli === gpu?.milli);
}
