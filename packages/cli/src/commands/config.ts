import type { Command } from "commander";
import { contextFilePath, readContexts, setContext, useContext } from "../client/contexts.ts";
import { loadKubeconfig } from "../client/kubeconfig.ts";
import { CliError } from "../domain/errors.ts";
import type { Io } from "../output/io.ts";
import { formatObject, parseOutput } from "../output/objects.ts";
import { formatTable } from "../output/table.ts";
import type { GlobalFlags } from "./session.ts";

/** `flotilla config …`: which hub the other commands speak to. */
export function addConfigCommands(program: Command, io: Io): void {
  const config = program.command("config").description("which hub the other commands speak to");
  config
    .command("set-context")
    .argument("<name>")
    .description(
      "add or change a context and make it the current one (--kubeconfig FILE, -n NAMESPACE, --fleet NAME)",
    )
    .option("--fleet <name>", "fleet that the context is about")
    .action((name: string, options: { fleet?: string }, command: Command) => {
      const flags = command.optsWithGlobals<GlobalFlags>();
      const known = readContexts(contextFilePath(io.env)).contexts.find((c) => c.name === name);
      const kubeconfig = flags.kubeconfig ?? known?.kubeconfig;
      if (kubeconfig === undefined) {
        throw new CliError("usage", `context "${name}" needs a kubeconfig`, {
          mend: "--kubeconfig FILE",
        });
      }
      const file = setContext(contextFilePath(io.env), {
        name,
        kubeconfig,
        ...(options.fleet === undefined ? {} : { fleet: options.fleet }),
        ...(flags.namespace === undefined ? {} : { namespace: flags.namespace }),
      });
      const access = loadKubeconfig(file.contexts.at(-1)?.kubeconfig ?? kubeconfig);
      io.out(`context "${name}" is current; hub ${access.server}\n`);
    });
  config
    .command("get-contexts")
    .description("list the contexts")
    .action((_flags: unknown, command: Command) => {
      const output = parseOutput(command.optsWithGlobals<GlobalFlags>().output);
      const file = readContexts(contextFilePath(io.env));
      if (output === "json" || output === "yaml") return io.out(formatObject(file, output));
      if (output === "name") return io.out(file.contexts.map((c) => `${c.name}\n`).join(""));
      const rows = file.contexts.map((c) => [
        c.name === file.current ? "*" : "",
        c.name,
        c.fleet ?? "",
        c.namespace ?? "",
        c.kubeconfig,
      ]);
      io.out(formatTable(["CURRENT", "NAME", "FLEET", "NAMESPACE", "KUBECONFIG"], rows));
    });
  config
    .command("use-context")
    .argument("<name>")
    .description("make a context the current one")
    .action((name: string) => {
      useContext(contextFilePath(io.env), name);
      io.out(`context "${name}" is current\n`);
    });
}
