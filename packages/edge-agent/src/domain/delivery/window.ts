/** When updates may be downloaded: windows that open by a calendar, in local time. */

const MINUTE_MS = 60_000;
/** No zone moves its clock by more at a time. */
const CLOCK_CHANGE_MS_MAX = 3 * 60 * MINUTE_MS;

/** A calendar rule in a time zone. */
export interface CalendarRule {
  /** Local time less UTC at an instant. */
  offsetMs(atMs: number): number;
  /** Whether the rule names this local minute. `localMs` is the local time as if it were UTC. */
  names(localMs: number): boolean;
}

/**
 * The last instant after `fromMs`, up to `toMs`, at which the rule begins a window; undefined when there is none. A local time that a change
 * of the clock leaves out counts when the clock passes it; one that comes twice counts the first time.
 */
export function lastStart(
  rule: CalendarRule,
  span: { readonly fromMs: number; readonly toMs: number },
): number | undefined {
  const first = Math.floor(span.fromMs / MINUTE_MS) * MINUTE_MS;
  for (let at = Math.floor(span.toMs / MINUTE_MS) * MINUTE_MS; at > first; at -= MINUTE_MS)
    if (startsAt(rule, at)) return at;
  return undefined;
}

function startsAt(rule: CalendarRule, atMs: number): boolean {
  const offset = rule.offsetMs(atMs);
  const before = rule.offsetMs(atMs - MINUTE_MS);
  // The clock was put forward at this minute: what it left out begins now.
  for (let local = atMs + before; local < atMs + offset; local += MINUTE_MS)
    if (rule.names(local)) return true;
  return rule.names(atMs + offset) && !isRepeated(rule, atMs, offset);
}

/** Whether this local minute was there before: the clock was put back since. */
function isRepeated(rule: CalendarRule, atMs: number, offset: number): boolean {
  const earlier = rule.offsetMs(atMs - CLOCK_CHANGE_MS_MAX);
  return earlier > offset && rule.offsetMs(atMs - (earlier - offset)) === earlier;
}
