import { ManualClock } from "@flotilla/shared/testing/manual-clock";
import { SeededRandom } from "@flotilla/shared/testing/seeded-random";
import { silentLog } from "@flotilla/shared/testing/silent-log";
import { expect } from "vitest";
import type { SqliteStoreOptions } from "../../src/adapters/store/sqlite-resource-store.ts";
import type { ApiObject, WatchEvent, WriteOptions } from "../../src/app/resources/ports.ts";
import { ResourceService } from "../../src/app/resources/resource-service.ts";
import { ApiError, type FailureStatus } from "../../src/domain/resources/api-error.ts";
import { testStore } from "./store.ts";

const user = { name: "test", groups: [] };

/** Strict, as kubectl asks. */
export const STRICT: WriteOptions = { user, fieldValidation: "Strict" };
export const WARN: WriteOptions = { user, fieldValidation: "Warn" };
export const DELETE = { user };

/** The service over the real store, with a clock that the test moves. */
export function testResources(
  options: Partial<SqliteStoreOptions> & { readonly watchLagLinesMax?: number } = {},
) {
  const clock = new ManualClock();
  const { watchLagLinesMax, ...storeOptions } = options;
  const store = testStore({ clock, ...storeOptions });
  const serviceOptions = watchLagLinesMax === undefined ? {} : { watchLagLinesMax };
  const service = new ResourceService(serviceOptions, {
    store,
    clock,
    random: new SeededRandom(42),
    log: silentLog(),
    hooks: {
      mintSecret: () => ({ secret: "minted-secret", secretHash: "minted-hash" }),
      joinString: (name, secret) => `flotilla://hub/${name}.${secret}#sha256:00`,
    },
  });
  return { service, store, clock };
}

/** The Status that refuses this. */
export async function refusal(work: () => unknown): Promise<FailureStatus> {
  try {
    await work();
  } catch (error) {
    if (error instanceof ApiError) return error.toStatus();
    throw error;
  }
  throw new Error("it was not refused");
}

/** Reads watch events until there are `count`, or the watch ends. */
export async function take(
  events: AsyncIterable<WatchEvent>,
  count: number,
): Promise<readonly WatchEvent[]> {
  const taken: WatchEvent[] = [];
  if (count === 0) return taken;
  for await (const event of events) {
    taken.push(event);
    if (taken.length === count) break;
  }
  return taken;
}

/** `TYPE name`, or what else the event says. */
export function brief(event: WatchEvent): string {
  if (event.type === "BOOKMARK") return event.initialEventsEnd ? "BOOKMARK initial" : "BOOKMARK";
  return event.type === "EXPIRED"
    ? "EXPIRED"
    : `${event.type} ${String(event.object.metadata["name"])}`;
}

/** Names of a list, in order. */
export function names(objects: readonly ApiObject[]): readonly string[] {
  return objects.map((o) => String(o.metadata["name"]));
}

/** An Application with these components, each a Deployment of one container unless said otherwise. */
export function application(
  name: string,
  components: readonly Readonly<Record<string, unknown>>[] = [{}],
) {
  return {
    apiVersion: "apps.kurator.dev/v1alpha1",
    kind: "Application",
    metadata: { name },
    spec: {
      components: components.map((c, i) => ({ ...deployment(`c${i}`), ...c })),
    },
  };
}

/** A Deployment component; `container` adds to its only container, `pod` to its pod spec. */
export function deployment(
  name: string,
  container: Readonly<Record<string, unknown>> = {},
  pod: Readonly<Record<string, unknown>> = {},
) {
  return {
    name,
    type: "Deployment",
    template: {
      spec: {
        replicas: 1,
        template: { spec: { containers: [{ name: "main", image: "i", ...container }], ...pod } },
      },
    },
  };
}

/** A ConfigMap as a client sends it. */
export function configMapBody(name: string, value = "1", labels: Record<string, string> = {}) {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name, labels }, data: { value } };
}

/** The causes of a refusal as `field: message`. */
export function causesOf(status: FailureStatus): readonly string[] {
  expect(status.code).toBe(422);
  return (status.details?.causes ?? []).map((c) => `${c.field}: ${c.message}`);
}
