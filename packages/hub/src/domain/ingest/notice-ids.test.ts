import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { expect, test } from "vitest";
import { hasCounted, NOTICE_IDS_MAX, withCounted } from "./notice-ids.ts";

const event: ObjectOf<"Event"> = {
  apiVersion: "v1",
  kind: "Event",
  metadata: {
    name: "e",
    namespace: "default",
    uid: "u",
    generation: 1,
    annotations: { kept: "1" },
  },
  involvedObject: {},
};

test("an Event knows the notices that it counted, whole ids only, and keeps other annotations", () => {
  const counted = withCounted(withCounted(event, "n-1"), "n-22");
  expect(["n-1", "n-22", "n-2", "n", ""].map((id) => hasCounted(counted, id))).toEqual([
    true,
    true,
    false,
    false,
    false,
  ]);
  expect(counted.metadata.annotations?.["kept"]).toBe("1");
  expect(hasCounted(event, "n-1")).toBe(false);
  expect(hasCounted(undefined, "n-1")).toBe(false);
});

test("it forgets the oldest beyond its limit", () => {
  let counted = event;
  for (let i = 0; i <= NOTICE_IDS_MAX; i++) counted = withCounted(counted, `n-${i}`);
  expect([hasCounted(counted, "n-0"), hasCounted(counted, "n-1")]).toEqual([false, true]);
});
