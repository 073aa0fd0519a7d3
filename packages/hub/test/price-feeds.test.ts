import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  PRICE_LIST_BYTES_MAX,
  PRICE_REDIRECTS_MAX,
  UrlPriceSource,
} from "../src/adapters/prices/price-source.ts";
import type { PriceText } from "../src/app/pricing/ports.ts";
import {
  FEED_LOOK_INTERVAL_MS,
  FEED_RETRY_MS,
  PriceFeeds,
} from "../src/app/pricing/price-feeds.ts";
import { STALE_AFTER_INTERVALS, UPDATE_INTERVAL_MS_MIN } from "../src/domain/pricing/feed.ts";
import { World } from "./support/world.ts";

const LIST = JSON.stringify({ currency: "USD", nodes: [{ region: "eu", pricePerHour: 2 }] });
const INTERVAL_MS = 3_600_000;
const signal = new AbortController().signal;

let directory: string;
let server: Server | undefined;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "prices-"));
});
afterEach(async () => {
  rmSync(directory, { recursive: true });
  server?.closeAllConnections();
  await new Promise<void>((resolve) => {
    if (server === undefined) resolve();
    else server.close(() => resolve());
  });
  server = undefined;
});

/** A real HTTP server on a port of its own. */
async function serve(listener: RequestListener): Promise<string> {
  const made = createServer(listener);
  server = made;
  await new Promise<void>((resolve) => {
    made.listen(0, "127.0.0.1", resolve);
  });
  return `http://127.0.0.1:${(made.address() as AddressInfo).port}`;
}

const source = (timeoutMs?: number): UrlPriceSource =>
  new UrlPriceSource({ directory, ...(timeoutMs === undefined ? {} : { timeoutMs }) });

describe("a price list over HTTP", () => {
  test("is read as what it says it is, through redirects", async () => {
    const url = await serve((request, response) => {
      if (request.url === "/old") response.writeHead(302, { location: "/new" }).end();
      else response.writeHead(200, { "content-type": "text/csv; charset=utf-8" }).end("a,b");
    });
    expect(await source().read(`${url}/old`, signal)).toEqual({
      kind: "text",
      text: "a,b",
      format: "csv",
    });
  });

  test.each<[string, RequestListener, Partial<PriceText>]>([
    [
      "answers 503",
      (_q, r) => r.writeHead(503).end("token=hunter2"),
      { reason: "FeedRefused", message: "the feed answers 503" },
    ],
    [
      "redirects for ever",
      (_q, r) => r.writeHead(302, { location: "/" }).end(),
      { reason: "FeedRefused", message: `it redirects more than ${PRICE_REDIRECTS_MAX} times` },
    ],
    [
      "redirects to a file",
      (_q, r) => r.writeHead(302, { location: "file:///etc/passwd" }).end(),
      { reason: "FeedRefused", message: "it redirects to neither http nor https" },
    ],
    [
      "redirects with a password",
      (_q, r) => r.writeHead(302, { location: "http://u:hunter2@127.0.0.1/" }).end(),
      { reason: "FeedRefused", message: "an address with a user or password is not asked" },
    ],
    [
      "says it is huge",
      (_q, r) => r.writeHead(200, { "content-length": PRICE_LIST_BYTES_MAX + 1 }).write("x"),
      { reason: "FeedTooLarge" },
    ],
    [
      "is huge and does not say so",
      (_q, r) => r.writeHead(200).end("x".repeat(PRICE_LIST_BYTES_MAX + 1)),
      { reason: "FeedTooLarge" },
    ],
    ["breaks off", (_q, r) => r.socket?.destroy(), { reason: "FeedUnreachable" }],
    [
      "answers nothing",
      () => undefined,
      { reason: "FeedTimeout", message: "no price list within 200 ms" },
    ],
    ["sends drops", (_q, r) => r.writeHead(200).write("["), { reason: "FeedTimeout" }],
  ])("that %s is refused with a reason", async (_name, listener, expected) => {
    const url = await serve(listener);
    const result = await source(200).read(`${url}/?key=hunter2`, signal);
    expect(result).toMatchObject({ kind: "failed", ...expected });
    expect(JSON.stringify(result)).not.toContain("hunter2");
  });

  test("that nobody serves is refused with the system's code", async () => {
    const url = await serve(() => undefined);
    await new Promise((resolve) => server?.close(resolve));
    server = undefined;
    expect(await source().read(url, signal)).toEqual({
      kind: "failed",
      reason: "FeedUnreachable",
      message: "the price list cannot be read: ECONNREFUSED",
    });
  });
});

