import type { Log } from "@flotilla/shared/kernel/service";

/** A log that nobody reads, but for what must not happen: a service that ends on a bug of its own. */
export function bugLog(onBug: (message: string) => void): Log {
  const nothing = (): void => {};
  const log: Log = {
    debug: nothing,
    info: nothing,
    warn: nothing,
    error: (fields, message) => {
      const { err } = fields;
      if (err instanceof Error && err.name === "AssertionError")
        onBug(`${message}: ${err.message}`);
      else if (err instanceof TypeError || err instanceof RangeError)
        onBug(`${message}: ${err.stack ?? err.message}`);
    },
    child: () => log,
  };
  return log;
}
