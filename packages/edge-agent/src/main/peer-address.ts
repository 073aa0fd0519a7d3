import { CodedError } from "@flotilla/shared/kernel/errors";
import type { ConfigErrorCode } from "@flotilla/shared/platform/config";
import type { AgentConfig } from "./config.ts";

/** Port for other nodes of the site when none is named. */
export const PEER_PORT_DEFAULT = 7446;

/** Where other nodes are served, and where they are told to come. */
export interface PeerAddresses {
  readonly host: string;
  readonly port: number;
  /** Undefined: no address of this node is known that others reach. */
  readonly announcedHost: string | undefined;
}

/**
 * Where this node serves others: `peerListen`, else the node's address when that is one of a network, else nowhere. Nothing is opened on an
 * interface that nobody named.
 */
export function peerAddresses(
  config: Pick<AgentConfig, "peerListen" | "nodeAddress">,
): PeerAddresses | undefined {
  const { nodeAddress, peerListen } = config;
  if (peerListen === "off") return undefined;
  const known = isLoopback(nodeAddress) ? undefined : nodeAddress;
  if (peerListen === undefined)
    return known === undefined
      ? undefined
      : { host: known, port: PEER_PORT_DEFAULT, announcedHost: known };
  const [, bracketed, plain, port] =
    /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(peerListen) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined || Number(port) > 65_535)
    throw new CodedError<ConfigErrorCode>(
      "config-invalid",
      "configuration field peerListen is no host:port and not off",
      { fields: { field: "peerListen" }, mend: "Correct --peer-listen, such as 192.0.2.7:7446." },
    );
  return { host, port: Number(port), announcedHost: isEverywhere(host) ? known : host };
}

function isEverywhere(host: string): boolean {
  return host === "0.0.0.0" || host === "::";
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host.startsWith("127.");
}
