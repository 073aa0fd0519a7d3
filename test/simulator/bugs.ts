/**
 * Bugs that can be planted, each where a port meets the world. They are the measure of the checks: a bug that is planted
 * and not found within the CI seeds means that the simulator looks away.
 */
export const BUGS = {
  "ack-before-commit": "the broker acknowledges an up message before the hub has stored it",
  "commit-before-fsync": "the hub's store resolves a commit before it is durable",
  "hub-forgets-cursor": "a hub that starts does not know how far it had read its nodes",
  "ignore-expected-revision": "the hub's store takes a commit whose precondition does not hold",
  "publish-resolves-at-send": "a publish counts as acknowledged once it is sent",
  "adopt-without-start-time": "a process is told by its pid alone",
  "blind-to-orphans": "processes that no record names are not looked for",
  "forget-exit-records": "an agent that starts does not know how runs have ended meanwhile",
  "lose-signals": "signals to workloads are not delivered",
  "accept-any-revision": "the agent takes a desired state of any revision",
  "trust-any-signature": "the agent takes a desired state whoever signed it",
  "hub-forgets-rooms": "a hub that starts does not know how much room its instances have",
  "hub-forgets-devices": "a hub that starts does not know which devices its instances have",
  "gang-in-part": "the hub's store leaves out one of several placements of a commit",
  "no-guarantees": "the hub's store says of no queue what it is guaranteed",
  "queues-closed": "the hub's store says of each queue that it is closed",
  "card-told-twice": "the agent's probe tells each card under two names",
  "reuse-epoch": "the agent's epoch does not grow when it starts",
  "restart-on-reconnect": "the agent stops its workloads when a session opens",
  "trust-anything": "the agent installs releases that nobody signed",
  "torn-contents":
    "a download that was cut counts as whole, and nobody looks at the bytes of a slot",
  "prepare-clears-both": "making the other slot empties the current one",
  "forget-failures": "an agent that starts does not know which artifacts have failed",
  "slots-swapped": "an agent that starts takes the other slot for the current one",
  "downloads-hang": "a download whose road is cut never ends",
} as const;

/** Bugs that only a world with artifacts can show. */
export const ARTIFACT_BUGS: readonly Bug[] = [
  "trust-anything",
  "torn-contents",
  "prepare-clears-both",
  "forget-failures",
  "slots-swapped",
  "downloads-hang",
];

export type Bug = keyof typeof BUGS;

/** Names of the bugs that are planted in a run. */
export type Bugs = ReadonlySet<Bug>;

/** The bug of this name. */
export function bugNamed(name: string): Bug | undefined {
  return allBugs().find((bug) => bug === name);
}

/** Every bug, in the order of the table. */
export function allBugs(): readonly Bug[] {
  const isBug = (name: string): name is Bug => name in BUGS;
  return Object.keys(BUGS).filter(isBug);
}
