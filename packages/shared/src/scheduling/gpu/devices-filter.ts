import type { DeviceFacts, GpuRequest, NodeFacts, PlacementRequest } from "../facts.ts";
import { listed, readableBytes } from "../reason-text.ts";
import { alikeDevices, chooseDevices, farthestTier, roomyDevices } from "./choose-devices.ts";
import { MILLI_PER_GPU } from "./request-mix.ts";

/** The filter `GpuDevices`: why a node's accelerators will not do, the lasting reasons before those that pass. */
export function gpuDevices(
  { gpu, amounts }: Pick<PlacementRequest, "gpu" | "amounts">,
  node: Pick<NodeFacts, "devices">,
): string | undefined {
  if (gpu === undefined)
    return amounts.gpuCount === 0 ? undefined : `gpu: asks ${amounts.gpuCount}, of no kind`;
  return (
    profileReason(gpu, node.devices) ??
    modelReason(gpu, node.devices) ??
    memoryReason(gpu, node.devices) ??
    countReason(gpu, node.devices) ??
    topologyReason(gpu, node)
  );
}

function ofProfile(gpu: GpuRequest, devices: readonly DeviceFacts[]): readonly DeviceFacts[] {
  return devices.filter((d) => d.migProfile === gpu.migProfile);
}

function profileReason(gpu: GpuRequest, devices: readonly DeviceFacts[]): string | undefined {
  if (ofProfile(gpu, devices).length > 0) return undefined;
  const profiles = [...new Set(devices.flatMap((d) => d.migProfile ?? []))].toSorted();
  if (gpu.migProfile === undefined)
    return profiles.length === 0
      ? `gpu: asks ${gpu.count}, the node has none`
      : `gpu: asks ${gpu.count}, the node's are in MIG mode: ask for ${listed(profiles.map((p) => `nvidia.com/mig-${p}`))}`;
  const has = profiles.length === 0 ? "no MIG device" : listed(profiles);
  return `gpu: asks MIG profile ${gpu.migProfile}, the node has ${has}`;
}

function modelReason(gpu: GpuRequest, devices: readonly DeviceFacts[]): string | undefined {
  if (gpu.models === undefined) return undefined;
  if (gpu.models.length === 0)
    return "gpu model: the placements of fleet and component have no model in common";
  const any = { ...gpu, memoryBytes: 0 };
  if (alikeDevices(devices, any).length >= gpu.count) return undefined;
  const has = [...new Set(ofProfile(gpu, devices).map((d) => d.model))].toSorted();
  return `gpu model: asks ${gpu.count} of ${listed(gpu.models)}; the node has ${listed(has)}`;
}

function memoryReason(gpu: GpuRequest, devices: readonly DeviceFacts[]): string | undefined {
  if (alikeDevices(devices, gpu).length >= gpu.count) return undefined;
  const alike = alikeDevices(devices, { ...gpu, memoryBytes: 0 });
  if (alike.length < gpu.count) return `gpu: asks ${gpu.count}, the node has ${alike.length}`;
  const most = alike.reduce((max, d) => Math.max(max, d.memoryBytes), 0);
  return `gpu memory: asks ${gpu.count} with ${readableBytes(gpu.memoryBytes)} each; the node's have at most ${readableBytes(most)}`;
}

function countReason(gpu: GpuRequest, devices: readonly DeviceFacts[]): string | undefined {
  const roomy = roomyDevices(devices, gpu).length;
  if (roomy >= gpu.count) return undefined;
  if (gpu.milli === MILLI_PER_GPU || gpu.migProfile !== undefined)
    return `gpu: asks ${gpu.count}, ${roomy} free`;
  const most = alikeDevices(devices, gpu).reduce((max, d) => Math.max(max, d.freeMilli), 0);
  return gpu.count === 1
    ? `gpu: asks a slice of ${gpu.milli} milli, the emptiest device has ${most} free`
    : `gpu: asks slices of ${gpu.milli} milli on ${gpu.count} devices, ${roomy} have it free`;
}

function topologyReason(gpu: GpuRequest, node: Pick<NodeFacts, "devices">): string | undefined {
  if (!gpu.topologyRequired && isCountable(gpu)) return undefined;
  if (chooseDevices(node, gpu) !== undefined) return undefined;
  const closest = chooseDevices(node, { ...gpu, topologyRequired: false }) ?? [];
  const tier = farthestTier(node.devices.filter((d) => closest.includes(d.uuid)));
  return `gpu topology: asks ${gpu.count} within ${gpu.topology ?? "any tier"}, the closest free ones are ${tier ?? "none"}`;
}

/** False for a count that is no number of devices, so that it passes nowhere. */
function isCountable({ count }: GpuRequest): boolean {
  return Number.isInteger(count) && count >= 1;
}
