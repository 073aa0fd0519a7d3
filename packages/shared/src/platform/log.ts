import { writeSync } from "node:fs";
import { type DestinationStream, type Logger, pino, stdTimeFunctions } from "pino";
import type { Log } from "../kernel/service.ts";
import { redactFields, redactText } from "./redact.ts";

/** Levels that `createLog` takes; `silent` prints nothing. */
export const LOG_LEVELS: readonly string[] = ["debug", "info", "warn", "error", "silent"];

/** What the log of one process needs. `level` is `info` unless given. */
export interface LogOptions {
  readonly name: string;
  readonly level?: string;
  /** Standard output unless given. */
  readonly destination?: NodeJS.WritableStream;
}

/**
 * JSON lines on standard output, one object each: `level`, `time` (ISO 8601), `name`, the fields, `msg`. No transport:
 * those need worker files that a bundle does not have. Secrets are cut out by `redact.ts` before pino sees them.
 */
export function createLog(options: LogOptions): Log {
  const settings = {
    name: options.name,
    level: LOG_LEVELS.includes(options.level ?? "info") ? (options.level ?? "info") : "info",
    base: { pid: process.pid },
    timestamp: stdTimeFunctions.isoTime,
    // Errors come here already taken apart by redact.ts; pino's own serializer would name their type wrongly.
    serializers: { err: (value: unknown) => value },
    formatters: { level: (label: string) => ({ level: label }) },
  };
  return wrap(pino(settings, options.destination ?? STANDARD_OUTPUT));
}

/**
 * For a process that is to run for months: an output that cannot be written any more (a full disk, a reader that has gone)
 * ends it no more. Libraries write there, too, and Node throws an error that nobody waits for.
 */
export function outliveOutput(): void {
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined);
}

const STDOUT_FD = 1;
/** A pipe that is full is tried again this often, with this pause. */
const BUSY_TRIES_MAX = 20;
const BUSY_PAUSE_MS = 5;

/**
 * Standard output, line by line. What cannot be written is dropped: a log on a full disk must stop nothing. pino's own
 * destination throws into whoever logs then, and at exit it tries for ever (sonic-boom 4.2, flushBufferSync).
 */
const STANDARD_OUTPUT: DestinationStream = {
  write: (line) => {
    const bytes = Buffer.from(line);
    let written = 0;
    for (let tries = 0; written < bytes.length && tries < BUSY_TRIES_MAX; tries++) {
      try {
        written += writeSync(STDOUT_FD, bytes, written);
      } catch (error) {
        if (!(error instanceof Error && "code" in error && error.code === "EAGAIN")) return;
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, BUSY_PAUSE_MS);
      }
    }
  },
};

function wrap(logger: Logger): Log {
  return {
    debug: (fields, message) => {
      if (logger.isLevelEnabled("debug")) logger.debug(redactFields(fields), redactText(message));
    },
    info: (fields, message) => logger.info(redactFields(fields), redactText(message)),
    warn: (fields, message) => logger.warn(redactFields(fields), redactText(message)),
    error: (fields, message) => logger.error(redactFields(fields), redactText(message)),
    child: (fields) => wrap(logger.child(redactFields(fields))),
  };
}
