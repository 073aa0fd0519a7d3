import { canonicalJson } from "@flotilla/shared/kernel/json";
import type { DesiredInstance } from "@flotilla/shared/model/desired-state";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import fc from "fast-check";
import { expect, test } from "vitest";
import { assignment, desiredInstance } from "../../../test/support/node-builders.ts";
import {
  compileDesired,
  desiredContent,
  desiredPayload,
  desiredTexts,
  secretsOf,
} from "./compile.ts";

const none = () => undefined;

function secret(data: Record<string, string>): ObjectOf<"Secret"> {
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "db", namespace: "shop", uid: "uid-db", generation: 1 },
    data,
  };
}

function withSecret(optional?: boolean): DesiredInstance {
  const secretKeyRef = {
    name: "db",
    key: "password",
    ...(optional === undefined ? {} : { optional }),
  };
  return desiredInstance("shop.web.api-0", {
    containers: [
      {
        name: "main",
        command: ["/bin/true"],
        env: [
          { name: "MODE", value: "fast" },
          { name: "PASSWORD", valueFrom: { secretKeyRef } },
        ],
      },
    ],
  });
}

test("a node gets the instances that are assigned to it and not being deleted, sorted by id", () => {
  const doomed = assignment("api-9", "n1");
  const { instances } = compileDesired(
    "n1",
    [
      assignment("api-2", "n1"),
      assignment("api-10", "n1"),
      assignment("api-1", "n2"),
      assignment("api-3", undefined),
      { ...doomed, metadata: { ...doomed.metadata, deletionTimestamp: "2026-01-01T00:00:00Z" } },
    ],
    none,
    () => [],
  );
  expect(instances.map((i) => i.id)).toEqual(["shop.web.api-10", "shop.web.api-2"]);
});

test("the content does not depend on the order in which assignments are found", () => {
  const all = ["a", "b", "c", "d"].map((name) => assignment(name, "n1"));
  const contentOf = (some: typeof all): string =>
    desiredContent(desiredTexts(compileDesired("n1", some, none, () => []).instances));
  const content = contentOf(all);
  fc.assert(
    fc.property(fc.shuffledSubarray(all, { minLength: all.length }), (shuffled) => {
      expect(contentOf(shuffled)).toBe(content);
    }),
    { seed: 42, numRuns: 50 },
  );
});

test("content and payload are canonical JSON, with a plan of probes and without", () => {
  const instances = [desiredInstance("shop.web.api-0"), desiredInstance("shop.web.api-1")];
  const numbered = { nodeId: "n1", revision: 12, issuedAt: "2026-01-01T00:00:00.000Z" };
  const probe = {
    targets: [{ site: "a", host: "a.example", port: 443 }],
    intervalMs: 1_000,
    timeoutMs: 100,
  };
  const bare = desiredTexts(instances);
  expect(desiredContent(bare)).toBe(canonicalJson(instances));
  expect(desiredPayload(numbered, bare)).toBe(canonicalJson({ ...numbered, instances }));
  const probing = desiredTexts(instances, { probe });
  expect(desiredContent(probing)).toBe(canonicalJson({ instances, probe }));
  expect(desiredPayload(numbered, probing)).toBe(canonicalJson({ ...numbered, instances, probe }));
});

