import type { Clock } from "@flotilla/shared/kernel/clock";
import type { Random } from "@flotilla/shared/kernel/random";
import type { Log, Metrics } from "@flotilla/shared/kernel/service";

/** What the process gives to everything. */
export interface AgentPlatform {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: Metrics & { text(): Promise<string> };
}