describe("a price list in a file", () => {
  test("is read from the hub's directory only, whatever links lead out of it", async () => {
    const inside = join(directory, "a.csv");
    writeFileSync(inside, "a");
    symlinkSync("/etc/hostname", join(directory, "link"));
    expect(await source().read(pathToFileURL(inside).href, signal)).toEqual({
      kind: "text",
      text: "a",
      format: "csv",
    });
    for (const path of ["/etc/hostname", join(directory, "link"), `${directory}/../${"x"}`])
      expect(await source().read(`file://${path}`, signal)).toMatchObject({ kind: "failed" });
    expect(await source().read(`file://${join(directory, "link")}`, signal)).toEqual({
      kind: "failed",
      reason: "FeedRefused",
      message: `price files are read from ${directory} only`,
    });
    expect(await source().read(`file://${join(directory, "none")}`, signal)).toMatchObject({
      reason: "FeedUnreachable",
      message: "the price list cannot be read: ENOENT",
    });
    writeFileSync(inside, "x".repeat(PRICE_LIST_BYTES_MAX + 1));
    expect(await source().read(pathToFileURL(inside).href, signal)).toMatchObject({
      reason: "FeedTooLarge",
    });
  });
});

/** A world with one profile whose feed answers what the test puts there. */
async function feedWorld(answer: { now: PriceText }) {
  const world = new World();
  const costAware = { priceAPI: "https://prices.example/v1?key=hunter2", updateInterval: "1h" };
  await world.apply("SchedulingProfile", "p", { costAware });
  const asked: string[] = [];
  const make = (): PriceFeeds =>
    new PriceFeeds({
      ...world.deps,
      source: {
        read: (address) => {
          asked.push(address);
          return Promise.resolve(answer.now);
        },
      },
    });
  const list = (): ObjectOf<"PriceList"> | undefined => world.store.get("PriceList", "", "p");
  const condition = () =>
    world.store
      .get("SchedulingProfile", "", "p")
      ?.status?.conditions?.find((c) => c.type === "PricesCurrent");
  return { world, asked, make, feeds: make(), list, condition, costAware };
}

const text = (json: unknown): PriceText => ({
  kind: "text",
  text: JSON.stringify(json),
  format: "json",
});
const dead: PriceText = {
  kind: "failed",
  reason: "FeedTimeout",
  message: "no price list within 10000 ms",
};

