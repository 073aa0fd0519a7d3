/** Reads how much CPU time the processes of this machine have used. */
export interface CpuTimeProbe {
  /** CPU time by session, milliseconds since the session's start; of these leaders alone. Those that are gone are left out. */
  read(leaders: ReadonlySet<number>): ReadonlyMap<number, number>;
}
