import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Container, Probe } from "@flotilla/shared/model/workload";
import fc from "fast-check";
import { expect, test } from "vitest";
import { instance, job } from "../../../test/support/reconcile-builders.ts";
import { describeStep } from "./describe.ts";
import { devicesOfRun, runDigest } from "./devices.ts";
import { containerEnvironment, expand, expandContainer } from "./expand.ts";
import { afterProbe, dueKinds, firstProbeStates, judgeHealth, type ProbeState } from "./health.ts";
import type { InstanceRecord } from "./instance-record.ts";
import { LIFECYCLE } from "./lifecycle.ts";
import { plan } from "./plan.ts";
import { REPORTED_MESSAGES_MAX, reportedState } from "./report.ts";
import { backoffMs } from "./restart.ts";
import type { ObservedRun, PlanInput } from "./step.ts";
import { runningRecord, startingRecord } from "./transitions.ts";

const NOW = { bootMs: 100_000, wallMs: 1_750_000_000_000, bootId: "b1" };
const WEB = instance("web", ["serve"]);

function running(desired = WEB): InstanceRecord {
  const processes = desired.containers.map((c, i) => ({
    container: c.name,
    pid: 10 + i,
    startTicks: 9_000,
    bootId: "b1",
  }));
  const starting = startingRecord(desired, undefined, "r1", NOW);
  return runningRecord(starting, { runId: "r1", processes }, NOW);
}

function input(
  over: Partial<PlanInput> & { readonly wanted?: readonly (typeof WEB)[] },
): PlanInput {
  const { wanted = [WEB], ...rest } = over;
  return {
    desired: { nodeId: "n1", revision: 1, issuedAt: "", instances: [...wanted] },
    records: [],
    observed: new Map(),
    orphans: [],
    health: new Map(),
    sent: new Map(),
    now: NOW,
    agentStartedBootMs: 0,
    ...rest,
  };
}

function seen(
  record: InstanceRecord,
  over: Partial<ObservedRun> = {},
): ReadonlyMap<string, ObservedRun> {
  return new Map([
    [record.id, { leaders: record.processes, remnants: [], exits: new Map(), ...over }],
  ]);
}

test("SPEC.md shows the table that the code goes by", () => {
  const spec = readFileSync(join(import.meta.dirname, "SPEC.md"), "utf8").replaceAll(/ +/g, " ");
  for (const [state, row] of Object.entries(LIFECYCLE))
    expect(spec).toContain(`| ${state} | ${Object.values(row).join(" | ")} |`);
  expect(spec).toContain(`| state | ${Object.keys(LIFECYCLE.idle).join(" | ")} |`);
});

test("what runs as desired gets no step, whatever else is in the desired state", () => {
  const record = running();
  const others = [instance("other", ["serve"]), job("j", ["exit"])];
  const steps = plan(
    input({ wanted: [WEB, ...others], records: [record], observed: seen(record) }),
  );
  expect(steps.filter((s) => s.id === "web")).toEqual([]);
  expect(steps.map((s) => s.kind)).toEqual(["start", "start"]);
});

test("a start waits for its devices while another run, or one that no record names, has them", () => {
  const on = (id: string, milli: number) =>
    instance(id, ["serve"], { devices: [{ uuid: "GPU-1", milli }] });
  const held = running(on("web", 700));
  const other = on("zebra", 400);
  const waits = [
    {
      kind: "wait",
      id: "zebra",
      reason: "DeviceBusy",
      message: "device GPU-1 is still in use by web",
    },
  ];
  const both = { wanted: [held.desired, other], records: [held] };
  expect(plan(input({ ...both, observed: seen(held) }))).toEqual(waits);
  // Its first process is gone, a child of it is not.
  const remnants = [{ pid: 99, startTicks: 1, bootId: "b1" }];
  const left = seen(held, { leaders: [], remnants });
  expect(plan(input({ ...both, observed: left })).filter((s) => s.id === "zebra")).toEqual(waits);
  const orphan = {
    instanceId: "gone",
    runId: "r9",
    specDigest: runDigest(on("gone", 700)),
    processes: [],
  };
  expect(
    plan(input({ wanted: [other], orphans: [orphan] })).filter((s) => s.id === "zebra"),
  ).toMatchObject([{ reason: "DeviceBusy", message: "device GPU-1 is still in use by gone" }]);
  expect(plan(input({ wanted: [on("zebra", 300)], orphans: [orphan] }))).toContainEqual(
    expect.objectContaining({ kind: "start", id: "zebra" }),
  );
  // Of two that are asked for too much of it, the first by id gets it.
  expect(plan(input({ wanted: [on("a", 700), on("b", 700)] })).map((s) => [s.id, s.kind])).toEqual([
    ["a", "start"],
    ["b", "wait"],
  ]);
});

