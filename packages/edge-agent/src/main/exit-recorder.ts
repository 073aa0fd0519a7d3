import { spawn } from "node:child_process";
import { constants } from "node:os";
import { writeFileDurable } from "@flotilla/shared/platform/files";

/**
 * `exit-recorder <file> <program> [args…]`: runs the program and writes how it ended, `{exitCode, finishedWallMs}`, so
 * that an agent which was not there can read it. Stands at the head of the workload's process group (docs/decisions/0012-exit-status.md).
 */

/** Exit code when the program could not be started, as a shell has it. */
const NOT_STARTED_EXIT_CODE = 127;
const SIGNAL_EXIT_BASE = 128;
const RECORD_MODE = 0o640;

/**
 * Signals go to the whole group, so the program gets them by itself; the recorder stays to see the end. Also those that only the
 * workload sends, to its own group; SIGUSR1 would open Node's debugger to everybody on the machine.
 */
const OUTLIVED_SIGNALS = [
  "SIGTERM",
  "SIGINT",
  "SIGHUP",
  "SIGQUIT",
  "SIGUSR1",
  "SIGUSR2",
  "SIGALRM",
  "SIGVTALRM",
  "SIGIO",
  "SIGPWR",
] as const;

function main(): void {
  const [file, program, ...args] = process.argv.slice(2);
  if (file === undefined || program === undefined) {
    process.stderr.write("usage: exit-recorder <file> <program> [args...]\n");
    process.exitCode = 2;
    return;
  }
  for (const signal of OUTLIVED_SIGNALS) process.on(signal, () => undefined);
  const { FLOTILLA_NODE_OPTIONS: nodeOptions, ...inherited } = process.env;
  const env = { ...inherited, ...(nodeOptions === undefined ? {} : { NODE_OPTIONS: nodeOptions }) };
  const child = spawn(program, args, { env, shell: false, stdio: "inherit" });
  child.once("error", (error) => {
    process.stderr.write(`${program}: ${error.message}\n`);
    if (child.pid === undefined) end(file, NOT_STARTED_EXIT_CODE);
  });
  child.once("exit", (code, signal) =>
    end(file, code ?? SIGNAL_EXIT_BASE + (signal === null ? 0 : constants.signals[signal])),
  );
}

function end(file: string, exitCode: number): void {
  const record = { exitCode, finishedWallMs: Date.now() };
  try {
    writeFileDurable(file, `${JSON.stringify(record)}\n`, RECORD_MODE);
  } catch (error) {
    // Without a record the run counts as failed: at least once, never lost.
    process.stderr.write(`exit record ${file}: ${String(error)}\n`);
  }
  process.exit(exitCode);
}

main();
