/**
 * Who of a site fetches from outside, and who takes from whom: every node finds the same answer by itself, from the names alone. Another payload
 * gives another order, so that no node is always the first.
 */

/** So many nodes take from one. */
export const PEER_FAN_OUT = 3;

/** Names in the order of their turn for this payload (rendezvous hashing): one name more or less moves no other. */
export function orderOfMembers(payload: string, nodes: readonly string[]): readonly string[] {
  return [...new Set(nodes)]
    .map((node) => ({ node, weight: weightOf(payload, node) }))
    .toSorted((a, b) => b.weight - a.weight || (a.node < b.node ? -1 : 1))
    .map(({ node }) => node);
}

/**
 * Places in that order that a node takes from, nearest first: its parent in a tree of PEER_FAN_OUT, the parent's parent, up to
 * the first. So the first is not asked by everybody, and what it has reaches twenty nodes in three steps.
 */
export function ancestorsOf(place: number): readonly number[] {
  const ancestors: number[] = [];
  for (let at = place; at > 0; ) {
    at = Math.floor((at - 1) / PEER_FAN_OUT);
    ancestors.push(at);
  }
  return ancestors;
}

/** FNV-1a over both, then murmur3's finish. No secret: nothing is won by being first. */
function weightOf(payload: string, node: string): number {
  const text = `${payload}/${node}`;
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
