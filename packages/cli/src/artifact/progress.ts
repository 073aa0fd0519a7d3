import { Presets, SingleBar } from "cli-progress";
import type { Io } from "../output/io.ts";
import { sizeText } from "../output/table.ts";

/** Tells how far an upload or a download is. */
export interface Progress {
  /** The bar moves on to this many bytes of the whole. */
  at(bytes: number, label: string): void;
  /** Ends the bar; what is printed next begins on a line of its own. */
  stop(): void;
}

/** A bar on a terminal; elsewhere nothing, since a log is no place for one. */
export function startProgress(io: Io, totalBytes: number): Progress {
  const { terminal } = io;
  if (terminal === undefined || totalBytes === 0) return { at: () => {}, stop: () => {} };
  const bar = new SingleBar(
    {
      stream: terminal,
      format: "{bar} {percentage}% {done}/{whole} {label}",
      hideCursor: true,
      clearOnComplete: true,
      // Few redraws: a slow terminal does not hold up what it tells of.
      fps: 5,
    },
    Presets.shades_classic,
  );
  const whole = sizeText(totalBytes);
  bar.start(totalBytes, 0, { done: sizeText(0), whole, label: "" });
  return {
    at: (bytes, label) => bar.update(bytes, { done: sizeText(bytes), label }),
    stop: () => bar.stop(),
  };
}
