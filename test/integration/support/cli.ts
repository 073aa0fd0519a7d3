import { runCli } from "@flotilla/cli/main/program";

/** What one command line did. */
export interface CliRun {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

/** Runs the CLI in this process against a hub. */
export async function cli(
  kubeconfig: string | undefined,
  argv: readonly string[],
  given: { readonly stdin?: string; readonly env?: Record<string, string> } = {},
): Promise<CliRun> {
  let out = "";
  let err = "";
  const status = await runCli(argv, {
    out: (text) => (out += text),
    err: (text) => (err += text),
    env: {
      FLOTILLA_CONFIG: "/nonexistent/contexts.json",
      ...(kubeconfig === undefined ? {} : { KUBECONFIG: kubeconfig }),
      ...given.env,
    },
    nowMs: () => Date.now(),
    readStdin: () => Promise.resolve(given.stdin ?? ""),
    readerGone: new AbortController().signal,
    color: false,
  });
  return { status, out, err };
}
