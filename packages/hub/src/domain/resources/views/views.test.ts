import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { expect, test } from "vitest";
import { assignment, gpus, inventory } from "../../../../test/support/node-builders.ts";
import { memberAt } from "../api-object.ts";
import { leaseView, withRenewTime } from "./lease-view.ts";
import { nodeView } from "./node-view.ts";
import { podView } from "./pod-view.ts";

const node: ObjectOf<"EdgeNode"> = {
  apiVersion: "edge.kurator.dev/v1alpha1",
  kind: "EdgeNode",
  metadata: { name: "n1", uid: "u", generation: 1 },
  spec: { site: "s" },
  status: { capacity: { milliCpu: 4000, memoryBytes: 2 ** 33, diskBytes: 2 ** 40, gpuCount: 2 } },
};

test("a Node's allocatable is what the scheduler gives away, less than its capacity", () => {
  const view = nodeView(node);
  expect(memberAt(view, "status", "capacity", "cpu")).toBe("4");
  expect(memberAt(view, "status", "allocatable", "cpu")).toBe("3800m");
  expect(memberAt(view, "status", "allocatable", "nvidia.com/gpu")).toBe("2");
});

test("a Node lists cards, and MIG devices by profile in place of their card", () => {
  const migDevices = ["1g.10gb", "1g.10gb", "3g.40gb"].map((profile, i) => ({
    uuid: `MIG-${i}`,
    profile,
  }));
  const [card] = gpus("n1", 1);
  const [cut] = gpus("n1-mig", 1, { migEnabled: true, migDevices });
  const cards = [card, cut].filter((gpu) => gpu !== undefined);
  const status = { ...node.status, inventory: { ...inventory(), gpus: cards } };
  const allocatable = memberAt(nodeView({ ...node, status }), "status", "allocatable");
  expect(allocatable).toMatchObject({
    "nvidia.com/gpu": "1",
    "nvidia.com/mig-1g.10gb": "2",
    "nvidia.com/mig-3g.40gb": "1",
  });
});

test("a Lease says when its node was last heard, and nothing when this hub never heard it", () => {
  const lease = leaseView(node);
  expect(memberAt(withRenewTime(lease, 0), "spec", "renewTime")).toBe(
    "1970-01-01T00:00:00.000000Z",
  );
  expect(withRenewTime(lease, undefined)).toBe(lease);
});

test("a Pod that waits says why, as Kubernetes' scheduler does", () => {
  const message = 'queue "q" is closed: open it, or name another in volcano.queue';
  const waiting = { ...assignment("api-0", undefined), status: { reason: "QueueClosed", message } };
  const pod = podView(waiting);
  expect(memberAt(pod, "spec", "nodeName")).toBeUndefined();
  expect(memberAt(pod, "status")).toMatchObject({ phase: "Pending", message });
  expect(memberAt(pod, "status", "conditions")).toContainEqual(
    expect.objectContaining({
      type: "PodScheduled",
      status: "False",
      reason: "Unschedulable",
      message,
    }),
  );
  const placed = podView(assignment("api-0", "north-a"));
  expect(memberAt(placed, "status", "conditions")).toContainEqual(
    expect.objectContaining({ type: "PodScheduled", status: "True" }),
  );
});
