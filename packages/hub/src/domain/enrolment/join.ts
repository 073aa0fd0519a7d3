import { parseDurationMs } from "@flotilla/shared/kernel/duration";
import { isDnsLabel } from "@flotilla/shared/kernel/ids";
import { isoTime, parseIsoTimeMs } from "@flotilla/shared/kernel/iso-time";
import { apiVersionOf, KINDS, type ObjectOf } from "@flotilla/shared/model/kinds";
import { EnrolmentError } from "./enrolment-error.ts";

/** How long a token is good for when it does not say. */
export const JOIN_TOKEN_MS_DEFAULT: number = 3_600_000;
/** Longest life of a token, whatever it says. */
export const JOIN_TOKEN_MS_MAX: number = 24 * 3_600_000;
/** Label of a node that names its site. */
export const SITE_LABEL = "edge.kurator.dev/site";

/**
 * Whether the token, its secret already proven, lets this node in now. Throws EnrolmentError `token-used`,
 * `token-expired`, `wrong-node` or `bad-request`.
 */
export function checkToken(token: ObjectOf<"JoinToken">, nodeName: string, nowMs: number): void {
  const { name } = token.metadata;
  const mend = "Make a new one: flotilla node join-token.";
  if (token.status?.usedAt !== undefined)
    throw new EnrolmentError("token-used", `token ${name} has been used`, {
      mend,
      fields: { usedBy: token.status.usedBy, usedAt: token.status.usedAt },
    });
  if (token.metadata.deletionTimestamp !== undefined || nowMs >= expiryMs(token))
    throw new EnrolmentError("token-expired", `token ${name} has expired`, { mend });
  if (token.spec.nodeName !== undefined && token.spec.nodeName !== nodeName)
    throw new EnrolmentError("wrong-node", `token ${name} is for a node of another name`, {
      mend: "Join under the name that the token was made for.",
      fields: { nodeName },
    });
  if (!isDnsLabel(token.spec.site))
    throw new EnrolmentError("bad-request", `spec.site of token ${name} is no DNS label`, { mend });
}

/**
 * Whether a token may enrol under a name that a node has already. A replaced device takes the name over with a token
 * made for that very name. Throws EnrolmentError `duplicate-node` or `revoked`.
 */
export function checkTakeover(token: ObjectOf<"JoinToken">, node: ObjectOf<"EdgeNode">): void {
  const { name } = node.metadata;
  if (token.spec.nodeName !== name)
    throw new EnrolmentError("duplicate-node", `a node ${name} exists already`, {
      mend: `Choose another name; for a replaced device make a token with spec.nodeName ${name}.`,
    });
  if (node.spec.revoked === true || node.metadata.deletionTimestamp !== undefined)
    throw new EnrolmentError("revoked", `node ${name} is revoked`, {
      mend: "Clear spec.revoked of the EdgeNode, or wait until its deletion is done.",
    });
}

/** What a join makes of the node. */
export interface Joining {
  readonly token: ObjectOf<"JoinToken">;
  readonly nodeName: string;
  readonly serial: string;
  readonly expiresAtMs: number;
  readonly nowMs: number;
  /** For the object's uid when it is new. */
  readonly uid: string;
}

/** The EdgeNode after the join: a new one, or the one that is there with its serial superseded. */
export function joinedNode(
  joining: Joining,
  existing: ObjectOf<"EdgeNode"> | undefined,
): ObjectOf<"EdgeNode"> {
  const { token, nodeName, nowMs } = joining;
  const { site } = token.spec;
  const labels = {
    ...existing?.metadata.labels,
    ...token.spec.nodeLabels,
    [SITE_LABEL]: site,
  };
  const { nextCertificateSerial: _unused, ...status } = existing?.status ?? {};
  const moved = existing !== undefined && existing.spec.site !== site;
  const metadata = existing?.metadata ?? newMetadata(nodeName, joining.uid, nowMs);
  return {
    apiVersion: apiVersionOf(KINDS.EdgeNode),
    kind: "EdgeNode",
    metadata: { ...metadata, labels, generation: metadata.generation + (moved ? 1 : 0) },
    spec: { ...existing?.spec, site },
    status: {
      ...status,
      life: "registered",
      certificateSerial: joining.serial,
      certificateExpiresAt: isoTime(joining.expiresAtMs),
    },
  };
}

/** The token, spent. */
export function usedToken(joining: Joining): ObjectOf<"JoinToken"> {
  const { token } = joining;
  const { joinString: _never, ...status } = token.status ?? {};
  return {
    ...token,
    status: { ...status, usedAt: isoTime(joining.nowMs), usedBy: joining.nodeName },
  };
}

/** A site that the token names and nobody has made. */
export function newSite(name: string, uid: string, nowMs: number): ObjectOf<"Site"> {
  return {
    apiVersion: apiVersionOf(KINDS.Site),
    kind: "Site",
    metadata: newMetadata(name, uid, nowMs),
    spec: {},
  };
}

function newMetadata(name: string, uid: string, nowMs: number): ObjectOf<"EdgeNode">["metadata"] {
  return { name, uid, generation: 1, creationTimestamp: isoTime(nowMs) };
}

/** End of a token's life: what its status says, and never later than JOIN_TOKEN_MS_MAX after its creation. */
function expiryMs(token: ObjectOf<"JoinToken">): number {
  const createdMs = parseIsoTimeMs(token.metadata.creationTimestamp ?? "");
  const statedMs = parseIsoTimeMs(token.status?.expiresAt ?? "");
  if (createdMs === undefined) return statedMs ?? 0;
  const ttlMs = parseDurationMs(token.spec.ttl ?? "") ?? JOIN_TOKEN_MS_DEFAULT;
  return Math.min(statedMs ?? createdMs + ttlMs, createdMs + JOIN_TOKEN_MS_MAX);
}
