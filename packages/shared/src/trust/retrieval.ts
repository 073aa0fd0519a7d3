import { RETRIEVAL_BYTES_PER_SECOND_MIN, RETRIEVAL_WINDOW_MS } from "./limits.ts";
import { type Verdict, verdictOf } from "./receipt.ts";
import { TrustError } from "./refusal.ts";

/** A download under way. */
export interface Retrieval {
  /** File or target. */
  readonly subject: string;
  /** Bytes that may come: what is signed for, or the cap of the kind of file. */
  readonly bytesMax: number;
  /** Bytes that have come. */
  readonly bytes: number;
  /** Bytes that had come when the present window began, and how long ago that was. */
  readonly windowStartBytes: number;
  readonly windowMs: number;
}

/**
 * Whether a download may go on. Stops one that sends more than is signed for, and one that came in below
 * RETRIEVAL_BYTES_PER_SECOND_MIN on the mean of the last RETRIEVAL_WINDOW_MS: a source that drips a byte a second holds a node
 * for ever (slow retrieval). Total time is not judged: a large model on a slow link takes its hours.
 */
export function judgeRetrieval(retrieval: Retrieval): Verdict {
  return verdictOf(() => {
    const { subject, bytes, bytesMax, windowMs } = retrieval;
    if (bytes > bytesMax)
      throw new TrustError("target-too-long", {
        subject,
        message: `${bytes} bytes came, ${bytesMax} may`,
        mend: "Use another source; this one sends more than was published.",
      });
    const came = bytes - retrieval.windowStartBytes;
    const least = (RETRIEVAL_BYTES_PER_SECOND_MIN * windowMs) / 1000;
    if (bytes < bytesMax && windowMs >= RETRIEVAL_WINDOW_MS && !(came >= least))
      throw new TrustError("target-too-slow", {
        subject,
        message: `${came} bytes in ${Math.round(windowMs / 1000)} s, at least ${Math.round(least)} are asked for`,
        mend: "Try another source, then this one again; the bytes that came are kept.",
      });
  });
}
