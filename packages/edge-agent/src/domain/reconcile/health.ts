import type { Container, Probe } from "@flotilla/shared/model/workload";
import type { Health } from "./step.ts";

/** Health probes as the kubelet judges them (kubernetes.io, "Configure Liveness, Readiness and Startup Probes"). */

/** Kubernetes' defaults. */
export const PROBE_PERIOD_MS_DEFAULT = 10_000;
export const PROBE_TIMEOUT_MS_DEFAULT = 1_000;
export const PROBE_FAILURES_DEFAULT = 3;
export const PROBE_SUCCESSES_DEFAULT = 1;

/** The order is the order of judgement: startup gates both others. */
export const PROBE_KINDS = ["startup", "liveness", "readiness"] as const;
export type ProbeKind = (typeof PROBE_KINDS)[number];

/** What one probe of one container has told since the run began. */
export interface ProbeState {
  /** The verdict; undefined before there is one. */
  readonly passed: boolean | undefined;
  readonly successesInRow: number;
  readonly failuresInRow: number;
  readonly message: string;
  readonly nextBootMs: number;
}

/** Probes of one container by kind. */
export type ProbeStates = Readonly<Partial<Record<ProbeKind, ProbeState>>>;

/** The container's probe of this kind. */
export function probeOf(container: Container, kind: ProbeKind): Probe | undefined {
  switch (kind) {
    case "startup":
      return container.startupProbe;
    case "liveness":
      return container.livenessProbe;
    case "readiness":
      return container.readinessProbe;
  }
}

/** Probes at the start of a run. An adopted run is old: its initial delays are over. */
export function firstProbeStates(container: Container, startedBootMs: number): ProbeStates {
  const states: Partial<Record<ProbeKind, ProbeState>> = {};
  for (const kind of PROBE_KINDS) {
    const probe = probeOf(container, kind);
    if (probe === undefined) continue;
    const nextBootMs = startedBootMs + (probe.initialDelaySeconds ?? 0) * 1000;
    states[kind] = {
      passed: undefined,
      successesInRow: 0,
      failuresInRow: 0,
      message: "",
      nextBootMs,
    };
  }
  return states;
}

/** The state after one more outcome. A verdict changes only when its threshold is reached. */
export function afterProbe(
  state: ProbeState,
  probe: Probe,
  outcome: { readonly ok: boolean; readonly message: string },
  nowBootMs: number,
): ProbeState {
  const successesInRow = outcome.ok ? state.successesInRow + 1 : 0;
  const failuresInRow = outcome.ok ? 0 : state.failuresInRow + 1;
  const passed =
    successesInRow >= (probe.successThreshold ?? PROBE_SUCCESSES_DEFAULT)
      ? true
      : failuresInRow >= (probe.failureThreshold ?? PROBE_FAILURES_DEFAULT)
        ? false
        : state.passed;
  const nextBootMs = nowBootMs + periodMs(probe);
  return {
    passed,
    successesInRow,
    failuresInRow,
    message: outcome.ok ? "" : outcome.message,
    nextBootMs,
  };
}

/** Probe kinds that are asked now: startup alone until it passed, then never again. */
export function activeKinds(states: ProbeStates): readonly ProbeKind[] {
  if (states.startup !== undefined && states.startup.passed !== true) return ["startup"];
  return PROBE_KINDS.filter((kind) => kind !== "startup" && states[kind] !== undefined);
}

/** Probe kinds whose time has come. */
export function dueKinds(states: ProbeStates, nowBootMs: number): readonly ProbeKind[] {
  return activeKinds(states).filter((kind) => (states[kind]?.nextBootMs ?? 0) <= nowBootMs);
}

/** Judgement over all containers of an instance. */
export function judgeHealth(
  containers: readonly { readonly name: string; readonly states: ProbeStates }[],
): Health {
  for (const { name, states } of containers) {
    const startup = states.startup?.passed;
    if (startup === false)
      return sick(
        "StartupFailed",
        `container ${name}: startup probe: ${states.startup?.message ?? ""}`,
      );
    if (states.liveness?.passed === false)
      return sick(
        "LivenessFailed",
        `container ${name}: liveness probe: ${states.liveness.message}`,
      );
  }
  const waiting = containers.find((c) => !isReady(c.states));
  if (waiting === undefined) return { ready: true };
  return { ready: false, message: whyNotReady(waiting) };
}

function sick(reason: "StartupFailed" | "LivenessFailed", message: string): Health {
  return { ready: false, unhealthy: { reason, message }, message };
}

function isReady(states: ProbeStates): boolean {
  if (states.startup !== undefined && states.startup.passed !== true) return false;
  return states.readiness === undefined || states.readiness.passed === true;
}

function whyNotReady(container: { readonly name: string; readonly states: ProbeStates }): string {
  const { startup, readiness } = container.states;
  const [kind, state] =
    startup !== undefined && startup.passed !== true
      ? ["startup", startup]
      : ["readiness", readiness];
  const why = state?.message ?? "";
  return `container ${container.name}: ${String(kind)} probe ${why === "" ? "has not passed yet" : `failed: ${why}`}`;
}

/** Period of a probe in milliseconds. */
export function periodMs(probe: Probe): number {
  return probe.periodSeconds === undefined ? PROBE_PERIOD_MS_DEFAULT : probe.periodSeconds * 1000;
}

/** Time-out of one try in milliseconds. */
export function timeoutMs(probe: Probe): number {
  return probe.timeoutSeconds === undefined
    ? PROBE_TIMEOUT_MS_DEFAULT
    : probe.timeoutSeconds * 1000;
}