test("what is held back of the desired state is said where nothing else is to be done", () => {
  const record = running();
  const hold = { reason: "ArtifactsPending", message: "detector 2: 40 %" } as const;
  const held = { records: [record], holds: new Map([["web", hold]]) };
  const wait = { kind: "wait", id: "web", ...hold };
  expect(plan(input({ ...held, observed: seen(record) }))).toEqual([wait]);
  // It has never run: there is nothing to go on with.
  expect(plan(input({ wanted: [], holds: held.holds }))).toEqual([wait]);
  // Its run has ended: that comes first.
  expect(plan(input(held))).toMatchObject([{ kind: "record-exit", id: "web" }]);
});

test("a start whose files are not known to be right waits, and what runs goes on", () => {
  const record = running();
  const hold = { reason: "ArtifactsPending", message: "its files are being checked" } as const;
  const startHolds = new Map([["web", hold]]);
  expect(plan(input({ startHolds }))).toEqual([{ kind: "wait", id: "web", ...hold }]);
  expect(plan(input({ startHolds, records: [record], observed: seen(record) }))).toEqual([]);
});

test("a run that no record names is left alone while what would take its place is not there yet", () => {
  const process = { container: "main", pid: 7, startTicks: 1, bootId: "b1" };
  const found = { ...process, instanceId: "web", runId: "r9", specDigest: "old", leadsGroup: true };
  const orphans = [{ instanceId: "web", runId: "r9", specDigest: "old", processes: [found] }];
  const hold = { reason: "ArtifactsPending", message: "downloading" } as const;
  const holds = new Map([["web", hold]]);
  expect(plan(input({ wanted: [], orphans, holds }))).toEqual([
    { kind: "wait", id: "web", ...hold },
  ]);
  expect(plan(input({ wanted: [], orphans }))).toMatchObject([{ kind: "signal-orphan" }]);
});

test("what a run was started from names its devices, in any order", () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(
        fc.record({ uuid: fc.string({ minLength: 1 }), milli: fc.integer({ min: 1, max: 1_000 }) }),
        { maxLength: 6, selector: (d) => d.uuid },
      ),
      (devices) => {
        const digest = runDigest({ ...WEB, devices });
        expect(runDigest({ ...WEB, devices: devices.toReversed() })).toBe(digest);
        const byUuid = (a: { uuid: string }, b: { uuid: string }): number =>
          a.uuid < b.uuid ? -1 : 1;
        expect(devicesOfRun(digest).toSorted(byUuid)).toEqual(devices.toSorted(byUuid));
      },
    ),
    { seed: 42 },
  );
  expect(runDigest(WEB)).toBe(WEB.specDigest);
  expect(devicesOfRun(runDigest({ ...WEB, devices: [{ uuid: "\ud800", milli: 1 }] }))).toHaveLength(
    1,
  );
  expect(devicesOfRun(WEB.specDigest)).toEqual([]);
});

test("policy outside the spec's digest restarts nothing", () => {
  const record = running();
  const wanted = [{ ...WEB, backoffLimit: 99, terminationGracePeriodSeconds: 77 }];
  expect(plan(input({ wanted, records: [record], observed: seen(record) }))).toEqual([]);
});

