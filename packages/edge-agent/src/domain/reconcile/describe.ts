import type { Step } from "./step.ts";

/** One step as a person reads it. */
export interface DescribedStep {
  readonly instance: string;
  readonly step: Step["kind"];
  readonly reason?: string;
  readonly waitMs?: number;
  readonly message: string;
}

/** Says what the step does, or why it waits and how long. */
export function describeStep(step: Step, nowBootMs: number): DescribedStep {
  const head = { instance: step.id, step: step.kind };
  switch (step.kind) {
    case "start":
      return { ...head, message: step.before === undefined ? "start it" : "start it again" };
    case "adopt":
      return { ...head, message: "take over the processes that run already" };
    case "signal-term": {
      const reason = step.next.reason ?? "";
      return { ...head, reason, message: `ask it to end: ${step.next.message ?? ""}` };
    }
    case "signal-kill":
      return { ...head, message: "kill it: the grace period is over" };
    case "record-exit":
      return {
        ...head,
        reason: step.next.reason ?? "",
        message: `note its end: ${step.next.message ?? ""}`,
      };
    case "forget":
      return { ...head, message: "drop its record and its logs: nobody asks for it" };
    case "signal-orphan":
      return { ...head, message: `${step.signal} to a run that nobody asks for` };
    case "wait":
      return {
        ...head,
        reason: step.reason,
        ...(step.untilBootMs === undefined
          ? {}
          : { waitMs: Math.max(0, step.untilBootMs - nowBootMs) }),
        message: `wait (${step.reason}): ${step.message}`,
      };
  }
}
