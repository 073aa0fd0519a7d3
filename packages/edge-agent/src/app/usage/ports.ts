/** Reads how much CPU time the processes of this machine have used. */
export interface CpuTimeProbe {
  /** CPU time by session, milliseconds since the session's start; of these leaders alone. Those that are gone are left out. */
  read(leaders: ReadonlySet<number>): ReadonlyMap<number, number>;
}

/** Where a metrics page is, and how long it may take. */
export interface PageRequest {
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly timeoutMs: number;
}

/** Reads the metrics page of an instance. */
export interface MetricsPages {
  /** Undefined when there is none to be had: nobody answers, not with 200, too much, too late, or the signal ended it. Never throws. */
  read(request: PageRequest, signal: AbortSignal): Promise<string | undefined>;
}
