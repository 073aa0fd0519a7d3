import type { Clock } from "@flotilla/shared/kernel/clock";
import { isoTime } from "@flotilla/shared/kernel/iso-time";
import type { Log, Metrics } from "@flotilla/shared/kernel/service";
import type { RoleSummary } from "@flotilla/shared/trust/state";
import type { EventRecorder } from "../events/event-recorder.ts";
import type { ResourceStore } from "../resources/ports.ts";

/** A role that offline keys have to renew is told of so long before it expires: 30 days. */
export const TRUST_ALARM_MS: number = 30 * 86_400_000;
/** It is told of again after this: a day. */
const ALARM_REPEAT_MS = 86_400_000;
/** Most Artifacts that an alarm is written to. */
const ALARM_OBJECTS_MAX = 20;
/** The hub renews these by itself. */
const ONLINE_ROLES: readonly string[] = ["snapshot", "timestamp"];

/** Tells people in time that a role's metadata expires: metric, log, and an Event at the Artifacts, which then stop to be installed. */
export class ExpiryWatch {
  readonly #deps: Deps;
  /** By role and version: when it was told of. */
  readonly #told = new Map<string, number>();

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Looks at what is published now. */
  look(roles: readonly RoleSummary[]): void {
    const { clock, metrics } = this.#deps;
    const nowMs = clock.wallMs();
    for (const { role, version, expiresMs } of roles) {
      const leftMs = expiresMs - nowMs;
      metrics.set("flotilla_hub_trust_expires_seconds", leftMs / 1000, { role });
      if (ONLINE_ROLES.includes(role) || leftMs > TRUST_ALARM_MS) continue;
      const key = `${version}.${role}`;
      const toldMs = this.#told.get(key);
      if (toldMs !== undefined && clock.bootMs() - toldMs < ALARM_REPEAT_MS) continue;
      this.#told.set(key, clock.bootMs());
      this.#tell(role, version, { expiresMs, leftMs });
    }
  }

  #tell(
    role: string,
    version: number,
    { expiresMs, leftMs }: { readonly expiresMs: number; readonly leftMs: number },
  ): void {
    const { store, events, log } = this.#deps;
    const isOver = leftMs <= 0;
    const reason = "TrustExpires";
    const message = `trust metadata: ${role} ${version} ${isOver ? "has expired" : "expires"} at ${isoTime(expiresMs)}; nodes install nothing new from then on. Renew it: flotilla trust sign --role ${role}`;
    log.warn({ role, version, expiresAt: isoTime(expiresMs) }, "trust metadata has to be renewed");
    for (const about of store.list("Artifact").slice(0, ALARM_OBJECTS_MAX))
      events.record({ about, type: "Warning", reason, message });
  }
}

interface Deps {
  readonly store: Pick<ResourceStore, "list">;
  readonly events: Pick<EventRecorder, "record">;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
}