test("before any desired state is known nothing is started or stopped that has no record", () => {
  const { desired: _, ...rest } = input({});
  const process = {
    pid: 5,
    startTicks: 1,
    bootId: "b1",
    container: "main",
    instanceId: "x",
    runId: "r",
    specDigest: "d",
    leadsGroup: true,
  };
  const orphans = [{ instanceId: "x", runId: "r", specDigest: "d", processes: [process] }];
  expect(plan({ ...rest, desired: undefined, orphans })).toMatchObject([
    { kind: "wait", reason: "NoDesiredState" },
  ]);
});

test("an instance gets at most one step a pass, and every wait says why and can be told to a person", () => {
  const anyIntent = fc.constantFrom("idle", "starting", "running", "stopping", "finished" as const);
  fc.assert(
    fc.property(
      fc.record({
        intent: anyIntent,
        wanted: fc.constantFrom("same", "changed", "no"),
        alive: fc.boolean(),
        sent: fc.boolean(),
        nowMs: fc.integer({ min: 99_000, max: 200_000 }),
      }),
      ({ intent, wanted, alive, sent, nowMs }) => {
        const lives = alive && intent !== "idle" && intent !== "finished";
        const record: InstanceRecord = {
          ...running(),
          intent,
          retryAtBootMs: 150_000,
          killAtBootMs: 150_000,
          reason: "Unwanted",
        };
        const wish = wanted === "no" ? [] : [wanted === "same" ? WEB : instance("web", ["v2"])];
        const steps = plan(
          input({
            wanted: wish,
            records: [record],
            observed: lives ? seen(record) : new Map(),
            sent: sent ? new Map([["r1", { termBootMs: 0 }]]) : new Map(),
            now: { ...NOW, bootMs: nowMs },
          }),
        );
        expect(steps.length).toBeLessThanOrEqual(1);
        for (const step of steps) {
          expect(describeStep(step, nowMs).message).not.toBe("");
        }
        const kinds = steps.map((s) => s.kind);
        expect(kinds.includes("start") && (lives || wanted === "no")).toBe(false);
        expect(wanted === "no" && !lives && kinds.some((k) => k !== "forget")).toBe(false);
      },
    ),
    { seed: 42, numRuns: 500 },
  );
});

test("a Job's container that has ended well does not stop the others, one that failed does", () => {
  const two = job("j", [], {
    containers: [
      { name: "a", command: ["x"] },
      { name: "b", command: ["y"] },
    ],
  });
  const record = running(two);
  const left = record.processes.filter((p) => p.container === "b");
  const exit = (exitCode: number) => new Map([["a", { exitCode, finishedWallMs: 1 }]]);
  const steps = (exitCode: number) =>
    plan(
      input({
        wanted: [two],
        records: [record],
        observed: seen(record, { leaders: left, exits: exit(exitCode) }),
      }),
    );
  expect(steps(0)).toEqual([]);
  expect(steps(4)).toMatchObject([
    { kind: "signal-term", next: { reason: "Exited", exitCode: 4 } },
  ]);
});

test("the back-off doubles from one second to five minutes", () => {
  expect([1, 2, 3, 4, 9, 10, 10_000].map(backoffMs)).toEqual([
    1_000, 2_000, 4_000, 8_000, 256_000, 300_000, 300_000,
  ]);
});

test("$(NAME) is replaced as Kubernetes does it", () => {
  const variables = { A: "1", B: "$(A)" };
  expect(expand("$(A)-$(B)-$(C)-$$(A)-$A-$$$(A)-$(", variables)).toBe("1-$(A)-$(C)-$(A)-$A-$1-$(");
  expect(expand("$(toString) $(__proto__)", variables)).toBe("$(toString) $(__proto__)");
});

