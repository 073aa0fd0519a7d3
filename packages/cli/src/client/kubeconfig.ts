import { readFileSync } from "node:fs";
import { messageOf } from "@flotilla/shared/kernel/errors";
import { type Static, Type } from "typebox";
import { Compile } from "typebox/compile";
import { parse } from "yaml";
import { CliError } from "../domain/errors.ts";

/** Largest kubeconfig that is read. */
const KUBECONFIG_BYTES_MAX = 256 * 1024;

const Kubeconfig = Type.Object({
  "current-context": Type.Optional(Type.String()),
  contexts: Type.Array(
    Type.Object({
      name: Type.String(),
      context: Type.Object({
        cluster: Type.String(),
        user: Type.String(),
        namespace: Type.Optional(Type.String()),
      }),
    }),
  ),
  clusters: Type.Array(
    Type.Object({
      name: Type.String(),
      cluster: Type.Object({
        server: Type.String({ pattern: "^https://" }),
        "certificate-authority-data": Type.Optional(Type.String()),
      }),
    }),
  ),
  users: Type.Array(
    Type.Object({
      name: Type.String(),
      user: Type.Object({ token: Type.Optional(Type.String()) }),
    }),
  ),
});
type Kubeconfig = Static<typeof Kubeconfig>;

/** How to reach one hub. */
export interface HubAccess {
  readonly server: string;
  /** PEM; absent: the system's authorities. */
  readonly ca?: string;
  readonly token?: string;
  readonly namespace?: string;
}

/** Reads the hub's address, authority and token from a kubeconfig. Nothing in it is ever executed or read from other files. */
export function loadKubeconfig(path: string, context?: string): HubAccess {
  return accessOf(parseKubeconfig(readText(path), path), context, path);
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new CliError("usage", `the kubeconfig ${path} cannot be read`, {
      fields: { why: messageOf(error) },
      mend: "flotilla config set-context NAME --kubeconfig FILE (the hub writes one into its data directory)",
    });
  }
}

function parseKubeconfig(text: string, path: string): Kubeconfig {
  if (text.length > KUBECONFIG_BYTES_MAX)
    throw new CliError("usage", `${path} is larger than ${KUBECONFIG_BYTES_MAX} bytes`);
  let value: unknown;
  try {
    value = parse(text, { maxAliasCount: 0 });
  } catch (error) {
    throw new CliError("usage", `${path} is no YAML`, { fields: { why: messageOf(error) } });
  }
  const checker = Compile(Kubeconfig);
  if (checker.Check(value)) return value;
  const first = checker.Errors(value)[0];
  throw new CliError(
    "usage",
    `${path} is no kubeconfig for a hub: ${first?.instancePath ?? ""} ${first?.message ?? ""}`,
  );
}

function accessOf(config: Kubeconfig, wanted: string | undefined, path: string): HubAccess {
  const name = wanted ?? config["current-context"];
  const context = config.contexts.find((c) => c.name === name)?.context;
  const cluster = config.clusters.find((c) => c.name === context?.cluster)?.cluster;
  const user = config.users.find((u) => u.name === context?.user)?.user;
  if (context === undefined || cluster === undefined) {
    throw new CliError("usage", `${path} has no context "${name ?? ""}" with a cluster`, {
      mend: `contexts there: ${config.contexts.map((c) => c.name).join(", ") || "none"}`,
    });
  }
  const ca = cluster["certificate-authority-data"];
  return {
    server: cluster.server.replace(/\/$/, ""),
    ...(ca === undefined ? {} : { ca: Buffer.from(ca, "base64").toString("utf8") }),
    ...(user?.token === undefined ? {} : { token: user.token }),
    ...(context.namespace === undefined ? {} : { namespace: context.namespace }),
  };
}