describe("a feed", () => {
  test("writes the list of its profile, and shows nothing of the address that may be secret", async () => {
    const { feeds, list, condition, world } = await feedWorld({
      now: { kind: "text", text: LIST, format: "json" },
    });
    expect(await feeds.pass(signal)).toBe(FEED_LOOK_INTERVAL_MS);
    expect(list()?.spec).toEqual(JSON.parse(LIST));
    expect(list()?.status).toMatchObject({
      source: "https://prices.example/v1",
      stale: false,
      nodeCount: 1,
    });
    expect(list()?.metadata.ownerReferences?.[0]?.kind).toBe("SchedulingProfile");
    expect(condition()).toMatchObject({ status: "True", reason: "Delivered" });
    expect(JSON.stringify([list(), condition(), world.told])).not.toContain("hunter2");
  });

  test("is asked at its interval, after a failure sooner, and never more often than the limit", async () => {
    const answer = { now: text(JSON.parse(LIST)) };
    const { world, asked, feeds, costAware } = await feedWorld(answer);
    const passAfter = async (ms: number): Promise<number> => {
      await world.clock.advance(ms);
      await feeds.pass(signal);
      return asked.length;
    };
    expect(await passAfter(0)).toBe(1);
    expect(await passAfter(INTERVAL_MS - 1)).toBe(1);
    answer.now = dead;
    expect(await passAfter(1)).toBe(2);
    expect(await passAfter(FEED_RETRY_MS - 1)).toBe(2);
    expect(await passAfter(1)).toBe(3);
    answer.now = text(JSON.parse(LIST));
    await world.apply("SchedulingProfile", "p", {
      costAware: { ...costAware, updateInterval: "1ms" },
    });
    await passAfter(FEED_RETRY_MS);
    expect(await passAfter(UPDATE_INTERVAL_MS_MIN - 1)).toBe(4);
    expect(await passAfter(1)).toBe(5);
  });

  test("that fails leaves the last list, which becomes stale, also over a restart of the hub", async () => {
    const answer = { now: text(JSON.parse(LIST)) };
    const { world, feeds, make, list, condition } = await feedWorld(answer);
    await feeds.pass(signal);
    answer.now = dead;
    await world.clock.advance(INTERVAL_MS);
    await feeds.pass(signal);
    expect(condition()).toMatchObject({ status: "False", reason: "FeedTimeout" });
    const restarted = make();
    await restarted.pass(signal);
    expect(list()?.spec).toEqual(JSON.parse(LIST));
    expect(list()?.status?.stale).toBe(false);
    await world.clock.advance(STALE_AFTER_INTERVALS * INTERVAL_MS);
    await restarted.pass(signal);
    expect(list()?.status?.stale).toBe(true);
    expect(list()?.spec).toEqual(JSON.parse(LIST));
    answer.now = text(JSON.parse(LIST));
    await world.clock.advance(FEED_RETRY_MS);
    await restarted.pass(signal);
    expect(list()?.status?.stale).toBe(false);
    expect(world.told.map((t) => t.reason)).toEqual([
      "PricesDelivered",
      "FeedTimeout",
      "PricesDelivered",
    ]);
  });

  test("that delivers what is wrong is told so, and its last list stays", async () => {
    const answer = { now: text(JSON.parse(LIST)) };
    const { world, feeds, list, condition } = await feedWorld(answer);
    await feeds.pass(signal);
    for (const [now, reason, message] of [
      [
        text({ currency: "USD", nodes: [{ pricePerHour: -1 }] }),
        "FeedInvalid",
        "the price list is wrong: /nodes/0/pricePerHour must be >= 0",
      ],
      [
        text({ currency: "EUR", nodes: [{ pricePerHour: 1 }] }),
        "CurrencyChanged",
        "the feed delivers EUR",
      ],
      [{ kind: "text", text: "<html>", format: "json" } as const, "FeedInvalid", "it is no JSON"],
    ] as const) {
      answer.now = now;
      await world.clock.advance(INTERVAL_MS);
      await feeds.pass(signal);
      expect(condition()?.reason).toBe(reason);
      expect(condition()?.message).toContain(message);
      expect(world.told.at(-1)).toMatchObject({
        about: "SchedulingProfile/p",
        type: "Warning",
        reason,
      });
      expect(list()?.spec).toEqual(JSON.parse(LIST));
      answer.now = text(JSON.parse(LIST));
      await world.clock.advance(FEED_RETRY_MS);
      await feeds.pass(signal);
    }
  });

  test("takes another currency once the profile asks for it", async () => {
    const euros = { currency: "EUR", nodes: [{ region: "eu", pricePerHour: 500 }] };
    const answer = { now: text(JSON.parse(LIST)) };
    const { world, feeds, list, costAware } = await feedWorld(answer);
    await feeds.pass(signal);
    answer.now = text(euros);
    await world.apply("SchedulingProfile", "p", { costAware: { ...costAware, currency: "EUR" } });
    await world.clock.advance(INTERVAL_MS);
    await feeds.pass(signal);
    expect(list()?.spec).toEqual(euros);
  });

  test("whose price jumps moves by the factor, and says so", async () => {
    const answer = { now: text(JSON.parse(LIST)) };
    const { world, feeds, list } = await feedWorld(answer);
    await feeds.pass(signal);
    answer.now = text({ currency: "USD", nodes: [{ region: "eu", pricePerHour: 1_000 }] });
    await world.clock.advance(INTERVAL_MS);
    await feeds.pass(signal);
    expect(list()?.spec.nodes[0]?.pricePerHour).toBe(20);
    expect(list()?.status?.clampedCount).toBe(1);
    expect(world.told.at(-1)).toMatchObject({
      reason: "PricesClamped",
      message: "1 prices were clamped: eu 1000 → 20",
    });
  });

  test("overwrites no list that was applied by hand", async () => {
    const { world, feeds, list, condition } = await feedWorld({ now: text(JSON.parse(LIST)) });
    const own = { currency: "USD", nodes: [{ pricePerHour: 9 }] };
    await world.apply("PriceList", "p", own);
    await feeds.pass(signal);
    expect(list()?.spec).toEqual(own);
    expect(list()?.status).toMatchObject({ stale: false, nodeCount: 1 });
    expect(condition()?.reason).toBe("NameTaken");
  });

  test("that is switched off is not asked, and its list is stale", async () => {
    const { world, asked, feeds, list, costAware } = await feedWorld({
      now: text(JSON.parse(LIST)),
    });
    await feeds.pass(signal);
    await world.apply("SchedulingProfile", "p", { costAware: { ...costAware, enabled: false } });
    await world.clock.advance(INTERVAL_MS);
    await feeds.pass(signal);
    expect([asked.length, list()?.status?.stale]).toEqual([1, true]);
  });

  test("a profile that is applied while the service sleeps is asked at once, and a stop ends it", async () => {
    const { world, asked, feeds } = await feedWorld({ now: text(JSON.parse(LIST)) });
    const stop = new AbortController();
    const ended = feeds.run(stop.signal);
    await world.clock.advance(0);
    expect(asked).toHaveLength(1);
    await world.apply("SchedulingProfile", "q", { costAware: { priceAPI: "https://q.example" } });
    await world.clock.advance(0);
    expect(asked.at(-1)).toBe("https://q.example");
    stop.abort();
    await ended;
  });
});
