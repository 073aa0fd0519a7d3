import fc from "fast-check";
import { expect, test } from "vitest";
import type { WatchEvent, WatchOptions } from "../src/app/resources/ports.ts";
import { BOOKMARK_INTERVAL_MS } from "../src/app/resources/watch.ts";
import {
  application,
  brief,
  configMapBody,
  DELETE,
  names,
  STRICT,
  take,
  testResources,
} from "./support/resources.ts";

const NS = "default";
const PLAIN: WatchOptions = { sendInitialEvents: false, allowBookmarks: false };
const target = (name: string) => ({ kind: "ConfigMap", namespace: NS, name }) as const;

/** A watch whose events are collected as they come. */
function collect(hub: ReturnType<typeof testResources>, options: WatchOptions) {
  const stop = new AbortController();
  const events: WatchEvent[] = [];
  const iterable = hub.service.watch("ConfigMap", options, stop.signal);
  const ended = (async () => {
    for await (const event of iterable) events.push(event);
  })();
  return {
    events,
    brief: () => events.map(brief),
    end: async () => {
      stop.abort();
      await ended;
    },
    ended,
  };
}

test("a watch without a version begins with what is there and goes on with what comes", async () => {
  const hub = testResources();
  const { service } = hub;
  await service.create("ConfigMap", NS, configMapBody("a"), STRICT);
  const watch = collect(hub, { ...PLAIN, namespace: NS });
  await service.create("ConfigMap", NS, configMapBody("b"), STRICT);
  await service.mergePatch(target("a"), { data: { value: "2" } }, STRICT);
  await service.create("ConfigMap", "other", configMapBody("c"), STRICT);
  await service.create("Application", NS, application("d"), STRICT);
  await service.remove("ConfigMap", NS, "b", DELETE);
  await expect.poll(watch.brief).toEqual(["ADDED a", "ADDED b", "MODIFIED a", "DELETED b"]);
  await watch.end();
});

test("a watch from a version tells everything after it, and nothing twice", async () => {
  const hub = testResources();
  const { service } = hub;
  await service.create("ConfigMap", NS, configMapBody("a"), STRICT);
  const { resourceVersion } = service.list("ConfigMap", {});
  await service.create("ConfigMap", NS, configMapBody("b"), STRICT);
  const watch = collect(hub, { ...PLAIN, resourceVersion });
  await service.remove("ConfigMap", NS, "a", DELETE);
  await expect.poll(watch.brief).toEqual(["ADDED b", "DELETED a"]);
  const versions = watch.events.map((e) =>
    "object" in e ? Number(e.object.metadata["resourceVersion"]) : 0,
  );
  expect(versions).toEqual([...versions].sort((x, y) => x - y));
  expect(Math.min(...versions)).toBeGreaterThan(Number(resourceVersion));
  await watch.end();
});

test("a list by watch ends its initial events with a bookmark", async () => {
  const hub = testResources();
  await hub.service.create("ConfigMap", NS, configMapBody("a"), STRICT);
  const watch = collect(hub, { ...PLAIN, sendInitialEvents: true, allowBookmarks: true });
  await expect.poll(watch.brief).toEqual(["ADDED a", "BOOKMARK initial"]);
  await watch.end();
});

test("each minute a bookmark tells how far the watch is, also past changes of other kinds", async () => {
  const hub = testResources();
  const watch = collect(hub, { ...PLAIN, allowBookmarks: true });
  const silent = collect(hub, PLAIN);
  await hub.clock.advance(0);
  await hub.service.create("Application", NS, application("a"), STRICT);
  await hub.clock.advance(BOOKMARK_INTERVAL_MS);
  expect(watch.events).toEqual([
    { type: "BOOKMARK", resourceVersion: String(hub.store.revision), initialEventsEnd: false },
  ]);
  await hub.clock.advance(BOOKMARK_INTERVAL_MS);
  expect(watch.events).toHaveLength(2);
  expect(silent.events).toEqual([]);
  await watch.end();
  await silent.end();
  expect(hub.clock.sleeperCount).toBe(0);
});

test("an object that moves into a selection is added, one that moves out is deleted as it was", async () => {
  const hub = testResources();
  const { service } = hub;
  const watch = collect(hub, { ...PLAIN, labelSelector: "on=yes" });
  await service.create("ConfigMap", NS, configMapBody("a", "1", { on: "no" }), STRICT);
  await service.mergePatch(target("a"), { metadata: { labels: { on: "yes" } } }, STRICT);
  await service.mergePatch(target("a"), { data: { value: "2" } }, STRICT);
  const { object } = await service.mergePatch(
    target("a"),
    { metadata: { labels: { on: null } } },
    STRICT,
  );
  await service.remove("ConfigMap", NS, "a", DELETE);
  await service.create("ConfigMap", NS, configMapBody("b", "1", { on: "yes" }), STRICT);
  await expect.poll(watch.brief).toEqual(["ADDED a", "MODIFIED a", "DELETED a", "ADDED b"]);
  expect(watch.events[2]).toMatchObject({
    object: {
      metadata: { labels: { on: "yes" }, resourceVersion: object.metadata["resourceVersion"] },
    },
  });
  await watch.end();
});

