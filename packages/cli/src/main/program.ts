import { CodedError, hasCode, messageOf } from "@flotilla/shared/kernel/errors";
import { PROTOCOL_VERSION } from "@flotilla/shared/protocol/version";
import { Command, CommanderError } from "commander";
import { addCompletionCommand } from "../commands/completion.ts";
import { addConfigCommands } from "../commands/config.ts";
import { addEventsCommand, addInventoryCommands } from "../commands/inventory.ts";
import { addObjectCommands } from "../commands/objects.ts";
import { withSession } from "../commands/session.ts";
import { addNodeCommands, addWorkloadCommands } from "../commands/workloads.ts";
import { type CliErrorCode, EXIT_STATUS, errorLines } from "../domain/errors.ts";
import { textOf } from "../domain/text.ts";
import type { Io } from "../output/io.ts";
import { CLI_VERSION } from "./version.ts";

/** Exit status of a command that Ctrl-C ended. */
const INTERRUPTED_STATUS = 130;

/** Runs one command line and returns its exit status. */
export async function runCli(argv: readonly string[], io: Io): Promise<number> {
  try {
    await createProgram(io).parseAsync(argv, { from: "user" });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_STATUS.usage;
    if (io.signal.aborted) return INTERRUPTED_STATUS;
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
    .exitOverride()
    .configureOutput({ writeOut: io.out, writeErr: io.err });
  addVersionCommand(program, io);
  addConfigCommands(program, io);
  addInventoryCommands(program, io);
  addObjectCommands(program, io);
  addWorkloadCommands(program, io);
  addNodeCommands(program, io);
  addEventsCommand(program, io);
  addCompletionCommand(program, io);
  return program;
}

function addVersionCommand(program: Command, io: Io): void {
  program
    .command("version")
    .description("versions of this program and of the hub")
    .action(async (_flags: unknown, command: Command) => {
      io.out(`flotilla ${CLI_VERSION} (protocol ${PROTOCOL_VERSION})\n`);
      try {
        await withSession(io, command, async ({ client }) => {
          const version = await client.json({ method: "GET", path: "/version" });
          io.out(`hub ${textOf(version["gitVersion"]) || "unknown"} at ${client.server}\n`);
        });
      } catch (error) {
        if (!hasCode(error, "usage")) throw error;
        io.out("hub: none is named (flotilla config set-context)\n");
      }
    });
}
