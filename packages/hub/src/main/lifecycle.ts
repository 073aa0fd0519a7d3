import type { Clock } from "@flotilla/shared/kernel/clock";
import { messageOf } from "@flotilla/shared/kernel/errors";
import type { Log, Service } from "@flotilla/shared/kernel/service";

/** Server certificates are looked at this often and renewed when near their end. */
export const CERTIFICATE_CHECK_INTERVAL_MS: number = 12 * 3_600_000;

/** A listener that is open already, as a service: it lives until it is asked to stop, then drains. */
export function listenerService(name: string, listener: { close(): Promise<void> }): Service {
  return {
    name,
    run: async (signal) => {
      if (!signal.aborted) {
        await new Promise<void>((resolve) =>
          signal.addEventListener("abort", () => resolve(), { once: true }),
        );
      }
      await listener.close();
    },
  };
}

/** Gives the listeners new certificates before the old ones end; a hub runs longer than a certificate. */
export class CertificateKeeper implements Service {
  readonly name = "certificates";
  readonly #deps: { readonly clock: Clock; readonly log: Log; readonly renew: () => Promise<void> };

  constructor(deps: {
    readonly clock: Clock;
    readonly log: Log;
    readonly renew: () => Promise<void>;
  }) {
    this.#deps = deps;
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#deps.clock.sleep(CERTIFICATE_CHECK_INTERVAL_MS, signal).catch(() => undefined);
      if (signal.aborted) return;
      try {
        await this.#deps.renew();
      } catch (error) {
        this.#deps.log.error(
          { reason: messageOf(error) },
          "server certificates could not be renewed; tried again later",
        );
      }
    }
  }
}
