import { isIPv6 } from "node:net";
import type { Clock } from "@flotilla/shared/kernel/clock";

interface Bucket {
  tokens: number;
  atMs: number;
}

/**
 * Token buckets by remote address: `burst` requests at once, `perSecond` earned back. The number of remembered addresses
 * is bounded; the one that has been quiet longest is forgotten first, which gives it nothing but a full bucket.
 */
export class RateLimiter {
  readonly #burst: number;
  readonly #perSecond: number;
  readonly #addressesMax: number;
  readonly #clock: Clock;
  /** In order of last use: a Map keeps the order of insertion. */
  readonly #buckets = new Map<string, Bucket>();

  constructor(
    options: {
      readonly burst: number;
      readonly perSecond: number;
      readonly addressesMax: number;
    },
    deps: { readonly clock: Clock },
  ) {
    this.#burst = options.burst;
    this.#perSecond = options.perSecond;
    this.#addressesMax = options.addressesMax;
    this.#clock = deps.clock;
  }

  /** 0 when the request may go on; otherwise the whole seconds to wait. */
  take(remoteAddress: string): number {
    const key = bucketKey(remoteAddress);
    const nowMs = this.#clock.bootMs();
    const old = this.#buckets.get(key) ?? { tokens: this.#burst, atMs: nowMs };
    const earned = ((nowMs - old.atMs) / 1000) * this.#perSecond;
    const tokens = Math.min(this.#burst, old.tokens + earned);
    const granted = tokens >= 1;
    this.#buckets.delete(key);
    this.#buckets.set(key, { tokens: granted ? tokens - 1 : tokens, atMs: nowMs });
    this.#forget();
    return granted ? 0 : Math.ceil((1 - tokens) / this.#perSecond);
  }

  #forget(): void {
    if (this.#buckets.size <= this.#addressesMax) return;
    const oldest = this.#buckets.keys().next();
    if (oldest.done !== true) this.#buckets.delete(oldest.value);
  }
}

/** IPv4 as it is (also when mapped into IPv6); of an IPv6 address the first 64 bits, which one host owns whole. */
function bucketKey(address: string): string {
  const plain = address.replace(/^::ffff:(?=\d+\.)/i, "");
  if (!isIPv6(plain)) return plain;
  const [head = ""] = plain.split("::", 1);
  const groups = plain.includes("::") ? [...head.split(":"), "0", "0", "0", "0"] : plain.split(":");
  return groups.slice(0, 4).join(":");
}
