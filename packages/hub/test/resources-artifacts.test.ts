import { describe, expect, test } from "vitest";
import type { ApiObject, ServedKind } from "../src/app/resources/ports.ts";
import {
  application,
  causesOf,
  DELETE,
  deployment,
  refusal,
  STRICT,
  testResources,
} from "./support/resources.ts";

const sha = (digit: string): string => digit.repeat(64);
const file = (path: string, target = `detector/${path}`): object => ({
  path,
  target,
  length: 10,
  sha256: sha("a"),
});
const artifact = (name = "detector", spec: object = { format: "onnx" }): object => ({
  apiVersion: "artifacts.kurator.dev/v1alpha1",
  kind: "Artifact",
  metadata: { name },
  spec,
});
const release = (version: string, counter: number, more: object = {}, name?: string): object => ({
  apiVersion: "artifacts.kurator.dev/v1alpha1",
  kind: "Release",
  metadata: { name: name ?? `detector-${version}` },
  spec: { artifact: "detector", version, counter, files: [file("model.onnx")], ...more },
});
const site = (delivery: object): object => ({
  apiVersion: "edge.kurator.dev/v1alpha1",
  kind: "Site",
  metadata: { name: "s1" },
  spec: { delivery },
});
const pinned = (artifacts: object): object => application("web", [{ artifacts }]);

async function causes(kind: ServedKind, body: object): Promise<readonly string[]> {
  const { service } = testResources();
  const namespace = kind === "Application" ? "shop" : "";
  return causesOf(await refusal(() => service.create(kind, namespace, body, STRICT)));
}

describe("a Release", () => {
  test.each<[string, object, string]>([
    [
      "that is named otherwise",
      release("2.3.0", 1, {}, "detector"),
      'metadata.name: Invalid value: "detector": must be detector-2.3.0',
    ],
    ["without files", release("2.3.0", 1, { files: [] }), "spec.files"],
    [
      "with a file twice",
      release("2.3.0", 1, { files: [file("a", "x/1"), file("a", "x/2")] }),
      'spec.files[1].path: Duplicate value: "a"',
    ],
    [
      "with a file inside a file",
      release("2.3.0", 1, { files: [file("a/b", "x/1"), file("a", "x/2")] }),
      'spec.files[0].path: Invalid value: "a/b": lies inside a',
    ],
    [
      "with a target twice",
      release("2.3.0", 1, { files: [file("a", "x"), file("b", "x")] }),
      'spec.files[1].target: Duplicate value: "x"',
    ],
    [
      "that leads upwards",
      release("2.3.0", 1, { files: [file("../a", "x")] }),
      "spec.files[0].path",
    ],
    [
      "for nodes without memory",
      release("2.3.0", 1, { constraints: { memory: "0" } }),
      'spec.constraints.memory: Invalid value: "0"',
    ],
    [
      "for a label that is none",
      release("2.3.0", 1, { constraints: { nodeLabels: { "a b": "x" } } }),
      'spec.constraints.nodeLabels: Invalid value: "a b"',
    ],
    [
      "for a site that is none",
      release("2.3.0", 1, { prestage: { sites: ["A"] } }),
      'spec.prestage.sites[0]: Invalid value: "A"',
    ],
  ])("%s is refused", async (_, body, cause) => {
    expect(await causes("Release", body)).toEqual([expect.stringContaining(cause)]);
  });

  test("has a counter of its own, and is warned of when versions and counters disagree", async () => {
    const { service } = testResources();
    await service.create("Release", "", release("2.3.0", 7), STRICT);
    const twice = await refusal(() => service.create("Release", "", release("2.4.0", 7), STRICT));
    expect(causesOf(twice)).toEqual([
      "spec.counter: Invalid value: 7: detector-2.3.0 has it already: counters grow with every release of an artifact",
    ]);
    expect((await service.create("Release", "", release("2.5.0", 8), STRICT)).warnings).toEqual([]);
    const { warnings } = await service.create("Release", "", release("2.4.0", 3), STRICT);
    expect(warnings).toEqual([
      expect.stringContaining("counter 3 of detector 2.4.0 is below 7 of the lower version 2.3.0"),
    ]);
  });

  test("is what it was, but for where it lies ready and whether it is kept", async () => {
    const { service } = testResources();
    await service.create("Release", "", release("2.3.0", 7), STRICT);
    const target = { kind: "Release", namespace: "", name: "detector-2.3.0" } as const;
    const change = (spec: object): Promise<{ readonly object: ApiObject }> =>
      service.mergePatch(target, { spec }, STRICT);
    expect((await change({ keep: true, prestage: { sites: ["s1"] } })).object).toMatchObject({
      spec: { keep: true, prestage: { sites: ["s1"] } },
    });
    expect((await change({ keep: null, prestage: null })).object).toMatchObject({
      metadata: { generation: 3 },
    });
    for (const spec of [{ counter: 8 }, { files: [file("other")] }, { constraints: {} }])
      expect(causesOf(await refusal(() => change(spec)))).toEqual([
        expect.stringContaining(
          'spec: Invalid value: "": field is immutable but for prestage and keep',
        ),
      ]);
  });

  test("that an Application pins stays, and so does an Artifact with releases", async () => {
    const { service } = testResources();
    await service.create("Artifact", "", artifact(), STRICT);
    await service.create("Release", "", release("2.3.0", 7), STRICT);
    const pins = [{ name: "detector", version: "2.3.0" }];
    await service.create("Application", "shop", pinned(pins), STRICT);
    const remove = (kind: ServedKind, namespace: string, name: string): Promise<unknown> =>
      service.remove(kind, namespace, name, DELETE);
    expect(await refusal(() => remove("Release", "", "detector-2.3.0"))).toMatchObject({
      code: 409,
      message: expect.stringContaining("application shop/web pins it: pin another version first"),
    });
    await remove("Application", "shop", "web");
    expect(await refusal(() => remove("Artifact", "", "detector"))).toMatchObject({
      code: 409,
      message: expect.stringContaining(
        "it has releases, such as detector-2.3.0: delete them first",
      ),
    });
    await remove("Release", "", "detector-2.3.0");
    await remove("Artifact", "", "detector");
  });
});