test("a container's variables see those before them, and never take the place of the agent's", () => {
  const identity = {
    FLOTILLA_INSTANCE: "i",
    FLOTILLA_RUN: "r",
    FLOTILLA_AGENT: "a",
    FLOTILLA_NODE: "n",
    FLOTILLA_INDEX: "0",
    FLOTILLA_NODE_ADDRESS: "127.0.0.1",
    FLOTILLA_SPEC: "d",
    FLOTILLA_CONTAINER: "c",
  };
  const container: Container = {
    name: "c",
    command: ["run", "$(URL)"],
    args: ["--node=$(FLOTILLA_NODE)"],
    env: [
      { name: "URL", value: "http://$(FLOTILLA_NODE_ADDRESS)/$(LATER)" },
      { name: "LATER", value: "x" },
      { name: "FLOTILLA_RUN", value: "forged" },
    ],
  };
  const environment = containerEnvironment(container, { PATH: "/bin" }, identity);
  expect(environment).toMatchObject({
    PATH: "/bin",
    URL: "http://127.0.0.1/$(LATER)",
    FLOTILLA_RUN: "r",
  });
  expect(expandContainer(container, environment)).toMatchObject({
    command: ["run", "http://127.0.0.1/$(LATER)"],
    args: ["--node=n"],
  });
});

const PROBE: Probe = {
  exec: { command: ["x"] },
  failureThreshold: 3,
  successThreshold: 2,
  periodSeconds: 5,
};

function outcomes(...oks: readonly boolean[]): ProbeState {
  let state = firstProbeStates({ name: "c", readinessProbe: PROBE }, 0).readiness;
  for (const ok of oks)
    if (state !== undefined) state = afterProbe(state, PROBE, { ok, message: "no" }, 0);
  if (state === undefined) throw new Error("it has a readiness probe");
  return state;
}

test("a verdict needs as many outcomes in a row as its threshold says", () => {
  expect(outcomes().passed).toBeUndefined();
  expect(outcomes(true).passed).toBeUndefined();
  expect(outcomes(true, true).passed).toBe(true);
  expect(outcomes(true, true, false, false).passed).toBe(true);
  expect(outcomes(true, true, false, false, false).passed).toBe(false);
  expect(outcomes(false, false, true, false).passed).toBeUndefined();
  expect(outcomes(false, false, false, true).passed).toBe(false);
});

test("probes wait for their initial delay and for the startup probe", () => {
  const states = firstProbeStates(
    { name: "c", startupProbe: { initialDelaySeconds: 3 }, livenessProbe: {}, readinessProbe: {} },
    1_000,
  );
  expect(dueKinds(states, 3_999)).toEqual([]);
  expect(dueKinds(states, 4_000)).toEqual(["startup"]);
  const started = { ...states, startup: { ...outcomes(true, true), nextBootMs: 0 } };
  expect(dueKinds(started, 4_000)).toEqual(["liveness", "readiness"]);
});

test("an instance is ready when all its containers are, and sick when one is", () => {
  const ready = { readiness: outcomes(true, true) };
  const notReady = { readiness: outcomes(false) };
  const sick = { liveness: outcomes(false, false, false) };
  expect(
    judgeHealth([
      { name: "a", states: {} },
      { name: "b", states: ready },
    ]),
  ).toEqual({ ready: true });
  expect(
    judgeHealth([
      { name: "a", states: ready },
      { name: "b", states: notReady },
    ]),
  ).toEqual({
    ready: false,
    message: "container b: readiness probe failed: no",
  });
  expect(judgeHealth([{ name: "a", states: sick }])).toMatchObject({
    unhealthy: { reason: "LivenessFailed" },
  });
});

test("a report of very many instances leaves messages out, so that it fits into one packet", () => {
  const records = Array.from(
    { length: 1_000 },
    (_, i): InstanceRecord => ({
      ...running(
        instance(`default.application-${i}.component-name-0`, ["serve"], {
          specDigest: "f".repeat(64),
        }),
      ),
      intent: "stopping",
      reason: "SpecChanged",
      message: "m".repeat(2_000),
    }),
  );
  const reported = reportedState({
    desired: undefined,
    convergedRevision: 0,
    records,
    health: new Map(),
  });
  expect(reported.instances).toHaveLength(1_000);
  const few = reportedState({
    desired: undefined,
    convergedRevision: 0,
    records: records.slice(0, REPORTED_MESSAGES_MAX),
    health: new Map(),
  });
  for (const report of [reported, few])
    expect(JSON.stringify(report).length).toBeLessThan(256 * 1024);
  expect(few.instances[0]?.message?.length).toBe(256);
});
