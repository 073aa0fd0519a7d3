import { CodedError, messageOf } from "@flotilla/shared/kernel/errors";
import { PROTOCOL_VERSION } from "@flotilla/shared/protocol/version";
import { Command, CommanderError } from "commander";
import { addArtifactCommands } from "../commands/artifact.ts";
import { addCompletionCommand } from "../commands/completion.ts";
import { addConfigCommands } from "../commands/config.ts";
import { addEventsCommand, addInventoryCommands } from "../commands/inventory.ts";
import { addObjectCommands } from "../commands/objects.ts";
import { addRebalanceCommand } from "../commands/rebalance.ts";
import { type GlobalFlags, saysNoHub, withSession } from "../commands/session.ts";
import { addTrustCommands } from "../commands/trust.ts";
import { addNodeCommands, addWorkloadCommands } from "../commands/workloads.ts";
import { type CliErrorCode, EXIT_STATUS, errorLines } from "../domain/errors.ts";
import { textOf } from "../domain/text.ts";
import type { Io } from "../output/io.ts";
import { formatObject, parseOutput } from "../output/objects.ts";
import { CLI_VERSION } from "./version.ts";

/** Runs one command line and returns its exit status. */
export async function runCli(argv: readonly string[], io: Io): Promise<number> {
  try {
    await createProgram(io).parseAsync(argv, { from: "user" });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_STATUS.usage;
    const known = error instanceof CodedError ? error : new CodedError("failed", messageOf(error));
    const [first = "", ...rest] = errorLines(known);
    io.err(`${[io.color ? `\u001b[31m${first}\u001b[39m` : first, ...rest].join("\n")}\n`);
    return EXIT_STATUS[known.code as CliErrorCode] ?? EXIT_STATUS.failed;
  }
}

/** The command tree. */
function createProgram(io: Io): Command {
  const program = new Command("flotilla")
    .description("one fleet out of cloud clusters, factory lines and vehicles")
    .option("--kubeconfig <file>", "kubeconfig of the hub")
    .option("--context <name>", "context to use instead of the current one")
    .option("-n, --namespace <name>", "namespace")
    .option("-A, --all-namespaces", "all namespaces")
    .option("-o, --output <form>", "wide, json, yaml or name")
    .option("--no-headers", "tables without their first line")
    .showSuggestionAfterError(true)
    .configureHelp({ showGlobalOptions: true })
    .exitOverride()
    .configureOutput({ writeOut: io.out, writeErr: io.err });
  addVersionCommand(program, io);
  addConfigCommands(program, io);
  addInventoryCommands(program, io);
  addObjectCommands(program, io);
  addWorkloadCommands(program, io);
  addRebalanceCommand(program, io);
  addNodeCommands(program, io);
  addEventsCommand(program, io);
  addArtifactCommands(program, io);
  addTrustCommands(program, io);
  addCompletionCommand(program, io);
  return program;
}

function addVersionCommand(program: Command, io: Io): void {
  program
    .command("version")
    .description("versions of this program and of the hub")
    .action((_flags: unknown, command: Command) => showVersions(io, command));
}

/** This program's version is told also when the hub is not there. */
async function showVersions(io: Io, command: Command): Promise<void> {
  const output = parseOutput(command.optsWithGlobals<GlobalFlags>().output);
  const asObject = output === "json" || output === "yaml";
  const client = { version: CLI_VERSION, protocol: PROTOCOL_VERSION };
  if (!asObject) io.out(`flotilla ${client.version} (protocol ${client.protocol})\n`);
  try {
    await withSession(io, command, async (session) => {
      const { gitVersion } = await session.client.json({ method: "GET", path: "/version" });
      const hub = { version: textOf(gitVersion) || "unknown", server: session.client.server };
      if (asObject) io.out(formatObject({ client, hub }, output));
      else io.out(`hub ${hub.version} at ${hub.server}\n`);
    });
  } catch (error) {
    if (!saysNoHub(error)) throw error;
    if (asObject) io.out(formatObject({ client }, output));
    else io.out("hub: none is named (flotilla config set-context)\n");
  }
}
