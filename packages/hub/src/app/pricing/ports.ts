/** How the text of a price list is got. Never throws; what it says quotes neither the text nor secrets of the address. */
export interface PriceSource {
  /** `address`: http, https or file URL. Resolves within its own time limit, at once when the signal is aborted. */
  read(address: string, signal: AbortSignal): Promise<PriceText>;
}

export type PriceText =
  | { readonly kind: "text"; readonly text: string; readonly format: "json" | "csv" }
  | {
      readonly kind: "failed";
      readonly reason: "FeedUnreachable" | "FeedTimeout" | "FeedRefused" | "FeedTooLarge";
      readonly message: string;
    };
