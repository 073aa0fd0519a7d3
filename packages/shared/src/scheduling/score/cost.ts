import { isKnown, NEUTRAL } from "./part.ts";

/** The lowest price among those that fit over this one, in [0, 1]; scale-free, so that a cent decides little. */
export function costPart(price: number | undefined, priceMin: number | undefined): number {
  if (!isKnown(price) || !isKnown(priceMin)) return NEUTRAL;
  return price === 0 ? 1 : priceMin / price;
}

/** The lowest known price; undefined when none is known. */
export function lowestPrice(prices: Iterable<number | undefined>): number | undefined {
  let lowest: number | undefined;
  for (const price of prices)
    if (isKnown(price) && (lowest === undefined || price < lowest)) lowest = price;
  return lowest;
}
