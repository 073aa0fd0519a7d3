import { parseDurationMs } from "@flotilla/shared/kernel/duration";
import { parseQuantity } from "@flotilla/shared/kernel/quantity";
import type { Delivery, DeliveryWindow } from "@flotilla/shared/model/artifact";
import type { ObjectOf } from "@flotilla/shared/model/kinds";

type SiteDelivery = NonNullable<ObjectOf<"Site">["spec"]["delivery"]>;

/** How the nodes of a site get bytes, as a desired state says it. What the checks of a Site would refuse is left out. */
export function deliveryOf(server: string, site: ObjectOf<"Site"> | undefined): Delivery {
  const { bytesPerSecond, windows = [], metered } = site?.spec.delivery ?? {};
  const speed = bytesPerSecond === undefined ? undefined : parseQuantity(bytesPerSecond);
  const sound = windows.flatMap((w) => windowOf(w) ?? []);
  return {
    server,
    ...(speed === undefined ? {} : { bytesPerSecond: Math.floor(speed) }),
    ...(sound.length === 0 ? {} : { windows: sound }),
    ...(metered === true ? { isMetered: true } : {}),
  };
}

function windowOf({
  start,
  duration,
  timeZone,
}: NonNullable<SiteDelivery["windows"]>[number]): DeliveryWindow | undefined {
  const durationMs = parseDurationMs(duration);
  if (durationMs === undefined) return undefined;
  return { start, durationMs, ...(timeZone === undefined ? {} : { timeZone }) };
}
