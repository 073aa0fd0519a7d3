import { isDnsLabel, type NodeId, parseNodeId } from "../kernel/ids.ts";

/**
 * Topics. A node publishes under its own `…/up/<kind>` and subscribes to its own `…/down` and to the hub's state; nothing
 * else, no wildcards. The shard divides a fleet over hub replicas; one hub serves shard `0`.
 */
export const TOPIC_ROOT = "fl/v1";

/** The only shard of an embedded hub. */
export const DEFAULT_SHARD = "0";

/** Retained: `{term, startedAt}` of the hub that serves the shard. */
export const HUB_STATE_TOPIC: string = `${TOPIC_ROOT}/hub/state`;

/** Kinds of up messages, equal to the last topic level. */
export const UP_KINDS = [
  "birth",
  "report",
  "notice",
  "desired-get",
  "log-chunk",
  "artifact-get",
  "bytes-get",
  "death",
] as const;
export type UpKind = (typeof UP_KINDS)[number];

/** Kinds of down messages; told apart by the envelope's `kind`, all on one topic. */
export const DOWN_KINDS = [
  "desired-notify",
  "desired",
  "rebirth",
  "epoch-behind",
  "log-get",
  "artifact-offer",
  "bytes",
] as const;
export type DownKind = (typeof DOWN_KINDS)[number];

interface Address {
  readonly shard: string;
  readonly nodeId: NodeId;
}

/** Topic of one up message. */
export function upTopic(address: Address, kind: UpKind): string {
  return `${TOPIC_ROOT}/${address.shard}/${address.nodeId}/up/${kind}`;
}

/** The one topic that a node's down messages come on. */
export function downTopic(address: Address): string {
  return `${TOPIC_ROOT}/${address.shard}/${address.nodeId}/down`;
}

/** Reads an up topic; undefined for anything else. The kind stays text: an unknown one is counted, not refused. */
export function parseUpTopic(topic: string): (Address & { readonly kind: string }) | undefined {
  const parts = topic.split("/");
  const [root, version, shard, node, up, kind] = parts;
  if (parts.length !== 6 || `${root}/${version}` !== TOPIC_ROOT || up !== "up") return undefined;
  const nodeId = parseNodeId(node ?? "");
  if (
    nodeId === undefined ||
    shard === undefined ||
    !isDnsLabel(shard) ||
    kind === undefined ||
    !isDnsLabel(kind)
  )
    return undefined;
  return { shard, nodeId, kind };
}
