import type { MetricDefinition } from "@flotilla/shared/kernel/service";

/** Metrics of price feeds. Outcomes are a closed set. */
export const PRICING_METRICS: readonly MetricDefinition[] = [
  {
    name: "flotilla_hub_price_fetches_total",
    kind: "counter",
    help: "Deliveries of price feeds, by outcome.",
    labels: ["outcome"],
  },
  {
    name: "flotilla_hub_prices_clamped_total",
    kind: "counter",
    help: "Prices of a delivery that were held back by the bounds.",
  },
  {
    name: "flotilla_hub_price_lists_stale",
    kind: "gauge",
    help: "Price lists whose feed has not delivered for three intervals.",
  },
];
