/** Measures the machine and the way to other places. Never throws: what cannot be measured is undefined. */
export interface MeasureProbe {
  /** Speed of the fastest link that is up, bits per second. */
  linkSpeed(): Promise<number | undefined>;
  /** Durable writes per second in the state directory; writes a bounded amount and takes a bounded time. */
  diskWritesPerSecond(): Promise<number | undefined>;
  /** Round trip of a TCP connect in milliseconds; undefined when there is no connection within the time. */
  connectMs(
    target: ProbeAddress,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<number | undefined>;
}

export interface ProbeAddress {
  readonly host: string;
  readonly port: number;
}
