import { AssertionError } from "../kernel/assert.ts";
import type { Clock } from "../kernel/clock.ts";
import { messageOf } from "../kernel/errors.ts";
import type { Random } from "../kernel/random.ts";
import { fullJitterMs, type RetrySchedule } from "../kernel/retry.ts";
import type { Log, Service } from "../kernel/service.ts";

/** How a failed service is started again: full jitter, half a second growing to half a minute. */
export const SERVICE_RESTART: RetrySchedule = { baseMs: 500, capMs: 30_000 };
/** A service that ran this long without failing starts again from the shortest delay. */
export const SERVICE_STABLE_AFTER_MS = 60_000;
/** Longest wait for one service to stop; then the next one is stopped all the same. */
export const SERVICE_DRAIN_MS_MAX = 10_000;

interface SupervisorDeps {
  readonly log: Log;
  readonly clock: Clock;
  readonly random: Random;
}

interface Running {
  readonly service: Service;
  readonly stop: AbortController;
  readonly ended: Promise<void>;
}

/**
 * Runs services until `signal` is aborted or all have ended by themselves. They start in the given order and stop in
 * reverse, one after the other, each with SERVICE_DRAIN_MS_MAX. A failed one is started again; one that ends before it was
 * asked to is not. An AssertionError stops everything and is thrown: a bug must end the process.
 */
export async function runServices(
  options: { readonly services: readonly Service[]; readonly signal: AbortSignal },
  deps: SupervisorDeps,
): Promise<void> {
  const bug = new AbortController();
  const until = AbortSignal.any([options.signal, bug.signal]);
  const running: Running[] = [];
  for (const service of options.services) {
    if (until.aborted) break;
    running.push(start(service, { ...deps, onBug: (error) => bug.abort(error) }));
  }
  await Promise.race([Promise.all(running.map((r) => r.ended)), aborted(until)]);
  for (const one of running.toReversed()) await stop(one, deps);
  if (bug.signal.aborted) throw bug.signal.reason;
}

function start(
  service: Service,
  deps: SupervisorDeps & { readonly onBug: (error: AssertionError) => void },
): Running {
  const stopper = new AbortController();
  const log = deps.log.child({ service: service.name });
  const ended = keepRunning(service, stopper.signal, { ...deps, log }).catch((error: unknown) => {
    log.error({ err: error }, "service failed on a bug");
    deps.onBug(error instanceof AssertionError ? error : new AssertionError(messageOf(error)));
  });
  return { service, stop: stopper, ended };
}

async function keepRunning(
  service: Service,
  signal: AbortSignal,
  deps: SupervisorDeps,
): Promise<void> {
  const { log, clock, random } = deps;
  for (let attempt = 0; ; attempt++) {
    const startedAtMs = clock.bootMs();
    log.info({}, "service starts");
    const failure = await runOnce(service, signal);
    if (signal.aborted) {
      if (failure !== undefined && !isAbort(failure.error, signal))
        log.warn({ err: failure.error }, "service failed while stopping");
      return;
    }
    if (failure === undefined) {
      log.info({}, "service ended by itself");
      return;
    }
    if (failure.error instanceof AssertionError) throw failure.error;
    if (clock.bootMs() - startedAtMs >= SERVICE_STABLE_AFTER_MS) attempt = 0;
    const delayMs = fullJitterMs(SERVICE_RESTART, attempt, random);
    log.error({ err: failure.error, delayMs }, "service failed and starts again");
    if (!(await slept(clock, delayMs, signal))) return;
  }
}

async function runOnce(
  service: Service,
  signal: AbortSignal,
): Promise<{ readonly error: unknown } | undefined> {
  try {
    await service.run(signal);
    return undefined;
  } catch (error) {
    return { error };
  }
}

async function stop(running: Running, deps: SupervisorDeps): Promise<void> {
  running.stop.abort(new DOMException("the process stops", "AbortError"));
  const limit = new AbortController();
  const inTime = await Promise.race([
    running.ended.then(() => true),
    slept(deps.clock, SERVICE_DRAIN_MS_MAX, limit.signal).then(() => false),
  ]);
  limit.abort();
  if (!inTime)
    deps.log.error(
      { service: running.service.name, limitMs: SERVICE_DRAIN_MS_MAX },
      "service did not stop in time",
    );
}

/** A leaked AbortError is a normal end only when the service was asked to stop. */
function isAbort(error: unknown, signal: AbortSignal): boolean {
  return error === signal.reason || (error instanceof Error && error.name === "AbortError");
}

/** False when the signal cut the sleep short. */
async function slept(clock: Clock, ms: number, signal: AbortSignal): Promise<boolean> {
  try {
    await clock.sleep(ms, signal);
    return true;
  } catch {
    return false;
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
