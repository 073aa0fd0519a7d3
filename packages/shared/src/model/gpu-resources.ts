/** Names by which a container asks for accelerators in `resources`. */

/** Whole cards, or with GPU_MILLI_RESOURCE how many to take a slice of. */
export const GPU_RESOURCE = "nvidia.com/gpu";

/** Slice in thousandths of each device; 1 to 1,000. */
export const GPU_MILLI_RESOURCE = "edge.kurator.dev/gpu-milli";

const MIG_PREFIX = "nvidia.com/mig-";
/** `1g.10gb`, `1c.2g.20gb`, and with attributes `1g.10gb.me`. */
const MIG_PROFILE = /^(?:\d+c\.)?\d+g\.\d+gb(?:\.[a-z]+)*$/;

/**
 * The MIG profile that a resource asks for, named as by NVIDIA's device plugin: `nvidia.com/mig-1g.10gb` → `1g.10gb`;
 * `""` for one that begins so and names no profile; undefined for every other resource.
 */
export function migProfileOf(resource: string): string | undefined {
  if (!resource.startsWith(MIG_PREFIX)) return undefined;
  const profile = resource.slice(MIG_PREFIX.length);
  return MIG_PROFILE.test(profile) ? profile : "";
}

/** The resource by which a profile is asked for. */
export function migResourceOf(profile: string): string {
  return `${MIG_PREFIX}${profile}`;
}

/** The profile as a resource names it: a driver says `1g.10gb+me`, and `+` may not stand in a resource's name. */
export function migProfileName(driverProfile: string): string {
  return driverProfile.replaceAll("+", ".");
}
