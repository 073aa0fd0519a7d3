/**
 * Suffix array by induced sorting (SA-IS: Nong, Zhang, Chan 2009): start positions of all suffixes of `bytes`, in
 * lexicographic order. Linear time; about nine bytes of memory for each byte of input, besides the result.
 */
export function suffixArray(bytes: Uint8Array): Int32Array {
  return induced(bytes, 255);
}

type Symbols = Uint8Array | Int32Array;

/** Sorts the suffixes of `s`, whose symbols are 0 … `upper`. */
function induced(s: Symbols, upper: number): Int32Array {
  const n = s.length;
  if (n === 0) return new Int32Array(0);
  if (n === 1) return new Int32Array(1);
  const small = smallerThanNext(s);
  const { startsL, startsS } = bucketsOf(s, small, upper);
  const sa = new Int32Array(n);
  const lmsIndex = new Int32Array(n + 1).fill(-1);
  let m = 0;
  for (let i = 1; i < n; i++) if (small[i - 1] === 0 && small[i] === 1) lmsIndex[i] = m++;
  const lms = new Int32Array(m);
  for (let i = 1; i < n; i++) if ((lmsIndex[i] ?? -1) >= 0) lms[lmsIndex[i] ?? 0] = i;
  const frame = { s, small, startsL, startsS, sa };
  induce(frame, lms);
  if (m > 0) induce(frame, sortedLms(frame, lms, lmsIndex));
  return sa;
}

interface Frame {
  readonly s: Symbols;
  /** 1 where a suffix is smaller than the next. */
  readonly small: Uint8Array;
  readonly startsL: Int32Array;
  readonly startsS: Int32Array;
  readonly sa: Int32Array;
}

function smallerThanNext(s: Symbols): Uint8Array {
  const small = new Uint8Array(s.length);
  for (let i = s.length - 2; i >= 0; i--) {
    const a = s[i] ?? 0;
    const b = s[i + 1] ?? 0;
    small[i] = a === b ? (small[i + 1] ?? 0) : a < b ? 1 : 0;
  }
  return small;
}

/** Where each symbol's suffixes begin: first those larger than their next, then those smaller. */
function bucketsOf(
  s: Symbols,
  small: Uint8Array,
  upper: number,
): { startsL: Int32Array; startsS: Int32Array } {
  const startsL = new Int32Array(upper + 2);
  const startsS = new Int32Array(upper + 2);
  for (let i = 0; i < s.length; i++) {
    const c = s[i] ?? 0;
    if (small[i] === 0) startsS[c] = (startsS[c] ?? 0) + 1;
    else startsL[c + 1] = (startsL[c + 1] ?? 0) + 1;
  }
  for (let c = 0; c <= upper; c++) {
    startsS[c] = (startsS[c] ?? 0) + (startsL[c] ?? 0);
    if (c < upper) startsL[c + 1] = (startsL[c + 1] ?? 0) + (startsS[c] ?? 0);
  }
  return { startsL, startsS };
}

function induce({ s, small, startsL, startsS, sa }: Frame, lms: Int32Array): void {
  const n = s.length;
  sa.fill(-1);
  const at = startsS.slice();
  for (let i = 0; i < lms.length; i++) {
    const p = lms[i] ?? 0;
    if (p === n) continue;
    const c = s[p] ?? 0;
    const slot = at[c] ?? 0;
    sa[slot] = p;
    at[c] = slot + 1;
  }
  at.set(startsL);
  const last = s[n - 1] ?? 0;
  const lastSlot = at[last] ?? 0;
  sa[lastSlot] = n - 1;
  at[last] = lastSlot + 1;
  for (let i = 0; i < n; i++) {
    const v = (sa[i] ?? 0) - 1;
    if (v < 0 || small[v] === 1) continue;
    const c = s[v] ?? 0;
    const slot = at[c] ?? 0;
    sa[slot] = v;
    at[c] = slot + 1;
  }
  at.set(startsL);
  for (let i = n - 1; i >= 0; i--) {
    const v = (sa[i] ?? 0) - 1;
    if (v < 0 || small[v] === 0) continue;
    const c = s[v] ?? 0;
    const slot = (at[c + 1] ?? 0) - 1;
    sa[slot] = v;
    at[c + 1] = slot;
  }
}

/** The starts of LMS substrings in the order of their suffixes, found by naming them and sorting the names. */
function sortedLms({ s, sa }: Frame, lms: Int32Array, lmsIndex: Int32Array): Int32Array {
  const n = s.length;
  const m = lms.length;
  const sorted = new Int32Array(m);
  let k = 0;
  for (let i = 0; i < n; i++) {
    const p = sa[i] ?? 0;
    if (p >= 0 && (lmsIndex[p] ?? -1) >= 0) sorted[k++] = p;
  }
  const names = new Int32Array(m);
  let upper = 0;
  for (let i = 1; i < m; i++) {
    if (!sameSubstring(s, lms, { l: sorted[i - 1] ?? 0, r: sorted[i] ?? 0, lmsIndex })) upper += 1;
    names[lmsIndex[sorted[i] ?? 0] ?? 0] = upper;
  }
  const order = induced(names, upper);
  for (let i = 0; i < m; i++) sorted[i] = lms[order[i] ?? 0] ?? 0;
  return sorted;
}

function sameSubstring(
  s: Symbols,
  lms: Int32Array,
  at: { l: number; r: number; lmsIndex: Int32Array },
): boolean {
  const n = s.length;
  let { l, r } = at;
  const endL = lms[(at.lmsIndex[l] ?? 0) + 1] ?? n;
  const endR = lms[(at.lmsIndex[r] ?? 0) + 1] ?? n;
  if (endL - l !== endR - r) return false;
  for (; l < endL; l++, r++) if (s[l] !== s[r]) return false;
  return l !== n && r !== n && s[l] === s[r];
}
