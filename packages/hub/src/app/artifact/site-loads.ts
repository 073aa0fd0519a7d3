import type { Clock } from "@flotilla/shared/kernel/clock";
import { jsonEqual } from "@flotilla/shared/kernel/json";
import type { HourLoad } from "@flotilla/shared/model/resources/edge";
import { hourOf, isBusyHour, roundedLoad, withReading } from "../../domain/artifact/site-load.ts";
import { changeOf } from "../control/change.ts";
import type { ResourceStore } from "../resources/ports.ts";

/** How often the CPU use of each site is read. */
export const SITE_LOAD_INTERVAL_MS = 300_000;

/**
 * How much sites are used at which hour of the day, learned from what their nodes report: 24 numbers a site. Written into the Site's
 * status once an hour, so that a new hub knows them.
 */
export class SiteLoads {
  readonly #deps: SiteLoadsDeps;
  readonly #hours = new Map<string, readonly HourLoad[]>();
  #readBootMs: number | undefined;
  #hour: number | undefined;

  constructor(deps: SiteLoadsDeps) {
    this.#deps = deps;
  }

  /** Whether the site is used much at this hour. */
  isBusy(site: string, nowMs: number): boolean {
    return isBusyHour(this.#hoursOf(site), hourOf(nowMs));
  }

  /** Reads once in SITE_LOAD_INTERVAL_MS, and writes when an hour is over. Rejects when the store fails. */
  async look(): Promise<void> {
    const { clock } = this.#deps;
    const nowBootMs = clock.bootMs();
    if (this.#readBootMs !== undefined && nowBootMs - this.#readBootMs < SITE_LOAD_INTERVAL_MS)
      return;
    this.#readBootMs = nowBootMs;
    const hour = hourOf(clock.wallMs());
    this.#read(hour);
    if (this.#hour !== undefined && this.#hour !== hour) await this.#write();
    this.#hour = hour;
  }

  #hoursOf(site: string): readonly HourLoad[] {
    const known = this.#hours.get(site);
    return known ?? this.#deps.store.get("Site", "", site)?.status?.load ?? [];
  }

  #read(hour: number): void {
    const { store } = this.#deps;
    const heard = store.list("EdgeNode").filter((n) => n.status?.life === "ready");
    for (const [site, nodes] of Map.groupBy(heard, (n) => n.spec.site)) {
      const ratios = nodes.flatMap((n) => n.status?.usage?.cpuRatio ?? []);
      if (ratios.length === 0) continue;
      const mean = ratios.reduce((sum, ratio) => sum + ratio, 0) / ratios.length;
      this.#hours.set(site, withReading(this.#hoursOf(site), hour, mean));
    }
  }

  /** What somebody else changed meanwhile is written an hour later. */
  async #write(): Promise<void> {
    const { store } = this.#deps;
    const known = new Set(store.list("Site").map((s) => s.metadata.name));
    for (const site of this.#hours.keys()) if (!known.has(site)) this.#hours.delete(site);
    await Promise.all(
      store.list("Site").map(async (site) => {
        const hours = this.#hours.get(site.metadata.name);
        const load = hours === undefined ? undefined : roundedLoad(hours);
        if (load === undefined || jsonEqual(load, site.status?.load)) return;
        const after = { ...site, status: { ...site.status, load } };
        await store.commit({ changes: [changeOf(site, after)] });
      }),
    );
  }
}

interface SiteLoadsDeps {
  readonly store: ResourceStore;
  readonly clock: Clock;
}
