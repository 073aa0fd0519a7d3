import { splitAddress } from "./config.ts";

/** Where a listener is reached when nothing else was said: a wildcard address is this machine. */
export function advertised(listen: string, port: number): string {
  const { host } = splitAddress(listen, "listen");
  const name = isWildcard(host) ? "127.0.0.1" : host;
  return `${name.includes(":") ? `[${name}]` : name}:${port}`;
}

/** The hosts of these addresses that a certificate can name; what was not told is left out. */
export function namedHosts(
  addresses: readonly (string | undefined)[],
  field: string,
): readonly string[] {
  return addresses
    .flatMap((address) => (address === undefined ? [] : [splitAddress(address, field).host]))
    .filter((host) => !isWildcard(host));
}

function isWildcard(host: string): boolean {
  return host === "0.0.0.0" || host === "::" || host === "";
}
