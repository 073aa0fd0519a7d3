/**
 * True when the path matches the pattern: segment by segment, `*` any run of characters within a segment, `?` one. Linear in
 * the product of both lengths; no braces, negation or `**`, which shells and libraries read differently.
 */
export function matchesPathPattern(path: string, pattern: string): boolean {
  const segments = path.split("/");
  const patterns = pattern.split("/");
  return (
    segments.length === patterns.length &&
    patterns.every((part, i) => matchesSegment(segments[i] ?? "", part))
  );
}

/** Greedy with one point to return to (Robert A. van Engelen, "Fast string matching with wildcards"). */
function matchesSegment(text: string, pattern: string): boolean {
  let [t, p] = [0, 0];
  let [starAt, resumeAt] = [-1, 0];
  while (t < text.length) {
    if (pattern[p] === "*") {
      starAt = p++;
      resumeAt = t;
    } else if (pattern[p] === "?" || (pattern[p] === text[t] && p < pattern.length)) {
      p++;
      t++;
    } else if (starAt >= 0) {
      p = starAt + 1;
      t = ++resumeAt;
    } else return false;
  }
  while (pattern[p] === "*") p++;
  return p === pattern.length;
}
