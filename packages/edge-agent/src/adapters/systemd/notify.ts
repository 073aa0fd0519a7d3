import { execFile } from "node:child_process";
import type { Clock } from "@flotilla/shared/kernel/clock";
import type { Log, Service } from "@flotilla/shared/kernel/service";

/**
 * sd_notify(3). Node has no datagram sockets of AF_UNIX, so the state goes through systemd's own `systemd-notify`, named by
 * its whole path and called with an argument array; the unit therefore says NotifyAccess=all. Without NOTIFY_SOCKET, that is
 * without systemd, nothing is done.
 */

/** Where distributions put it. */
export const SYSTEMD_NOTIFY_PATH = "/usr/bin/systemd-notify";
/** Longest run of `systemd-notify`. */
const NOTIFY_TIMEOUT_MS = 5_000;
/** Longest status text, characters. */
const STATUS_LENGTH_MAX = 200;

export interface SystemdOptions {
  /** NOTIFY_SOCKET of the environment. */
  readonly notifySocket: string | undefined;
  /** WATCHDOG_USEC of the environment: microseconds within which systemd wants to hear something. */
  readonly watchdogUsec: string | undefined;
  readonly programPath?: string;
}

interface SystemdDeps {
  readonly clock: Clock;
  readonly log: Log;
  /** True while the agent does its work: the reconciler's last pass is recent. */
  readonly isFresh: () => boolean;
}

/** Tells systemd that the agent is ready, alive and stopping. */
export class SystemdNotifier implements Service {
  readonly name = "systemd";
  readonly #options: SystemdOptions;
  readonly #deps: SystemdDeps;

  constructor(options: SystemdOptions, deps: SystemdDeps) {
    this.#options = options;
    this.#deps = deps;
  }

  /** Start is complete: units that wait for this one go on. */
  async ready(status: string): Promise<void> {
    await this.#notify(["--ready", `--status=${oneLine(status)}`]);
  }

  /** The agent stops in good order; workloads stay. */
  async stopping(): Promise<void> {
    await this.#notify(["STOPPING=1"]);
  }

  /**
   * Pings the watchdog at half its time, and only while the work is fresh: a stuck agent is restarted by systemd. One that is not
   * fresh may only have slept with its machine, so it is looked at again soon: half the time later would be too late.
   */
  async run(signal: AbortSignal): Promise<void> {
    const intervalMs = watchdogIntervalMs(this.#options.watchdogUsec);
    let wasFresh = true;
    while (!signal.aborted) {
      const isFresh = this.#deps.isFresh();
      if (isFresh && intervalMs !== undefined) await this.#notify(["WATCHDOG=1"]);
      if (!isFresh && wasFresh)
        this.#deps.log.error({}, "the reconciler stands still; the watchdog is not served");
      wasFresh = isFresh;
      const waitMs = isFresh ? (intervalMs ?? IDLE_INTERVAL_MS) : STALE_INTERVAL_MS;
      await this.#deps.clock.sleep(waitMs, signal).catch(() => undefined);
    }
  }

  #notify(args: readonly string[]): Promise<void> {
    const { notifySocket, programPath = SYSTEMD_NOTIFY_PATH } = this.#options;
    if (notifySocket === undefined || notifySocket === "") return Promise.resolve();
    return new Promise((resolve) => {
      const env = { NOTIFY_SOCKET: notifySocket };
      execFile(programPath, [...args], { env, timeout: NOTIFY_TIMEOUT_MS }, (error) => {
        if (error !== null)
          this.#deps.log.warn(
            { program: programPath, err: error },
            "systemd could not be notified",
          );
        resolve();
      });
    });
  }
}

/** How soon work that stands still is looked at again. */
const STALE_INTERVAL_MS = 1_000;
/** Without a watchdog only freshness is looked at. */
const IDLE_INTERVAL_MS = 30_000;

/** Half of WATCHDOG_USEC in milliseconds, as sd_watchdog_enabled(3) advises; undefined when there is no watchdog. */
export function watchdogIntervalMs(watchdogUsec: string | undefined): number | undefined {
  const usec = Number(watchdogUsec ?? Number.NaN);
  return Number.isFinite(usec) && usec > 0 ? Math.max(1, Math.floor(usec / 2_000)) : undefined;
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, " ").slice(0, STATUS_LENGTH_MAX);
}
