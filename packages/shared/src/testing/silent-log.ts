import type { Log } from "../kernel/service.ts";

/** A log that nobody reads. */
export function silentLog(): Log {
  const nothing = (): void => {};
  const log: Log = {
    debug: nothing,
    info: nothing,
    warn: nothing,
    error: nothing,
    child: () => log,
  };
  return log;
}

/** One line as it was logged, the fields of its parents included. */
export interface RecordedLine {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly fields: Readonly<Record<string, unknown>>;
  readonly message: string;
}

/** Keeps every line; children write to the same list. */
export class RecordingLog implements Log {
  readonly #lines: RecordedLine[];
  readonly #bindings: Readonly<Record<string, unknown>>;

  constructor(
    options: {
      readonly lines?: RecordedLine[];
      readonly bindings?: Readonly<Record<string, unknown>>;
    } = {},
  ) {
    this.#lines = options.lines ?? [];
    this.#bindings = options.bindings ?? {};
  }

  get lines(): readonly RecordedLine[] {
    return this.#lines;
  }

  debug(fields: Readonly<Record<string, unknown>>, message: string): void {
    this.#add("debug", fields, message);
  }

  info(fields: Readonly<Record<string, unknown>>, message: string): void {
    this.#add("info", fields, message);
  }

  warn(fields: Readonly<Record<string, unknown>>, message: string): void {
    this.#add("warn", fields, message);
  }

  error(fields: Readonly<Record<string, unknown>>, message: string): void {
    this.#add("error", fields, message);
  }

  child(fields: Readonly<Record<string, unknown>>): Log {
    return new RecordingLog({ lines: this.#lines, bindings: { ...this.#bindings, ...fields } });
  }

  #add(
    level: RecordedLine["level"],
    fields: Readonly<Record<string, unknown>>,
    message: string,
  ): void {
    this.#lines.push({ level, fields: { ...this.#bindings, ...fields }, message });
  }
}
