import type { ReportedArtifact, ReportedArtifacts } from "@flotilla/shared/model/artifact";
import { expect, test } from "vitest";
import {
  assignment,
  edgeNode,
  inventory,
  reading,
  reportedInstance,
} from "../../../test/support/node-builders.ts";
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

test("an artifact that was rolled back, or cannot be installed, is told of once, about its instance", () => {
  const before = assignment("api-0", "n1");
  const say = (from: typeof before, said: readonly ReportedArtifact[]) => {
    const instances = [reportedInstance("shop.web.api-0", { artifacts: [...said] })];
    const reported = { ...state, instances };
    return observe(born, [from], { epoch: 1, reported }, NOW);
  };
  const detector: ReportedArtifact = {
    name: "detector",
    version: "2.3.0",
    phase: "Trial",
    activeVersion: "2.3.0",
  };
  const trial = say(before, [detector]);
  expect(trial.happenings).toEqual([]);
  const [running = before] = trial.assignments;
  const back = { ...detector, activeVersion: "2.2.0", message: "exit 1" };
  const rolledBack = say(running, [{ ...back, phase: "RolledBack" }]);
  const [after = before] = rolledBack.assignments;
  expect(rolledBack.happenings).toEqual([
    {
      assignment: after,
      type: "Warning",
      reason: "ArtifactRolledBack",
      message: "detector 2.3.0 did not work and 2.2.0 is active again: exit 1",
    },
  ]);
  expect(say(after, [{ ...back, phase: "RolledBack", percent: 1 }]).happenings).toEqual([]);
  const failed = say(after, [{ ...back, version: "2.4.0", phase: "Failed", reason: "DiskFull" }]);
  expect(failed.happenings).toMatchObject([
    {
      reason: "ArtifactFailed",
      message: "detector 2.4.0 cannot be installed, 2.2.0 stays: exit 1",
    },
  ]);
});
