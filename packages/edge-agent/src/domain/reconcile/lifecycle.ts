import type { InstanceRecord } from "./instance-record.ts";

/** What the record of an instance says; `absent`: there is none. */
export type InstanceState = "absent" | InstanceRecord["intent"];

/** What the desired state says about the record: the same, another spec, or nothing at all. */
export type Wish = "same" | "changed" | "unwanted";

/**
 * What is seen of the run: `whole` = every container lives (or, where exits are recorded, has ended well while another
 * lives), `gone` = no process of the run is left, `broken` = anything between.
 */
export type Life = "whole" | "broken" | "gone";

/** One column of the table in SPEC.md. */
export type Situation = `${Wish}-${Life}`;

/** What the planner does about it; plan.ts has one function for each. */
export type Reaction =
  /** Right as it is. */
  | "nothing"
  /** Start when the back-off is over. */
  | "begin"
  /** Start with fresh counters: the spec is another one. */
  | "begin-anew"
  /** An agent died between intent and deed: take over what it started. */
  | "adopt"
  /** An agent died between intent and deed and nothing is seen: start again once stragglers had time to show. */
  | "begin-again"
  /** Runs as desired: look at health and deadline only. */
  | "check"
  | "stop-broken"
  | "stop-changed"
  | "stop-unwanted"
  /** SIGTERM was sent: wait for the grace period, then SIGKILL. */
  | "go-on-stopping"
  /** The run ended by itself: judge it. */
  | "settle-exit"
  /** The run was stopped by us: judge why. */
  | "settle-stop"
  | "forget"
  /** Cannot be: such a state has no run that could live. */
  | "impossible";

/** The whole of an instance's life: state × situation → reaction. The compiler asks for every cell. */
export const LIFECYCLE: Readonly<Record<InstanceState, Readonly<Record<Situation, Reaction>>>> = {
  absent: {
    "same-whole": "impossible",
    "same-broken": "impossible",
    "same-gone": "begin",
    "changed-whole": "impossible",
    "changed-broken": "impossible",
    "changed-gone": "impossible",
    "unwanted-whole": "impossible",
    "unwanted-broken": "impossible",
    "unwanted-gone": "nothing",
  },
  idle: {
    "same-whole": "impossible",
    "same-broken": "impossible",
    "same-gone": "begin",
    "changed-whole": "impossible",
    "changed-broken": "impossible",
    "changed-gone": "begin-anew",
    "unwanted-whole": "impossible",
    "unwanted-broken": "impossible",
    "unwanted-gone": "forget",
  },
  starting: {
    "same-whole": "adopt",
    "same-broken": "stop-broken",
    "same-gone": "begin-again",
    "changed-whole": "stop-changed",
    "changed-broken": "stop-changed",
    "changed-gone": "begin-again",
    "unwanted-whole": "stop-unwanted",
    "unwanted-broken": "stop-unwanted",
    "unwanted-gone": "begin-again",
  },
  running: {
    "same-whole": "check",
    "same-broken": "stop-broken",
    "same-gone": "settle-exit",
    "changed-whole": "stop-changed",
    "changed-broken": "stop-changed",
    "changed-gone": "begin-anew",
    "unwanted-whole": "stop-unwanted",
    "unwanted-broken": "stop-unwanted",
    "unwanted-gone": "forget",
  },
  stopping: {
    "same-whole": "go-on-stopping",
    "same-broken": "go-on-stopping",
    "same-gone": "settle-stop",
    "changed-whole": "go-on-stopping",
    "changed-broken": "go-on-stopping",
    "changed-gone": "begin-anew",
    "unwanted-whole": "go-on-stopping",
    "unwanted-broken": "go-on-stopping",
    "unwanted-gone": "forget",
  },
  finished: {
    "same-whole": "impossible",
    "same-broken": "impossible",
    "same-gone": "nothing",
    "changed-whole": "impossible",
    "changed-broken": "impossible",
    "changed-gone": "begin-anew",
    "unwanted-whole": "impossible",
    "unwanted-broken": "impossible",
    "unwanted-gone": "forget",
  },
};
