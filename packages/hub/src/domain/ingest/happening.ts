/** What happened, as an Event of the node tells it. What happens to its instances the node itself tells, in notices. */
export interface NodeHappening {
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
}
