import type { Command } from "commander";
import { ApiClient } from "../client/api-client.ts";
import { contextFilePath, readContexts } from "../client/contexts.ts";
import { type HubAccess, loadKubeconfig } from "../client/kubeconfig.ts";
import { CliError } from "../domain/errors.ts";
import type { Io } from "../output/io.ts";
import { type Output, parseOutput } from "../output/objects.ts";

/** Flags that every command takes. */
export interface GlobalFlags {
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly namespace?: string;
  readonly allNamespaces?: boolean;
  readonly output?: string;
  readonly headers?: boolean;
}

/** One command's view of the hub and of the terminal. */
export interface Session {
  readonly io: Io;
  readonly client: ApiClient;
  readonly namespace: string;
  readonly allNamespaces: boolean;
  readonly output: Output;
  readonly noHeaders: boolean;
  /** Fleet of the context, when it names one. */
  readonly fleet?: string;
}

/**
 * Runs a command's work against the hub that flags, context and environment name, and closes the connection.
 * `cluster register` uses `--kubeconfig` for the cluster (the article's spelling), so there it does not name the hub.
 */
export async function withSession(
  io: Io,
  command: Command,
  work: (session: Session) => Promise<void>,
  options: { readonly kubeconfigNamesHub: boolean } = { kubeconfigNamesHub: true },
): Promise<void> {
  const { kubeconfig, ...others } = command.optsWithGlobals<GlobalFlags>();
  const namesHub = options.kubeconfigNamesHub && kubeconfig !== undefined;
  const flags: GlobalFlags = namesHub ? { ...others, kubeconfig } : others;
  const { access, fleet, namespace } = resolveAccess(io, flags);
  const client = new ApiClient(access);
  try {
    await work({
      io,
      client,
      namespace: flags.namespace ?? namespace ?? access.namespace ?? "default",
      allNamespaces: flags.allNamespaces === true,
      output: parseOutput(flags.output),
      noHeaders: flags.headers === false,
      ...(fleet === undefined ? {} : { fleet }),
    });
  } finally {
    client.close();
  }
}

const NO_HUB = "no hub is named";

/** True when nothing names a hub: neither a flag nor a context nor the environment. */
export function saysNoHub(error: unknown): boolean {
  return error instanceof CliError && error.message === NO_HUB;
}

interface Resolved {
  readonly access: HubAccess;
  readonly fleet?: string;
  readonly namespace?: string;
}

/** `--kubeconfig` and `--context`, else our own contexts, else $KUBECONFIG. */
function resolveAccess(io: Io, flags: GlobalFlags): Resolved {
  if (flags.kubeconfig !== undefined)
    return { access: loadKubeconfig(flags.kubeconfig, flags.context) };
  const file = readContexts(contextFilePath(io.env));
  const wanted = flags.context ?? file.current;
  const own = file.contexts.find((c) => c.name === wanted);
  if (own !== undefined) {
    return {
      access: loadKubeconfig(own.kubeconfig),
      ...(own.fleet === undefined ? {} : { fleet: own.fleet }),
      ...(own.namespace === undefined ? {} : { namespace: own.namespace }),
    };
  }
  const kubeconfig = io.env["KUBECONFIG"];
  if (kubeconfig !== undefined && kubeconfig !== "")
    return { access: loadKubeconfig(kubeconfig, flags.context) };
  throw new CliError(
    "usage",
    flags.context === undefined ? NO_HUB : `there is no context "${flags.context}"`,
    {
      mend: "flotilla config set-context NAME --kubeconfig FILE (the hub writes one into its data directory), or --kubeconfig FILE",
    },
  );
}