test("what is said of artifacts is canonical JSON too, and only where a node is to have some", () => {
  const numbered = { nodeId: "n1", revision: 12, issuedAt: "2026-01-01T00:00:00.000Z" };
  const delivery = { server: "https://hub:8443", bytesPerSecond: 4_096 };
  const release = {
    name: "detector",
    version: "2.3.0",
    counter: 7,
    files: [{ path: "m", target: "detector/7/m", length: 1, sha256: "a".repeat(64) }],
  };
  const bare = [desiredInstance("shop.web.api-0")];
  const artifact = {
    ...release,
    path: "detector",
    reload: "restart" as const,
    healthWindowMs: 30_000,
  };
  const withIt = [desiredInstance("shop.web.api-0", { artifacts: [artifact] })];
  const unsaid = desiredTexts(bare, { artifacts: { delivery, prestage: [] } });
  expect(desiredContent(unsaid)).toBe(canonicalJson(bare));
  const running = desiredTexts(withIt, { artifacts: { delivery, prestage: [] } });
  expect(desiredContent(running)).toBe(canonicalJson({ delivery, instances: withIt }));
  const holding = desiredTexts(bare, { artifacts: { delivery, prestage: [release] } });
  const members = { delivery, instances: bare, prestage: [release] };
  expect(desiredContent(holding)).toBe(canonicalJson(members));
  expect(desiredPayload(numbered, holding)).toBe(canonicalJson({ ...numbered, ...members }));
  const nowhere = desiredTexts(bare, { artifacts: { prestage: [release] } });
  expect(desiredPayload(numbered, nowhere)).toBe(
    canonicalJson({ ...numbered, instances: bare, prestage: [release] }),
  );
});

test("what was signed last is not read when nothing is held back", () => {
  const previous = () => {
    throw new Error("read");
  };
  const all = [assignment("api-0", "n1"), assignment("api-1", "n1")];
  expect(compileDesired("n1", all, none, previous).instances).toHaveLength(2);
});

test("a secret's value is filled in as text and the reference is gone", () => {
  const base64 = "cMOkIHNz";
  const { instances, heldBack } = compileDesired(
    "n1",
    [assignment("api-0", "n1", withSecret())],
    (namespace, name) =>
      `${namespace}/${name}` === "shop/db" ? secret({ password: base64 }) : undefined,
    () => [],
  );
  expect(heldBack).toEqual([]);
  expect(instances[0]?.containers[0]?.env).toEqual([
    { name: "MODE", value: "fast" },
    { name: "PASSWORD", value: "pä ss" },
  ]);
});

test.each([
  ["no Secret", none],
  ["no such key", () => secret({ user: "eA==" })],
  ["no base64", () => secret({ password: "*" })],
  ["no UTF-8", () => secret({ password: "/w==" })],
])("%s holds the instance back, with a reason that prints no value", (_, lookup) => {
  const { instances, heldBack } = compileDesired(
    "n1",
    [assignment("api-0", "n1", withSecret()), assignment("api-1", "n1")],
    lookup,
    () => [],
  );
  expect(instances.map((i) => i.id)).toEqual(["shop.web.api-1"]);
  expect(heldBack).toMatchObject([{ reason: "SecretKeyMissing" }]);
  expect(heldBack[0]?.message).toContain("password");
});

test("an optional key that is missing leaves its variable out", () => {
  const { instances } = compileDesired(
    "n1",
    [assignment("api-0", "n1", withSecret(true))],
    none,
    () => [],
  );
  expect(instances[0]?.containers[0]?.env).toEqual([{ name: "MODE", value: "fast" }]);
});

test("a Secret that is deleted stops nothing that runs, and starts nothing new", () => {
  const running = desiredInstance("shop.web.api-0");
  const same = compileDesired("n1", [assignment("api-0", "n1", withSecret())], none, () => [
    running,
  ]);
  expect(same.instances).toEqual([running]);
  expect(same.heldBack).toHaveLength(1);
  const changed = { ...withSecret(), specDigest: "digest-2" };
  expect(
    compileDesired("n1", [assignment("api-0", "n1", changed)], none, () => [running]).instances,
  ).toEqual([]);
});

test("two assignments of one id are not sent twice", () => {
  const one = desiredInstance("shop.web.api-0");
  const { instances, heldBack } = compileDesired(
    "n1",
    [assignment("a", "n1", one), assignment("b", "n1", one)],
    none,
    () => [],
  );
  expect(instances).toHaveLength(1);
  expect(heldBack).toMatchObject([{ reason: "DuplicateInstance" }]);
});

test("the secrets that an assignment reads are known by name", () => {
  expect([...secretsOf(assignment("api-0", "n1", withSecret()))]).toEqual(["db"]);
  expect([...secretsOf(assignment("api-0", "n1"))]).toEqual([]);
});
