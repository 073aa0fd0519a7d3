import { systemClock } from "@flotilla/shared/platform/clock";
import { systemRandom } from "@flotilla/shared/platform/random";
import { silentLog } from "@flotilla/shared/testing/silent-log";
import { onTestFinished } from "vitest";
import { NamespaceCleaner } from "../../src/app/resources/namespace-cleaner.ts";
import type { ResourceStore } from "../../src/app/resources/ports.ts";
import { ResourceService } from "../../src/app/resources/resource-service.ts";
import { testStore } from "./store.ts";

/** The real resource service over the real store in a temporary folder, with its namespace cleaner at work. */
export function realHub(): { readonly store: ResourceStore; readonly resources: ResourceService } {
  const clock = systemClock();
  const log = silentLog();
  const store = testStore({ clock });
  const hooks = {
    mintSecret: () => ({ secret: "secret", secretHash: "00".repeat(32) }),
    joinString: (name: string, secret: string) => `flotilla://127.0.0.1:1/${name}.${secret}`,
  };
  const stop = new AbortController();
  const cleaner = new NamespaceCleaner({ store, clock, log }).run(stop.signal);
  onTestFinished(async () => {
    stop.abort();
    await cleaner;
  });
  const deps = { store, clock, random: systemRandom(), log, hooks };
  return { store, resources: new ResourceService({}, deps) };
}

/** The resource service alone. */
export function realResources(): ResourceService {
  return realHub().resources;
}
