import type { Clock } from "@flotilla/shared/kernel/clock";
import { type Random, uuid } from "@flotilla/shared/kernel/random";
import type { DownEnvelope } from "@flotilla/shared/protocol/envelope";
import { PROTOCOL_VERSION } from "@flotilla/shared/protocol/version";

/** What every new down message carries, its kind and body apart. */
export function downEnvelope(deps: {
  readonly clock: Clock;
  readonly random: Random;
}): Pick<DownEnvelope, "v" | "id" | "sentAt"> {
  return {
    v: PROTOCOL_VERSION,
    id: uuid(deps.random, "down.id"),
    // A wall clock before 1970 would make a message that no agent reads.
    sentAt: Math.max(0, Math.trunc(deps.clock.wallMs())),
  };
}
