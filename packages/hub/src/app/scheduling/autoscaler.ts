import type { Clock } from "@flotilla/shared/kernel/clock";
import { isoTime } from "@flotilla/shared/kernel/iso-time";
import { jsonEqual } from "@flotilla/shared/kernel/json";
import type { Log, Metrics, Service } from "@flotilla/shared/kernel/service";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { AutoscalingStatus } from "@flotilla/shared/model/resources/application";
import { autoscalingOf } from "../../domain/application/autoscaling.ts";
import { policyOf } from "../../domain/application/policy.ts";
import { changeOf } from "../control/change.ts";
import type { EventRecorder } from "../events/event-recorder.ts";
import type { ResourceStore } from "../resources/ports.ts";

/** How often replicas are reckoned anew (HPA's default). */
export const AUTOSCALE_INTERVAL_MS = 15_000;

/**
 * Writes into each Application's status how many replicas its components should have by what their instances use; the
 * application controller carries it out. It looks at what is stored alone, so a new hub goes on where the old one ended.
 */
export class Autoscaler implements Service {
  readonly name = "autoscaler";
  readonly #intervalMs: number;
  readonly #deps: AutoscalerDeps;

  constructor(options: { readonly intervalMs?: number }, deps: AutoscalerDeps) {
    this.#intervalMs = options.intervalMs ?? AUTOSCALE_INTERVAL_MS;
    this.#deps = deps;
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.pass(signal);
      await this.#deps.clock.sleep(this.#intervalMs, signal).catch(() => undefined);
    }
  }

  /** One look at every Application. What somebody else changed meanwhile is left to the next. */
  async pass(signal?: AbortSignal): Promise<void> {
    const { store } = this.#deps;
    for (const application of store.list("Application")) {
      if (signal?.aborted === true) return;
      const { namespace = "" } = application.metadata;
      const policy = policyOf(application, store.list("PropagationPolicy", namespace))?.spec;
      const isAsked =
        policy?.autoscaling !== undefined ||
        application.status?.autoscaling !== undefined ||
        application.spec.components.some((c) => c.autoscaling !== undefined);
      if (!isAsked || application.metadata.deletionTimestamp !== undefined) continue;
      await this.#scale(application, policy);
    }
  }

  async #scale(
    application: ObjectOf<"Application">,
    policy: ObjectOf<"PropagationPolicy">["spec"] | undefined,
  ): Promise<void> {
    const { store, clock } = this.#deps;
    const { namespace, name, uid } = application.metadata;
    const next = autoscalingOf({
      application,
      policy,
      assignments: store
        .list("Assignment", namespace ?? "")
        .filter((a) => a.spec.application === name && a.spec.applicationUid === uid),
      isHeardOf: (node) => store.get("EdgeNode", "", node)?.status?.life === "ready",
      nowMs: clock.wallMs(),
    });
    const before = application.status?.autoscaling ?? [];
    if (jsonEqual(before, next)) return;
    const status = { ...application.status, autoscaling: [...next] };
    const result = await store.commit({
      changes: [changeOf(application, { ...application, status })],
    });
    if (result.ok) for (const component of next) this.#tell(application, component);
  }

  #tell(application: ObjectOf<"Application">, component: AutoscalingStatus): void {
    const { events, log, metrics, clock } = this.#deps;
    const { desiredReplicas: to, currentReplicas: from } = component;
    if (to === from) return;
    const values = component.metrics
      .map((m) => `${m.name} ${m.current ?? "unknown"}, target ${m.target}`)
      .join("; ");
    const message = `${component.component} from ${from} to ${to} replicas: ${values}`;
    events.record({ about: application, type: "Normal", reason: "Rescaled", message });
    log.info({ name: application.metadata.name, message, at: isoTime(clock.wallMs()) }, "rescaled");
    metrics.count("flotilla_hub_rescales_total", { direction: to > from ? "up" : "down" });
  }
}

interface AutoscalerDeps {
  readonly store: ResourceStore;
  readonly events: Pick<EventRecorder, "record">;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
}
