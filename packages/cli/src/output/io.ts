/** What a command may touch of the process, so that a test can run one without being one. */
export interface Io {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly nowMs: () => number;
  readonly readStdin: () => Promise<string>;
  /** Aborted when the reader of standard output went away, as `head` does: a watch has nobody to tell any more. */
  readonly readerGone: AbortSignal;
  readonly color: boolean;
  /** Standard error when it is a terminal: where a progress bar is drawn. */
  readonly terminal?: NodeJS.WriteStream;
}

/** Colour by the conventions of no-color.org: NO_COLOR wins over FORCE_COLOR, TERM=dumb over a terminal. */
export function wantsColor(env: Io["env"], isTty: boolean): boolean {
  if ((env["NO_COLOR"] ?? "") !== "") return false;
  if ((env["FORCE_COLOR"] ?? "") !== "") return env["FORCE_COLOR"] !== "0";
  return isTty && env["TERM"] !== "dumb";
}
