/** Branded strings: an id of one noun is never passed where another is asked for. */
declare const brand: unique symbol;

/** A string that carries the noun it identifies in its type only. */
export type Brand<T, Name extends string> = T & { readonly [brand]: Name };

/** Name of a node: DNS-1123 label, equal to the MQTT client id and to the certificate's common name. */
export type NodeId = Brand<string, "NodeId">;

/** Identifies one running copy of a component on one node, for example `shop.web.api-0`. Stable over restarts and over agents. */
export type InstanceId = Brand<string, "InstanceId">;

/** Longest DNS-1123 label in characters. */
export const DNS_LABEL_LENGTH_MAX = 63;
/** Longest DNS-1123 subdomain in characters. */
export const DNS_SUBDOMAIN_LENGTH_MAX = 253;

const LABEL = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/;

/** True for a DNS-1123 label (RFC 1123 as Kubernetes reads it): lower case, digits and inner hyphens, 1–63 characters. */
export function isDnsLabel(value: string): boolean {
  return value.length <= DNS_LABEL_LENGTH_MAX && LABEL.test(value);
}

/** True for a DNS-1123 subdomain: labels joined by dots, 253 characters at most. */
export function isDnsSubdomain(value: string): boolean {
  return value.length <= DNS_SUBDOMAIN_LENGTH_MAX && value.split(".").every(isDnsLabel);
}

/** Brands a string as a node id; undefined when it is not a DNS-1123 label. */
export function parseNodeId(value: string): NodeId | undefined {
  return isDnsLabel(value) ? (value as NodeId) : undefined;
}

/** Brands the instance id made of its parts. The parts are DNS labels, so the dots are unambiguous. */
export function instanceId(parts: {
  readonly namespace: string;
  readonly application: string;
  readonly component: string;
  readonly index: number;
}): InstanceId {
  return `${parts.namespace}.${parts.application}.${parts.component}-${parts.index}` as InstanceId;
}