test("an Artifact has a name that paths of metadata can have", async () => {
  expect(await causes("Artifact", artifact(`${"a".repeat(40)}.${"b".repeat(40)}`))).toEqual([
    expect.stringContaining("metadata.name: Invalid value"),
  ]);
});

describe("pins of a component", () => {
  const at = "spec.components[0].artifacts";
  test.each<[string, object[], string]>([
    [
      "of one artifact twice",
      [
        { name: "a", version: "1.0.0" },
        { name: "a", version: "1.1.0", path: "b" },
      ],
      `${at}[1].name: Duplicate value: "a"`,
    ],
    [
      "in one folder",
      [
        { name: "a", version: "1.0.0" },
        { name: "b", version: "1.1.0", path: "a" },
      ],
      `${at}[1].path: Duplicate value: "a"`,
    ],
    [
      "one inside the other",
      [
        { name: "a", version: "1.0.0", path: "m/a/b" },
        { name: "b", version: "1.1.0", path: "m" },
      ],
      `${at}[0].path: Invalid value: "m/a/b": lies inside m`,
    ],
    [
      "with a signal that nobody sends",
      [{ name: "a", version: "1.0.0", signal: "SIGHUP" }],
      `${at}[0].signal: Forbidden: only with reload signal; reload is restart`,
    ],
    [
      "with http that nobody asks",
      [{ name: "a", version: "1.0.0", reload: "none", http: { port: 80, path: "/" } }],
      `${at}[0].http: Forbidden: only with reload http; reload is none`,
    ],
    [
      "told by http, and nobody knows where",
      [{ name: "a", version: "1.0.0", reload: "http" }],
      `${at}[0].http: Required value`,
    ],
    [
      "with a health window of days",
      [{ name: "a", version: "1.0.0", healthWindow: "25h" }],
      `${at}[0].healthWindow: Invalid value: "25h": must be a duration of at most 24h`,
    ],
    [
      "with a health window that is none",
      [{ name: "a", version: "1.0.0", healthWindow: "soon" }],
      `${at}[0].healthWindow: Invalid value: "soon"`,
    ],
  ])("%s are refused", async (_, pins, cause) => {
    expect(await causes("Application", pinned(pins))).toEqual([expect.stringContaining(cause)]);
  });

  test("of a Job are switched by a restart alone", async () => {
    const job = {
      ...deployment("c0"),
      type: "Job",
      artifacts: [{ name: "a", version: "1.0.0", reload: "signal" }],
      template: {
        spec: {
          template: {
            spec: { restartPolicy: "Never", containers: [{ name: "m", command: ["/bin/true"] }] },
          },
        },
      },
    };
    expect(await causes("Application", application("web", [job]))).toEqual([
      expect.stringContaining(`${at}[0].reload: Forbidden: a Job runs to its end`),
    ]);
  });

  test("that say all that can be said are taken", async () => {
    const { service } = testResources();
    const pins = [
      { name: "a", version: "1.0.0-rc.1", path: "m/a", reload: "signal", signal: "SIGUSR1" },
      { name: "b", version: "1.0.0", reload: "http", http: { port: 80, path: "/reload" } },
      { name: "c", version: "1.0.0", reload: "none", healthWindow: "24h" },
    ];
    const { object } = await service.create("Application", "shop", pinned(pins), STRICT);
    expect(object).toMatchObject({ spec: { components: [{ artifacts: pins }] } });
  });
});

test.each<[object, string]>([
  [{ bytesPerSecond: "100" }, 'spec.delivery.bytesPerSecond: Invalid value: "100"'],
  [
    { windows: [{ start: "0 25 * * *", duration: "6h" }] },
    'spec.delivery.windows[0].start: Invalid value: "0 25 * * *": "25" is no hour',
  ],
  [
    { windows: [{ start: "0 22 * * *", duration: "8d" }] },
    'spec.delivery.windows[0].duration: Invalid value: "8d"',
  ],
  [
    { windows: [{ start: "0 22 * * *", duration: "30s" }] },
    'spec.delivery.windows[0].duration: Invalid value: "30s"',
  ],
  [
    { windows: [{ start: "0 22 * * *", duration: "6h", timeZone: "Mars/Base" }] },
    'spec.delivery.windows[0].timeZone: Invalid value: "Mars/Base"',
  ],
])("a site that fetches by %j is refused", async (delivery, cause) => {
  expect(await causes("Site", site(delivery))).toEqual([expect.stringContaining(cause)]);
});
