import type { Clock } from "@flotilla/shared/kernel/clock";
import { CodedError } from "@flotilla/shared/kernel/errors";
import { isoTime } from "@flotilla/shared/kernel/iso-time";
import type { Random } from "@flotilla/shared/kernel/random";
import { fullJitterMs, type RetrySchedule } from "@flotilla/shared/kernel/retry";
import type { Log, Service } from "@flotilla/shared/kernel/service";
import type { Notice } from "@flotilla/shared/protocol/up/notice";
import type { TrustStore } from "./ports.ts";
import type { MetadataTrustGate } from "./trust-gate.ts";
import type { TrustMetadata } from "./trust-metadata.ts";

/** All metadata is looked at this often: once a day, so that roots are walked and expiries known before anything is wanted. */
export const TRUST_REFRESH_MS = 86_400_000;
/** Wait after the n-th look in a row that failed. */
export const REFRESH_RETRY: RetrySchedule = { baseMs: 30_000, capMs: 3_600_000 };
/** What people must sign again is told of this long before it expires: 30 days. */
export const EXPIRY_NOTICE_MS: number = 30 * 86_400_000;
/** It is told at most this often: once a day. */
export const EXPIRY_NOTICE_INTERVAL_MS = 86_400_000;

export interface TrustWatchDeps {
  readonly gate: Pick<MetadataTrustGate, "refresh">;
  readonly metadata: Pick<TrustMetadata, "roles" | "knownMs">;
  readonly store: Pick<TrustStore, "alarmedMs" | "setAlarmedMs">;
  readonly notify: (notice: Omit<Notice, "happenedAt">) => void;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** Keeps a node's trust up to date while nothing is wanted, and says in time what will expire. What runs is no matter of it. */
export class TrustWatch implements Service {
  readonly name = "trust";
  readonly #deps: TrustWatchDeps;

  constructor(deps: TrustWatchDeps) {
    this.#deps = deps;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, random, gate, log } = this.#deps;
    let failures = 0;
    while (!signal.aborted) {
      const isRefreshed = await gate.refresh(signal).catch((error: unknown) => {
        if (!signal.aborted && !(error instanceof CodedError)) throw error;
        return false;
      });
      if (signal.aborted) return;
      failures = isRefreshed ? 0 : failures + 1;
      this.#tellExpiry();
      if (failures === 1) log.info({}, "trust metadata could not be refreshed; tried again later");
      const waitMs = isRefreshed
        ? TRUST_REFRESH_MS * (0.9 + 0.1 * random.unit("trust.refresh"))
        : Math.max(REFRESH_RETRY.baseMs / 2, fullJitterMs(REFRESH_RETRY, failures - 1, random));
      await clock.sleep(waitMs, signal).catch(() => undefined);
    }
  }

  #tellExpiry(): void {
    const { metadata, store, notify, log } = this.#deps;
    const nowMs = metadata.knownMs;
    const soon = metadata.roles().filter((role) => role.expiresMs - nowMs < EXPIRY_NOTICE_MS);
    const sinceMs = nowMs - store.alarmedMs();
    if (soon.length === 0 || (sinceMs >= 0 && sinceMs < EXPIRY_NOTICE_INTERVAL_MS)) return;
    store.setAlarmedMs(Math.trunc(nowMs));
    const which = soon
      .map(({ role, version, expiresMs }) => `${role} ${version} at ${isoTime(expiresMs)}`)
      .join(", ");
    log.warn({ which }, "trust metadata expires soon; nothing new is installed after that");
    notify({
      type: "Warning",
      reason: "TrustExpires",
      message: `Nothing new is installed after it: ${which}. Sign a new version (flotilla trust sign).`,
    });
  }
}
