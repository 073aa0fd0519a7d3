import { type Logger, pino, stdTimeFunctions } from "pino";
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
  const logger =
    options.destination === undefined ? pino(settings) : pino(settings, options.destination);
  return wrap(logger);
}

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