test("one object can be watched by its name, as kubectl wait does", async () => {
  const hub = testResources();
  const { service } = hub;
  await service.create("ConfigMap", NS, configMapBody("a"), STRICT);
  await service.create("ConfigMap", NS, configMapBody("b"), STRICT);
  const watch = collect(hub, { ...PLAIN, fieldSelector: "metadata.name=b" });
  await service.remove("ConfigMap", NS, "a", DELETE);
  await service.remove("ConfigMap", NS, "b", DELETE);
  await expect.poll(watch.brief).toEqual(["ADDED b", "DELETED b"]);
  await watch.end();
});

test("a version that is compacted away, or of the future, ends the watch as expired", async () => {
  const hub = testResources({ logLinesMin: 1, logLinesMax: 1 });
  const { service } = hub;
  for (const name of ["a", "b", "c"])
    await service.create("ConfigMap", NS, configMapBody(name), STRICT);
  hub.store.compact();
  const signal = new AbortController().signal;
  const [old] = await take(
    service.watch("ConfigMap", { ...PLAIN, resourceVersion: "1" }, signal),
    9,
  );
  expect(old).toEqual({ type: "EXPIRED", message: "too old resource version: 1 (4)" });
  const future = service.watch("ConfigMap", { ...PLAIN, resourceVersion: "999" }, signal);
  expect((await take(future, 9)).map(brief)).toEqual(["EXPIRED"]);
  expect(() => service.watch("ConfigMap", { ...PLAIN, resourceVersion: "x" }, signal)).toThrow(
    'invalid resource version "x"',
  );
});

test("a watcher that takes events slower than they come is sent back to a list", async () => {
  const hub = testResources({ watchLagLinesMax: 3 });
  const { service } = hub;
  await service.create("ConfigMap", NS, configMapBody("a"), STRICT);
  const watch = service.watch("ConfigMap", PLAIN, new AbortController().signal);
  const events = watch[Symbol.asyncIterator]();
  expect((await events.next()).value).toMatchObject({ type: "ADDED" });
  for (let i = 0; i < 4; i++)
    await service.mergePatch(target("a"), { data: { value: `v${i}` } }, STRICT);
  expect((await events.next()).value).toMatchObject({ type: "EXPIRED" });
  expect(await events.next()).toMatchObject({ done: true });
});

test("a watch ends with its signal, also one that was aborted before it began", async () => {
  const hub = testResources();
  const watch = collect(hub, PLAIN);
  await hub.clock.advance(0);
  await watch.end();
  const aborted = hub.service.watch("ConfigMap", PLAIN, AbortSignal.abort());
  expect(await take(aborted, 1)).toEqual([]);
});

type Step =
  | { readonly do: "put"; readonly name: string; readonly value: number; readonly on: boolean }
  | { readonly do: "remove"; readonly name: string };

const stepArbitrary: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    do: fc.constant("put" as const),
    name: fc.constantFrom("a", "b", "c", "d"),
    value: fc.nat(2),
    on: fc.boolean(),
  }),
  fc.record({ do: fc.constant("remove" as const), name: fc.constantFrom("a", "b", "c", "d") }),
);

async function perform(hub: ReturnType<typeof testResources>, step: Step): Promise<void> {
  const { service, store } = hub;
  const exists = store.get("ConfigMap", NS, step.name) !== undefined;
  if (step.do === "remove") {
    if (exists) await service.remove("ConfigMap", NS, step.name, DELETE);
    return;
  }
  const body = configMapBody(step.name, String(step.value), step.on ? { on: "yes" } : {});
  if (exists) await service.update(target(step.name), body, STRICT);
  else await service.create("ConfigMap", NS, body, STRICT);
}

test("the list at any version, with the watch from there, is the list of now: for all and for a selection", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(stepArbitrary, { minLength: 1, maxLength: 25 }),
      fc.nat(24),
      fc.constantFrom("", "on=yes"),
      async (steps, at, labelSelector) => {
        const hub = testResources({ ringLines: 2 });
        const { service } = hub;
        const model = new Map<string, unknown>();
        let from = "0";
        for (const [index, step] of steps.entries()) {
          if (index === at) {
            const list = service.list("ConfigMap", { labelSelector });
            from = list.resourceVersion;
            for (const item of list.items) model.set(String(item.metadata["name"]), item);
          }
          await perform(hub, step);
        }
        const now = service.list("ConfigMap", { labelSelector });
        const stop = new AbortController();
        const options = { ...PLAIN, labelSelector, resourceVersion: from };
        const watch = service.watch("ConfigMap", { ...options, allowBookmarks: true }, stop.signal);
        const reading = replay(watch, model);
        await hub.clock.advance(BOOKMARK_INTERVAL_MS);
        stop.abort();
        await reading;
        expect([...model.keys()].sort()).toEqual(names(now.items));
        expect([...model.values()]).toEqual(expect.arrayContaining([...now.items]));
        hub.store.close();
      },
    ),
    { seed: 42, numRuns: 40 },
  );
});

/** What a client's cache makes of the events; an event that cannot follow from the state before it fails. */
async function replay(
  watch: AsyncIterable<WatchEvent>,
  model: Map<string, unknown>,
): Promise<void> {
  for await (const event of watch) {
    if (event.type === "BOOKMARK") continue;
    if (event.type === "EXPIRED") throw new Error(event.message);
    const name = String(event.object.metadata["name"]);
    if ((event.type === "ADDED") === model.has(name))
      throw new Error(`${event.type} ${name} does not follow`);
    if (event.type === "DELETED") model.delete(name);
    else model.set(name, event.object);
  }
}
