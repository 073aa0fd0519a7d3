import type { Clock } from "@flotilla/shared/kernel/clock";
import type { Log } from "@flotilla/shared/kernel/service";
import type { Notice } from "@flotilla/shared/protocol/up/notice";
import type { AgentStore } from "./ports.ts";

/** Longest message of a notice, characters; the rest is cut off. */
const NOTICE_MESSAGE_LENGTH_MAX = 1_024;

/** Tells the hub what happened. */
export type Notify = (notice: Omit<Notice, "happenedAt">) => void;

/** Notices through the outbox. One that cannot be stored is said in the log, and is no reason to leave a deed undone. */
export function makeNotify(deps: {
  readonly store: Pick<AgentStore, "enqueue">;
  readonly clock: Pick<Clock, "wallMs">;
  readonly log: Log;
}): Notify {
  return (notice) => {
    const body: Notice = {
      ...notice,
      message: notice.message.slice(0, NOTICE_MESSAGE_LENGTH_MAX),
      happenedAt: Math.max(0, Math.trunc(deps.clock.wallMs())),
    };
    try {
      deps.store.enqueue({ kind: "notice", body });
    } catch (error) {
      deps.log.warn({ err: error, reason: notice.reason }, "a notice could not be stored");
    }
  };
}
