import type { MetricDefinition } from "@flotilla/shared/kernel/service";

/** Metrics of the HTTP API. */
export const HTTP_METRICS: readonly MetricDefinition[] = [
  {
    name: "flotilla_hub_http_requests_total",
    kind: "counter",
    help: "Answered requests by verb (get, list, watch, create, update, patch, delete, other) and status class (2xx to 5xx).",
    labels: ["verb", "class"],
  },
  {
    name: "flotilla_hub_http_request_seconds",
    kind: "histogram",
    help: "Time from request to answer, watches left out.",
    labels: ["verb"],
    buckets: [0.005, 0.025, 0.1, 0.5, 1, 5, 30],
  },
  { name: "flotilla_hub_http_watches", kind: "gauge", help: "Watches that are open." },
  {
    name: "flotilla_hub_http_watches_dropped_total",
    kind: "counter",
    help: "Watches that were dropped because their client took nothing.",
  },
  {
    name: "flotilla_hub_http_rate_limited_total",
    kind: "counter",
    help: "Enrolment requests that were answered 429.",
  },
];
