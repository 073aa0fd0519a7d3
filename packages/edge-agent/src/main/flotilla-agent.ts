import { join } from "node:path";
import { CodedError, messageOf } from "@flotilla/shared/kernel/errors";
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { askAgent, readMetrics } from "../adapters/socket/local-client.ts";
import { LOG_LINES_DEFAULT, LOG_LINES_MAX } from "../adapters/socket/local-server.ts";
import type { LocalPlan, LocalStatus, LocalWhy } from "../app/local-api/ports.ts";
import type { LogTail } from "../app/reconcile/ports.ts";
import { addArtifactCommands } from "./artifact-commands.ts";
import type { AskOptions, Question } from "./asking.ts";
import { planText, statusText, whyText } from "./local-text.ts";

/** Where the agent keeps its state unless told otherwise. */
export const DEFAULT_STATE_DIR = "/var/lib/flotilla-agent";
/** Name of the socket in the state directory. */
export const SOCKET_NAME = "agent.sock";

/** Exit statuses of `flotilla-agent`; the same numbers as those of `flotilla`. */
export const EXIT_STATUS: Readonly<Record<string, number>> = {
  usage: 2,
  "config-invalid": 2,
  "config-unreadable": 2,
  "bad-join-string": 2,
  "not-found": 3,
};
const EXIT_FAILED = 1;

/** Where the program writes. */
export interface ProgramIo {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
}

/** Path of the agent's socket. */
export function socketPathOf(stateDir: string): string {
  return join(stateDir, SOCKET_NAME);
}

/**
 * `flotilla-agent` with the commands that ask a running agent: status, plan, why, logs, artifacts, lock, unlock, retry, metrics. They need no hub. Wiring adds `run` and
 * `join` to the command that this returns; `runProgram` runs it.
 */
export function agentProgram(io: ProgramIo): Command {
  const program = new Command("flotilla-agent")
    .description("Runs this machine as a node of the fleet, and tells how it fares.")
    .configureOutput({ writeOut: io.out, writeErr: io.err })
    .exitOverride();
  asking(program.command("status"))
    .description("what runs here, and how the agent stands to its hub")
    .action((options: AskOptions) =>
      answer<LocalStatus>(io, options, { path: "/v1/status", text: statusText }),
    );
  asking(program.command("plan"))
    .description("what the agent would do now, and why it waits")
    .action((options: AskOptions) =>
      answer<LocalPlan>(io, options, { path: "/v1/plan", text: planText }),
    );
  asking(program.command("why"))
    .description("why an instance is as it is")
    .argument("<instance>", "id of the instance, as status prints it")
    .action((id: string, options: AskOptions) =>
      answer<LocalWhy>(io, options, { path: instancePath(id), text: whyText }),
    );
  asking(program.command("logs"))
    .description("the end of an instance's log")
    .argument("<instance>", "id of the instance, as status prints it")
    .option("-c, --container <name>", "container; the one that wrote last when not given")
    .option("--tail <lines>", `number of lines, at most ${LOG_LINES_MAX}`, lines, LOG_LINES_DEFAULT)
    .action((id: string, options: AskOptions & LogOptions) =>
      answer<LogTail>(io, options, { path: logPath(id, options), text: (log) => log.text }),
    );
  addArtifactCommands(program, {
    command: asking,
    answer: (options, question) => answer(io, options, question),
  });
  program
    .command("metrics")
    .description("the running agent's metrics in Prometheus' text format")
    .addOption(stateDirOption())
    .action(async (options: Pick<AskOptions, "stateDir">) => {
      io.out(await readMetrics(socketPathOf(options.stateDir)));
    });
  return program;
}

interface LogOptions {
  readonly container?: string;
  readonly tail: number;
}

/** Parses, runs and turns failures into a message and an exit status. */
export async function runProgram(
  program: Command,
  argv: readonly string[],
  io: ProgramIo,
): Promise<number> {
  try {
    await program.parseAsync([...argv], { from: "user" });
    return 0;
  } catch (error) {
    // Commander has printed what it has to say.
    if (error instanceof CommanderError)
      return error.exitCode === 0 ? 0 : (EXIT_STATUS["usage"] ?? EXIT_FAILED);
    const coded = error instanceof CodedError ? error : undefined;
    io.err(`error: ${messageOf(error)}\n`);
    if (coded?.mend !== undefined) io.err(`try: ${coded.mend}\n`);
    return EXIT_STATUS[coded?.code ?? ""] ?? EXIT_FAILED;
  }
}

function asking(command: Command): Command {
  return command
    .addOption(stateDirOption())
    .addOption(
      new Option("-o, --output <format>", "how to print").choices(["text", "json"]).default("text"),
    );
}

/** `--state-dir` of the commands that need no configuration. */
export function stateDirOption(): Option {
  return new Option("--state-dir <folder>", "state directory of the agent")
    .env("FLOTILLA_STATE_DIR")
    .default(DEFAULT_STATE_DIR);
}

/** The agent is of this very build, so its answer is trusted to be what it says. */
async function answer<T>(io: ProgramIo, options: AskOptions, question: Question<T>): Promise<void> {
  const { method = "GET", path } = question;
  const body = await askAgent(socketPathOf(options.stateDir), path, method);
  if (options.output === "json") io.out(`${JSON.stringify(body, null, 2)}\n`);
  else io.out(question.text(body as T));
}

function instancePath(id: string): string {
  return `/v1/instances/${encodeURIComponent(id)}`;
}

function logPath(id: string, options: LogOptions): string {
  const query = new URLSearchParams({ tailLines: String(options.tail) });
  if (options.container !== undefined) query.set("container", options.container);
  return `${instancePath(id)}/log?${query.toString()}`;
}

function lines(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1 || count > LOG_LINES_MAX)
    throw new InvalidArgumentError(`It must be a number from 1 to ${LOG_LINES_MAX}.`);
  return count;
}
