/** One event of the demo: what happened, and when, in milliseconds after its start. */
export interface TimelineEntry {
  readonly atMs: number;
  readonly event: string;
}

/** Says what happens as it happens, and keeps it for the JSON line at the end. */
export class Narrator {
  readonly #startedMs = performance.now();
  readonly #quiet: boolean;
  readonly timeline: TimelineEntry[] = [];

  constructor(options: { readonly quiet: boolean }) {
    this.#quiet = options.quiet;
  }

  /** A chapter. */
  heading(text: string): void {
    this.#print(`\n${text}\n`);
  }

  /** Something happened; goes into the timeline. */
  event(text: string): void {
    const atMs = Math.round(performance.now() - this.#startedMs);
    this.timeline.push({ atMs, event: text });
    this.#print(`${(atMs / 1000).toFixed(1).padStart(6)} s  ${text}\n`);
  }

  /** Text of a command, indented. */
  quote(text: string): void {
    this.#print(
      text
        .trimEnd()
        .split("\n")
        .map((line) => `          ${line}\n`)
        .join(""),
    );
  }

  /** With --json standard output is left to the JSON line, and people read standard error. */
  #print(text: string): void {
    (this.#quiet ? process.stderr : process.stdout).write(text);
  }
}
