import { type Static, Type } from "typebox";
import { Condition } from "../metadata.ts";

/** Prices of nodes and of the traffic between regions, in one currency. Applied by hand or written by a price feed. */

/** Highest price of a node-hour, in any currency: what is above is a fault of the list. */
export const PRICE_PER_HOUR_MAX = 10_000;
/** Highest price of one GB between two regions. */
export const PRICE_PER_GB_MAX = 100;
/** Most prices of nodes in one list: as many as fit into one stored object. */
export const PRICE_NODES_MAX = 5_000;
/** Most prices of traffic in one list. */
export const PRICE_EGRESS_MAX = 2_000;
/** An ISO 4217 code. */
export const CURRENCY_PATTERN = "^[A-Z]{3}$";

const Name = Type.Optional(Type.String({ minLength: 1, maxLength: 128 }));
const PerHour = Type.Number({ minimum: 0, maximum: PRICE_PER_HOUR_MAX });

/** The price of the nodes that all of its names fit. Of several the one with most names counts, of equal ones the first. */
export const NodePriceEntry = Type.Object({
  provider: Name,
  region: Name,
  site: Name,
  /** Label `node.kubernetes.io/instance-type` of the node. */
  instanceType: Name,
  /** Model of the node's first accelerator, as its vendor's tool names it; case does not matter. */
  gpuModel: Name,
  pricePerHour: PerHour,
  spotPricePerHour: Type.Optional(PerHour),
});
export type NodePriceEntry = Static<typeof NodePriceEntry>;

/** What one GB costs on its way from one region to another. */
export const EgressPriceEntry = Type.Object({
  from: Type.String({ minLength: 1, maxLength: 128 }),
  /** `*`: every other region that no entry names. */
  to: Type.String({ minLength: 1, maxLength: 128 }),
  pricePerGb: Type.Number({ minimum: 0, maximum: PRICE_PER_GB_MAX }),
});
export type EgressPriceEntry = Static<typeof EgressPriceEntry>;

export const PriceListSpec = Type.Object({
  currency: Type.String({ pattern: CURRENCY_PATTERN }),
  nodes: Type.Array(NodePriceEntry, { maxItems: PRICE_NODES_MAX }),
  egress: Type.Optional(Type.Array(EgressPriceEntry, { maxItems: PRICE_EGRESS_MAX })),
});
export type PriceListSpec = Static<typeof PriceListSpec>;

export const PriceListStatus = Type.Object({
  /** Where a feed took it from, without what may be secret in the address. */
  source: Type.Optional(Type.String()),
  fetchedAt: Type.Optional(Type.String()),
  /** True: the feed has not delivered for some intervals; the prices count on. */
  stale: Type.Optional(Type.Boolean()),
  nodeCount: Type.Optional(Type.Integer()),
  egressCount: Type.Optional(Type.Integer()),
  /** Prices that were held back by the bounds when the list was last taken. */
  clampedCount: Type.Optional(Type.Integer()),
  observedGeneration: Type.Optional(Type.Integer()),
  conditions: Type.Optional(Type.Array(Condition)),
});
export type PriceListStatus = Static<typeof PriceListStatus>;
