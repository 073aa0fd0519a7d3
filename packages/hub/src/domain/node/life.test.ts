import { LEASE_LOST_AFTER_MS, LEASE_SUSPECT_AFTER_MS } from "@flotilla/shared/model/lease";
import { expect, test } from "vitest";
import {
  LEASE_EVENTS,
  leaseEvent,
  lifeHappening,
  NODE_LIVES,
  nextLife,
  readyCondition,
} from "./life.ts";

test("every life has a next life for every event of the lease", () => {
  for (const life of NODE_LIVES)
    for (const event of LEASE_EVENTS) expect(NODE_LIVES).toContain(nextLife(life, event));
});

test("an accepted message makes any node ready, also one whose status says nothing", () => {
  for (const life of [undefined, ...NODE_LIVES]) expect(nextLife(life, "renewed")).toBe("ready");
});

test("a node is lost from suspect only, and a node never heard of stays registered", () => {
  expect(nextLife("ready", "silent-long")).toBe("suspect");
  expect(nextLife("suspect", "silent-long")).toBe("lost");
  expect(nextLife("registered", "silent-long")).toBe("registered");
});

test("the deadlines are those of the shared model, to the millisecond", () => {
  expect(leaseEvent(LEASE_SUSPECT_AFTER_MS - 1)).toBe("renewed");
  expect(leaseEvent(LEASE_SUSPECT_AFTER_MS)).toBe("silent");
  expect(leaseEvent(LEASE_SUSPECT_AFTER_MS + LEASE_LOST_AFTER_MS - 1)).toBe("silent");
  expect(leaseEvent(LEASE_SUSPECT_AFTER_MS + LEASE_LOST_AFTER_MS)).toBe("silent-long");
});

test("only a ready node has a true Ready condition, and each step has its Event", () => {
  for (const life of NODE_LIVES) {
    expect(readyCondition(life).status).toBe(life === "ready" ? "True" : "Unknown");
    expect(lifeHappening(life, life)).toBeUndefined();
  }
  expect(lifeHappening("ready", "suspect")).toMatchObject({
    type: "Warning",
    reason: "NodeSuspect",
  });
  expect(lifeHappening("suspect", "lost")).toMatchObject({ type: "Warning", reason: "NodeLost" });
  expect(lifeHappening(undefined, "ready")).toMatchObject({ type: "Normal", reason: "NodeReady" });
});
