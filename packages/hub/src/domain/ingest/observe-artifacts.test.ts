import type { ReportedArtifacts } from "@flotilla/shared/model/artifact";
import { expect, test } from "vitest";
import { edgeNode, inventory, reading } from "../../../test/support/node-builders.ts";
import { observe } from "./observe.ts";

const NOW = "2026-11-25T16:00:00.000Z";
const birth = { agentVersion: "1.0.0", bootId: "boot-1", inventory: inventory() };
const state = { acceptedRevision: 1, convergedRevision: 1, instances: [] };
const born = observe(
  edgeNode("n1"),
  [],
  { epoch: 1, birth, reading: reading(), reported: state },
  NOW,
).node;
const artifacts: ReportedArtifacts = { held: [{ name: "detector", counter: 7 }], bytes: 10 };
const refusal = {
  code: "metadata-expired",
  subject: "timestamp.json",
  message: "it expired on Monday",
};
const refusing: ReportedArtifacts = {
  ...artifacts,
  trust: { rootVersion: 1, isAttested: true, refusal },
};

const hear = (node: typeof born, said: ReportedArtifacts | undefined) =>
  observe(
    node,
    [],
    { epoch: 1, reported: said === undefined ? state : { ...state, artifacts: said } },
    NOW,
  );

test("what a node has of artifacts stands in its status, as long as it says so", () => {
  const { node } = hear(born, artifacts);
  expect(node.status?.artifacts).toEqual(artifacts);
  expect(observe(node, [], { epoch: 1 }, NOW).node).toBe(node);
  expect(hear(node, artifacts).node).toBe(node);
  expect(hear(node, undefined).node.status?.artifacts).toBeUndefined();
});

test("a refusal is a condition while it stands, and one Event", () => {
  const first = hear(born, refusing);
  const trust = (node: typeof born) =>
    node.status?.conditions?.find((c) => c.type === "TrustRefused");
  expect(trust(born)).toBeUndefined();
  expect(trust(first.node)).toMatchObject({
    status: "True",
    reason: "MetadataExpired",
    message: "metadata-expired: timestamp.json: it expired on Monday",
  });
  expect(first.happenings).toEqual([
    {
      type: "Warning",
      reason: "TrustRefused",
      message: "metadata-expired: timestamp.json: it expired on Monday",
    },
  ]);
  expect(hear(first.node, refusing).happenings).toEqual([]);
  const over = hear(first.node, artifacts);
  expect(trust(over.node)).toMatchObject({ status: "False", reason: "Accepted" });
  expect(over.happenings).toEqual([]);
});
