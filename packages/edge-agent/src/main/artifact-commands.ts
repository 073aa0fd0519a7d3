import { parseDurationMs } from "@flotilla/shared/kernel/duration";
import { type Command, InvalidArgumentError } from "commander";
import type { LocalArtifacts, LocalLock } from "../app/local-api/ports.ts";
import type { Asking, AskOptions } from "./asking.ts";
import { artifactsText, lockText } from "./local-text.ts";

interface LockOptions extends AskOptions {
  readonly reason: string;
  readonly for: number;
}

/** `lock`, `unlock`, `retry` and `artifacts` of `flotilla-agent`. */
export function addArtifactCommands(program: Command, { command, answer }: Asking): void {
  command(program.command("artifacts"))
    .description(
      "models, configs and programs on this node: what is active, on its way, and why not",
    )
    .action((options: AskOptions) =>
      answer<LocalArtifacts>(options, { path: "/v1/artifacts", text: artifactsText }),
    );
  command(program.command("lock"))
    .description("hold updates back: downloads go on, switches and restarts for another spec wait")
    .argument("[instance]", "id of the instance, as status prints it; every one when not given")
    .requiredOption("--reason <text>", "why; shown at the hub")
    .requiredOption("--for <duration>", "how long, such as 30m or 2h, at most 7d", duration)
    .action((instance: string | undefined, options: LockOptions) =>
      answer<LocalLock>(options, {
        method: "POST",
        path: lockPath(instance, { reason: options.reason, forMs: String(options.for) }),
        text: (lock) => `${lockText(lock)}\n`,
      }),
    );
  command(program.command("unlock"))
    .description("let updates go on")
    .argument("[instance]", "id of the instance; the lock on every one when not given")
    .action((instance: string | undefined, options: AskOptions) =>
      answer<{ readonly wasLocked: boolean }>(options, {
        method: "DELETE",
        path: lockPath(instance, {}),
        text: ({ wasLocked }) => (wasLocked ? "unlocked\n" : "there was no such lock\n"),
      }),
    );
  command(program.command("retry"))
    .description("let artifacts that failed on an instance be tried again")
    .argument("<instance>", "id of the instance, as status prints it")
    .action((instance: string, options: AskOptions) =>
      answer<{ readonly sets: number }>(options, {
        method: "POST",
        path: `/v1/instances/${encodeURIComponent(instance)}/retry`,
        text: ({ sets }) =>
          sets === 0 ? "nothing had failed there\n" : "what failed is tried again\n",
      }),
    );
}

function lockPath(instance: string | undefined, more: Readonly<Record<string, string>>): string {
  const query = new URLSearchParams(instance === undefined ? more : { instance, ...more });
  return `/v1/locks?${query.toString()}`;
}

function duration(text: string): number {
  const ms = parseDurationMs(text);
  if (ms === undefined || ms <= 0)
    throw new InvalidArgumentError("It must be a duration such as 30m or 2h.");
  return ms;
}
