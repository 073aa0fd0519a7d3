import type { Notice } from "@flotilla/shared/protocol/up/notice";
import { SeededRandom } from "@flotilla/shared/testing/seeded-random";
import { silentLog } from "@flotilla/shared/testing/silent-log";
import { expect, test } from "vitest";
import { DAY_MS, TrustWorld } from "../../../test/support/trust-world.ts";
import { REFRESH_RETRY, TrustWatch } from "./trust-watch.ts";

const HOUR_MS = 3_600_000;

class Watched {
  readonly world = new TrustWorld();
  readonly notices: Omit<Notice, "happenedAt">[] = [];
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;

  start(): void {
    const watch = new TrustWatch({
      gate: this.world.gate,
      metadata: this.world.metadata,
      store: this.world.table,
      notify: (notice) => this.notices.push(notice),
      clock: this.world.clock,
      random: new SeededRandom(5),
      log: silentLog(),
    });
    this.#running = watch.run(this.#stopping.signal);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  /** The hub renews what machines renew; people do nothing. */
  async day(): Promise<void> {
    this.world.repository.nowMs += DAY_MS;
    this.world.repository.publishOnline();
    await this.world.clock.advance(DAY_MS);
  }
}

test("metadata is looked at once a day though nothing is wanted, and roots are walked", async () => {
  const node = new Watched();
  node.start();
  await node.world.clock.advance(1);
  expect(node.world.gate.report()).toMatchObject({ rootVersion: 1, isAttested: true });
  node.world.repository.publishRoot();
  node.world.hub.takeAsked();
  await node.world.clock.advance(12 * HOUR_MS);
  expect(node.world.hub.takeAsked()).toEqual([]);
  await node.day();
  expect(node.world.gate.report()?.rootVersion).toBe(2);
  await node.stop();
});

test("a hub that is away is asked with growing waits", async () => {
  const node = new Watched();
  for (const source of [node.world.hub, node.world.link]) source.isReachable = false;
  node.start();
  await node.world.clock.advance(REFRESH_RETRY.capMs * 10);
  const count = node.world.hub.takeAsked().length;
  expect(count).toBeGreaterThan(8);
  expect(count).toBeLessThan(40);
  node.world.hub.isReachable = true;
  await node.world.clock.advance(REFRESH_RETRY.capMs);
  expect(node.world.gate.report()?.rootVersion).toBe(1);
  await node.stop();
});

test("30 days before releases expire it is said, at most once a day, and not again by another start", async () => {
  const node = new Watched();
  node.start();
  for (let day = 0; day < 59; day++) await node.day();
  expect(node.notices).toEqual([]);
  for (let day = 0; day < 5; day++) await node.day();
  expect(node.notices.length).toBeGreaterThanOrEqual(3);
  expect(node.notices.length).toBeLessThanOrEqual(5);
  expect(node.notices[0]).toMatchObject({ type: "Warning", reason: "TrustExpires" });
  expect(node.notices[0]?.message).toContain("releases 2 at 2027-02-23T00:00:00.000Z");
  await node.stop();
  const told = node.notices.length;
  const again = new TrustWatch({
    gate: node.world.gate,
    metadata: node.world.metadata,
    store: node.world.table,
    notify: (notice) => node.notices.push(notice),
    clock: node.world.clock,
    random: new SeededRandom(5),
    log: silentLog(),
  });
  const stopping = new AbortController();
  const running = again.run(stopping.signal);
  await node.world.clock.advance(1);
  stopping.abort();
  await running;
  expect(node.notices).toHaveLength(told);
});

test("what has expired is reported as long as it stands, and nothing stops", async () => {
  const node = new Watched();
  node.start();
  for (let day = 0; day < 91; day++) await node.day();
  expect(node.world.gate.report()).toMatchObject({
    refusal: { code: "metadata-expired", subject: "2.releases.json" },
  });
  node.world.repository.publish();
  await node.world.clock.advance(2 * HOUR_MS);
  expect(node.world.gate.report()?.refusal).toBeUndefined();
  await node.stop();
});
