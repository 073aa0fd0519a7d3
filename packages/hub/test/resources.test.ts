import type { KindName } from "@flotilla/shared/model/kinds";
import { silentLog } from "@flotilla/shared/testing/silent-log";
import { expect, test } from "vitest";
import { NamespaceCleaner } from "../src/app/resources/namespace-cleaner.ts";
import type { AnyObject } from "../src/app/resources/ports.ts";
import { gpus } from "./support/node-builders.ts";
import {
  application,
  causesOf,
  configMapBody,
  DELETE,
  deployment,
  names,
  refusal,
  STRICT,
  testResources,
  WARN,
} from "./support/resources.ts";

const NS = "default";
const map = (name: string) => ({ kind: "ConfigMap", namespace: NS, name }) as const;
const app = (name: string) => ({ kind: "Application", namespace: NS, name }) as const;

test("a new object gets what the hub gives: uid, generation, time, version", async () => {
  const { service } = testResources();
  const { object, created } = await service.create("Application", NS, application("shop"), STRICT);
  expect(created).toBe(true);
  expect(object.metadata).toEqual({
    name: "shop",
    namespace: NS,
    uid: expect.stringMatching(/^[0-9a-f-]{36}$/),
    generation: 1,
    creationTimestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
    resourceVersion: expect.stringMatching(/^\d+$/),
  });
});

test("what only the hub sets is taken from no client", async () => {
  const { service } = testResources();
  const body = {
    ...application("shop"),
    metadata: {
      name: "shop",
      uid: "mine",
      generation: 9,
      creationTimestamp: "1999-01-01T00:00:00Z",
    },
    status: { phase: "Running" },
  };
  const { object } = await service.create("Application", NS, body, STRICT);
  expect(object.metadata).not.toMatchObject({ uid: "mine" });
  expect(object.metadata).toMatchObject({ generation: 1 });
  expect(object["status"]).toBeUndefined();
});

test("a name is made from generateName", async () => {
  const { service } = testResources();
  const body = { apiVersion: "v1", kind: "ConfigMap", metadata: { generateName: "g-" } };
  const made = await Promise.all([
    service.create("ConfigMap", NS, body, STRICT),
    service.create("ConfigMap", NS, body, STRICT),
  ]);
  const [first, second] = names(made.map((m) => m.object));
  expect(first).toMatch(/^g-[a-z0-9]{5}$/);
  expect(second).not.toBe(first);
});

test("a second creation is refused, also when both come at once", async () => {
  const { service } = testResources();
  const create = () => service.create("ConfigMap", NS, configMapBody("a"), STRICT);
  const both = await Promise.allSettled([create(), create()]);
  expect(both.map((r) => r.status).sort()).toEqual(["fulfilled", "rejected"]);
  expect(await refusal(create)).toMatchObject({
    reason: "AlreadyExists",
    code: 409,
    message: 'configmaps "a" already exists',
  });
});

test.each([
  [
    "another kind",
    { kind: "Flet" },
    422,
    'Flet.apps.kurator.dev "shop" is invalid: kind: Invalid value: "Flet": must be Application',
  ],
  [
    "another version",
    { apiVersion: "apps/v1" },
    400,
    "the API version in the data (apps/v1) does not match the expected API version (apps.kurator.dev/v1alpha1)",
  ],
  [
    "another namespace",
    { metadata: { name: "shop", namespace: "other" } },
    400,
    "the namespace of the provided object does not match the namespace sent on the request",
  ],
  [
    "a version",
    { metadata: { name: "shop", resourceVersion: "5" } },
    400,
    "resourceVersion should not be set on objects to be created",
  ],
])("a creation that names %s is refused", async (_what, change, code, message) => {
  const { service } = testResources();
  const body = { ...application("shop"), ...change };
  expect(await refusal(() => service.create("Application", NS, body, STRICT))).toMatchObject({
    code,
    message,
  });
});

test("an unknown field is refused, warned of or dropped, and never stored", async () => {
  const { service } = testResources();
  const body = (name: string) => ({ ...configMapBody(name), zz: 1 });
  expect(await refusal(() => service.create("ConfigMap", NS, body("a"), STRICT))).toMatchObject({
    code: 400,
    message:
      'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "zz"',
  });
  const warned = await service.create("ConfigMap", NS, body("b"), WARN);
  expect(warned.warnings).toEqual(['unknown field "zz"']);
  expect(warned.object).not.toHaveProperty("zz");
  const silent = { ...WARN, fieldValidation: "Ignore" } as const;
  expect((await service.create("ConfigMap", NS, body("c"), silent)).warnings).toEqual([]);
  expect(service.get("ConfigMap", NS, "c")).not.toHaveProperty("zz");
});

test("keys that reach a prototype and bodies that are too deep are refused with their path", async () => {
  const { service } = testResources();
  const evil: unknown = JSON.parse(
    '{"kind":"ConfigMap","metadata":{"name":"a","labels":{"__proto__":"x"}}}',
  );
  expect((await refusal(() => service.create("ConfigMap", NS, evil, STRICT))).message).toBe(
    'field "metadata.labels.__proto__" is not allowed',
  );
  let deep: unknown = {};
  for (let i = 0; i < 40; i++) deep = { a: deep };
  const body = { ...configMapBody("a"), data: deep };
  expect((await refusal(() => service.create("ConfigMap", NS, body, STRICT))).code).toBe(400);
  for (const none of [null, [], "text", 1])
    expect((await refusal(() => service.create("ConfigMap", NS, none, STRICT))).code).toBe(400);
});

test("the generation grows with the spec and with nothing else", async () => {
  const { service } = testResources();
  await service.create("Application", NS, application("shop"), STRICT);
  const labelled = await service.mergePatch(
    app("shop"),
    { metadata: { labels: { a: "b" } } },
    STRICT,
  );
  expect(labelled.object.metadata).toMatchObject({ generation: 1, labels: { a: "b" } });
  const changed = await service.mergePatch(
    app("shop"),
    { spec: { schedulingProfile: "p" } },
    STRICT,
  );
  expect(changed.object.metadata).toMatchObject({ generation: 2 });
  const target = { ...app("shop"), subresource: "status" } as const;
  const status = await service.mergePatch(target, { status: { phase: "Running" } }, STRICT);
  expect(status.object).toMatchObject({
    metadata: { generation: 2 },
    status: { phase: "Running" },
  });
});

test("an update of the item leaves the status, and one of the status leaves the rest", async () => {
  const { service } = testResources();
  const { object } = await service.create("Application", NS, application("shop"), STRICT);
  const target = { ...app("shop"), subresource: "status" } as const;
  const asked = {
    ...object,
    metadata: { ...object.metadata, labels: { a: "b" } },
    spec: {},
    status: { phase: "Running" },
  };
  const withStatus = await service.update(target, asked, STRICT);
  expect(withStatus.object).toMatchObject({ spec: object["spec"], status: { phase: "Running" } });
  expect(withStatus.object.metadata).not.toHaveProperty("labels");
  const item = { ...withStatus.object, status: { phase: "Degraded" } };
  expect((await service.update(app("shop"), item, STRICT)).object).toMatchObject({
    status: { phase: "Running" },
  });
  const bad = { ...withStatus.object, status: { phase: "Sleeping" } };
  expect(causesOf(await refusal(() => service.update(target, bad, STRICT)))[0]).toContain(
    "status.phase: Unsupported value",
  );
});

test("an update must name the present version; core kinds may go without", async () => {
  const { service } = testResources();
  const { object } = await service.create("Application", NS, application("shop"), STRICT);
  const bare = application("shop");
  expect(await refusal(() => service.update(app("shop"), bare, STRICT))).toMatchObject({
    code: 422,
    message:
      'applications.apps.kurator.dev "shop" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update',
    details: { kind: "applications" },
  });
  await service.mergePatch(app("shop"), { metadata: { labels: { a: "b" } } }, STRICT);
  expect(await refusal(() => service.update(app("shop"), object, STRICT))).toMatchObject({
    code: 409,
    reason: "Conflict",
    message:
      'Operation cannot be fulfilled on applications.apps.kurator.dev "shop": the object has been modified; please apply your changes to the latest version and try again',
  });
  await service.create("ConfigMap", NS, configMapBody("a"), STRICT);
  const replaced = await service.update(map("a"), configMapBody("a", "2"), STRICT);
  expect(replaced.object).toMatchObject({ data: { value: "2" } });
  const garbled = { ...configMapBody("a"), metadata: { name: "a", resourceVersion: "x" } };
  expect((await refusal(() => service.update(map("a"), garbled, STRICT))).code).toBe(422);
});

test("an update of nothing, of another name and of another uid is refused", async () => {
  const { service } = testResources();
  expect(
    await refusal(() => service.update(map("none"), configMapBody("none"), STRICT)),
  ).toMatchObject({ code: 404, message: 'configmaps "none" not found' });
  await service.create("ConfigMap", NS, configMapBody("a"), STRICT);
  expect(await refusal(() => service.update(map("a"), configMapBody("b"), STRICT))).toMatchObject({
    code: 400,
    message: "the name of the object (b) does not match the name on the URL (a)",
  });
  const other = { ...configMapBody("a"), metadata: { name: "a", uid: "other" } };
  expect((await refusal(() => service.update(map("a"), other, STRICT))).code).toBe(409);
});

test("a write that alters nothing raises no version", async () => {
  const { service, store } = testResources();
  const { object } = await service.create("ConfigMap", NS, configMapBody("a"), STRICT);
  const { revision } = store;
  const again = await service.update(map("a"), configMapBody("a"), STRICT);
  expect(again.object.metadata["resourceVersion"]).toBe(object.metadata["resourceVersion"]);
  expect(store.revision).toBe(revision);
});

test("patches that come at once all count; one that names an old version does not", async () => {
  const { service } = testResources();
  await service.create("ConfigMap", NS, configMapBody("a"), STRICT);
  await Promise.all(
    ["x", "y", "z"].map((k) => service.mergePatch(map("a"), { data: { [k]: "1" } }, STRICT)),
  );
  expect(service.get("ConfigMap", NS, "a")["data"]).toEqual({ value: "1", x: "1", y: "1", z: "1" });
  const stale = { metadata: { resourceVersion: "1" }, data: { q: "1" } };
  expect((await refusal(() => service.mergePatch(map("a"), stale, STRICT))).code).toBe(409);
});

test("kubectl's order hints in a strategic patch are read over, other directives are refused", async () => {
  const { service } = testResources();
  await service.create("ConfigMap", NS, configMapBody("a"), STRICT);
  const hinted = { metadata: { "$setElementOrder/finalizers": ["a/b"], finalizers: ["a/b"] } };
  await service.mergePatch(map("a"), hinted, STRICT);
  expect(service.get("ConfigMap", NS, "a").metadata).toMatchObject({ finalizers: ["a/b"] });
  const directive = { data: { $patch: "delete" } };
  expect((await refusal(() => service.mergePatch(map("a"), directive, STRICT))).code).toBe(400);
});

test("a deletion is at once, or waits for its finalizers and takes no new ones", async () => {
  const { service } = testResources();
  await service.create("ConfigMap", NS, configMapBody("a"), STRICT);
  expect(await service.remove("ConfigMap", NS, "a", DELETE)).toMatchObject({ gone: true });
  expect((await refusal(() => service.get("ConfigMap", NS, "a"))).code).toBe(404);
  expect((await refusal(() => service.remove("ConfigMap", NS, "a", DELETE))).code).toBe(404);

  const body = { ...configMapBody("held"), metadata: { name: "held", finalizers: ["x.y/z"] } };
  await service.create("ConfigMap", NS, body, STRICT);
  const held = await service.remove("ConfigMap", NS, "held", DELETE);
  expect(held).toMatchObject({
    gone: false,
    object: {
      metadata: {
        deletionTimestamp: expect.any(String),
        deletionGracePeriodSeconds: 0,
        generation: 2,
      },
    },
  });
  expect(await service.remove("ConfigMap", NS, "held", DELETE)).toEqual(held);
  const more = { metadata: { finalizers: ["x.y/z", "x.y/more"] } };
  expect(causesOf(await refusal(() => service.mergePatch(map("held"), more, STRICT)))[0]).toContain(
    "metadata.finalizers: Forbidden: no new finalizers",
  );
  const released = await service.mergePatch(
    map("held"),
    { metadata: { finalizers: null } },
    STRICT,
  );
  expect(released.object.metadata).not.toHaveProperty("finalizers");
  expect((await refusal(() => service.get("ConfigMap", NS, "held"))).code).toBe(404);
});

test("a dry run answers as the write would, refusals too, and writes nothing", async () => {
  const { service, store } = testResources();
  await service.create("Application", NS, application("shop"), STRICT);
  const { revision } = store;
  const dry = { ...STRICT, dryRun: true };
  const made = await service.create("Application", NS, application("other"), dry);
  expect(made).toMatchObject({ created: true, object: { metadata: { name: "other" } } });
  expect(made.object.metadata["resourceVersion"]).toBeUndefined();
  const edited = await service.mergePatch(app("shop"), { spec: { schedulingProfile: "x" } }, dry);
  expect(edited.object).toMatchObject({ spec: { schedulingProfile: "x" } });
  await service.remove("Application", NS, "shop", { ...DELETE, dryRun: true });
  const again = (): unknown => service.create("Application", NS, application("shop"), dry);
  expect(await refusal(again)).toMatchObject({ reason: "AlreadyExists" });
  expect(store.revision).toBe(revision);
  expect(service.get("Application", NS, "shop")).not.toHaveProperty("spec.schedulingProfile");
});

test("a deletion holds to its preconditions", async () => {
  const { service } = testResources();
  const { object } = await service.create("ConfigMap", NS, configMapBody("a"), STRICT);
  const remove = (preconditions: { uid?: string; resourceVersion?: string }) =>
    service.remove("ConfigMap", NS, "a", { ...DELETE, preconditions });
  expect((await refusal(() => remove({ uid: "zzz" }))).message).toContain(
    "the UID in the precondition (zzz) does not match the UID in record",
  );
  expect((await refusal(() => remove({ resourceVersion: "99" }))).code).toBe(409);
  expect(await remove({ uid: String(object.metadata["uid"]) })).toMatchObject({ gone: true });
});

test("an orphaning deletion leaves its dependents without an owner", async () => {
  const { service } = testResources();
  const owner = (await service.create("ConfigMap", NS, configMapBody("o"), STRICT)).object;
  const reference = { apiVersion: "v1", kind: "ConfigMap", name: "o", uid: owner.metadata["uid"] };
  const body = { ...configMapBody("d"), metadata: { name: "d", ownerReferences: [reference] } };
  await service.create("ConfigMap", NS, body, STRICT);
  await service.remove("ConfigMap", NS, "o", { ...DELETE, propagationPolicy: "Orphan" });
  expect(service.get("ConfigMap", NS, "d").metadata).not.toHaveProperty("ownerReferences");
});

test("a collection is deleted by selector, and what was deleted is answered", async () => {
  const { service } = testResources();
  for (const name of ["a", "b", "c"])
    await service.create(
      "ConfigMap",
      NS,
      configMapBody(name, "1", { odd: String(name !== "b") }),
      STRICT,
    );
  const list = { namespace: NS, labelSelector: "odd=true" };
  expect(names(await service.removeCollection("ConfigMap", list, DELETE))).toEqual(["a", "c"]);
  expect(names(service.list("ConfigMap", {}).items)).toEqual(["b"]);
});

test("pages hold all objects once, under the version of the first page", async () => {
  const { service } = testResources();
  for (const name of ["a", "b", "c", "d", "e"])
    await service.create("ConfigMap", NS, configMapBody(name), STRICT);
  const first = service.list("ConfigMap", { namespace: NS, limit: 2 });
  expect(first).toMatchObject({ remainingItemCount: 3, continueToken: expect.any(String) });
  await service.create("ConfigMap", NS, configMapBody("f"), STRICT);
  const token = (page: { continueToken?: string }) =>
    page.continueToken === undefined ? {} : { continueToken: page.continueToken };
  const second = service.list("ConfigMap", { namespace: NS, limit: 2, ...token(first) });
  const third = service.list("ConfigMap", { namespace: NS, limit: 2, ...token(second) });
  expect([first, second, third].flatMap((p) => names(p.items))).toEqual([
    "a",
    "b",
    "c",
    "d",
    "e",
    "f",
  ]);
  expect(third.continueToken).toBeUndefined();
  expect(new Set([first, second, third].map((p) => p.resourceVersion)).size).toBe(1);
});

test("a page that ends with the last match has no token, and none counts what a selector leaves", async () => {
  const { service } = testResources();
  for (const name of ["a", "b", "c"])
    await service.create(
      "ConfigMap",
      NS,
      configMapBody(name, "1", { odd: String(name !== "b") }),
      STRICT,
    );
  const selected = { namespace: NS, labelSelector: "odd=true" };
  const first = service.list("ConfigMap", { ...selected, limit: 1 });
  expect(first.continueToken).toBeDefined();
  expect(first.remainingItemCount).toBeUndefined();
  expect(service.list("ConfigMap", { ...selected, limit: 2 }).continueToken).toBeUndefined();
});

test("a continue token that nobody gave is refused, an old one has expired", async () => {
  const { service, store } = testResources({ logLinesMin: 2, logLinesMax: 2 });
  const page = (continueToken: string) => () =>
    service.list("ConfigMap", { limit: 1, continueToken });
  for (const bad of ["zzz", "é", "a".repeat(5_000), btoa("1/../../x")])
    expect((await refusal(page(bad))).message).toContain("invalid continue token");
  for (const name of ["a", "b"]) await service.create("ConfigMap", NS, configMapBody(name), STRICT);
  const { continueToken = "" } = service.list("ConfigMap", { limit: 1 });
  for (let i = 0; i < 5; i++)
    await service.mergePatch(map("a"), { data: { value: String(i) } }, STRICT);
  store.compact();
  expect((await refusal(page(continueToken))).reason).toBe("Expired");
});

test("bad selectors are refused by lists and by watches before they begin", async () => {
  const { service } = testResources();
  const { signal } = new AbortController();
  const watch = { sendInitialEvents: false, allowBookmarks: false };
  for (const selector of [{ labelSelector: "==" }, { fieldSelector: "spec.x=y" }]) {
    expect((await refusal(() => service.list("ConfigMap", selector))).code).toBe(400);
    const asked = { ...watch, ...selector };
    expect((await refusal(() => service.watch("ConfigMap", asked, signal))).code).toBe(400);
  }
});

test("a Secret's plain text is stored as base64 and never answered as text", async () => {
  const { service } = testResources();
  const body = {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "s" },
    data: { a: "b2xk", b: "a2VlcA==" },
    stringData: { a: "päss\u{1F511}" },
  };
  const { object } = await service.create("Secret", NS, body, STRICT);
  expect(object).toMatchObject({ type: "Opaque", data: { b: "a2VlcA==" } });
  expect(object).not.toHaveProperty("stringData");
  const data = object["data"] as Record<string, string>;
  expect(Buffer.from(data["a"] ?? "", "base64").toString()).toBe("päss\u{1F511}");
  const patched = await service.mergePatch(
    { kind: "Secret", namespace: NS, name: "s" },
    { stringData: { b: "new" } },
    STRICT,
  );
  expect(patched.object["data"]).toMatchObject({ a: data["a"], b: "bmV3" });
  const bad = { ...body, metadata: { name: "t" }, data: { a: "top-secret!" }, stringData: {} };
  const status = await refusal(() => service.create("Secret", NS, bad, STRICT));
  expect(causesOf(status)).toEqual([
    "data[a]: Invalid value: must be base64; put plain text into stringData",
  ]);
  expect(JSON.stringify(status)).not.toContain("top-secret");
});

test("an immutable ConfigMap keeps its data", async () => {
  const { service } = testResources();
  await service.create("ConfigMap", NS, { ...configMapBody("a"), immutable: true }, STRICT);
  const patch = { data: { value: "2" } };
  expect((await refusal(() => service.mergePatch(map("a"), patch, STRICT))).code).toBe(422);
  await service.mergePatch(map("a"), { metadata: { labels: { a: "b" } } }, STRICT);
});

test("a token's join string is in the answer to its creation and nowhere else", async () => {
  const { service, store } = testResources();
  const body = {
    apiVersion: "edge.kurator.dev/v1alpha1",
    kind: "JoinToken",
    metadata: { name: "t" },
    spec: { site: "factory", ttl: "10m" },
    status: { secretHash: "mine" },
  };
  const { object } = await service.create("JoinToken", "", body, STRICT);
  expect(object["status"]).toMatchObject({
    joinString: "flotilla://hub/t.minted-secret#sha256:00",
    secretHash: "minted-hash",
    expiresAt: expect.any(String),
  });
  expect(JSON.stringify(service.get("JoinToken", "", "t"))).not.toContain("minted-secret");
  expect(JSON.stringify(store.logAfter(0, 100))).not.toContain("minted-secret");
  const target = { kind: "JoinToken", namespace: "", name: "t" } as const;
  const spec = { spec: { site: "other" } };
  expect(causesOf(await refusal(() => service.mergePatch(target, spec, STRICT)))[0]).toContain(
    "spec: Invalid value",
  );
  const status = { status: { secretHash: "mine" } };
  const asked = { ...target, subresource: "status" } as const;
  expect((await refusal(() => service.mergePatch(asked, status, STRICT))).code).toBe(405);
});

test("a namespace is made when it is first used, by whoever comes first", async () => {
  const { service, store } = testResources();
  await Promise.all(
    ["a", "b"].map((n) => service.create("ConfigMap", "new", configMapBody(n), STRICT)),
  );
  expect(store.get("Namespace", "", "new")?.status?.phase).toBe("Active");
  expect(store.list("ConfigMap", "new")).toHaveLength(2);
  const bad = () => service.create("ConfigMap", "Bad_Name", configMapBody("a"), STRICT);
  expect((await refusal(bad)).code).toBe(422);
  const none = () => service.create("ConfigMap", "", configMapBody("a"), STRICT);
  expect((await refusal(none)).code).toBe(400);
});

test("a namespace takes its content with it, waits for finalizers, and takes nothing new meanwhile", async () => {
  const { service, store, clock } = testResources();
  await service.create("ConfigMap", "gone", configMapBody("a"), STRICT);
  const held = { ...configMapBody("held"), metadata: { name: "held", finalizers: ["x.y/z"] } };
  await service.create("ConfigMap", "gone", held, STRICT);
  await service.create("ConfigMap", "stays", configMapBody("a"), STRICT);
  const stop = new AbortController();
  const running = new NamespaceCleaner({ store, clock, log: silentLog() }).run(stop.signal);
  expect(await service.remove("Namespace", "", "gone", DELETE)).toMatchObject({
    gone: false,
    object: { status: { phase: "Terminating" } },
  });
  await expect.poll(() => store.list("ConfigMap", "gone").length).toBe(1);
  const late = () => service.create("ConfigMap", "gone", configMapBody("late"), STRICT);
  expect((await refusal(late)).message).toContain("because it is being terminated");
  const target = { kind: "ConfigMap", namespace: "gone", name: "held" } as const;
  await service.mergePatch(target, { metadata: { finalizers: null } }, STRICT);
  await expect.poll(() => store.get("Namespace", "", "gone")).toBeUndefined();
  expect(store.list("ConfigMap", "stays")).toHaveLength(1);
  stop.abort();
  await running;
});

/** Puts an object into the store as a controller does. */
async function plant(
  store: ReturnType<typeof testResources>["store"],
  kind: KindName,
  object: object,
): Promise<void> {
  const typed = object as AnyObject;
  const { namespace = "", name } = typed.metadata;
  await store.commit({
    changes: [{ key: { kind, namespace, name }, expect: "absent", object: typed }],
  });
}

const NODE = {
  apiVersion: "edge.kurator.dev/v1alpha1",
  kind: "EdgeNode",
  metadata: { name: "n1", uid: "u1", generation: 1, labels: { zone: "a" } },
  spec: { site: "factory" },
  status: {
    life: "ready",
    capacity: { milliCpu: 4000, memoryBytes: 2 ** 33, diskBytes: 2 ** 36, gpuCount: 1 },
    inventory: {
      architecture: "x64",
      operatingSystem: "Debian",
      kernelVersion: "6.1",
      cpuModel: "",
      manufacturer: "",
      machineModel: "",
      runtimes: ["process"],
      gpus: [...gpus("n1", 1)],
    },
  },
};

test("an edge node is a core/v1 Node and its lease to kubectl", async () => {
  const { service, store } = testResources();
  await plant(store, "EdgeNode", NODE);
  expect(service.get("Node", "", "n1")).toMatchObject({
    apiVersion: "v1",
    kind: "Node",
    metadata: {
      labels: { zone: "a", "kubernetes.io/arch": "amd64", "edge.kurator.dev/site": "factory" },
    },
    status: { allocatable: { cpu: "3800m", memory: "8160437862", "nvidia.com/gpu": "1" } },
  });
  const selected = { labelSelector: "kubernetes.io/arch=amd64" };
  expect(names(service.list("Node", selected).items)).toEqual(["n1"]);
  expect(service.get("Lease", "kube-node-lease", "n1")).toMatchObject({
    spec: { holderIdentity: "n1" },
  });
  expect((await refusal(() => service.get("Lease", "default", "n1"))).code).toBe(404);
  expect(service.list("Lease", { namespace: "default" }).items).toEqual([]);
});

test("cordon, uncordon, taint and label of a Node are written to the edge node", async () => {
  const { service, store } = testResources();
  await plant(store, "EdgeNode", NODE);
  const target = { kind: "Node", namespace: "", name: "n1" } as const;
  const spec = () => store.get("EdgeNode", "", "n1")?.spec;
  const cordoned = await service.mergePatch(target, { spec: { unschedulable: true } }, STRICT);
  expect(cordoned.object).toMatchObject({ kind: "Node", spec: { unschedulable: true } });
  expect(spec()).toEqual({ site: "factory", unschedulable: true });
  const taints = [{ key: "a", value: "", effect: "NoSchedule" }];
  await service.mergePatch(target, { spec: { taints } }, STRICT);
  expect(spec()).toEqual({
    site: "factory",
    unschedulable: true,
    taints: [{ key: "a", effect: "NoSchedule" }],
  });
  await service.mergePatch(target, { spec: { unschedulable: null, taints: null } }, STRICT);
  expect(spec()).toEqual({ site: "factory" });
  await service.mergePatch(target, { metadata: { labels: { zone: null, rack: "7" } } }, STRICT);
  expect(store.get("EdgeNode", "", "n1")?.metadata.labels).toEqual({ rack: "7" });
  expect(store.get("EdgeNode", "", "n1")?.status).toMatchObject({ life: "ready" });
  const bad = { spec: { taints: [{ key: "a", effect: "Never" }] } };
  expect(causesOf(await refusal(() => service.mergePatch(target, bad, STRICT)))[0]).toContain(
    "spec.taints[0].effect",
  );
  const stale = { metadata: { resourceVersion: "1" }, spec: { unschedulable: true } };
  expect((await refusal(() => service.mergePatch(target, stale, STRICT))).code).toBe(409);
});

test("a node is cordoned even while it reports", async () => {
  const { service, store } = testResources();
  await plant(store, "EdgeNode", NODE);
  const report = store.commit({
    changes: [
      {
        key: { kind: "EdgeNode", namespace: "", name: "n1" },
        expect: "any",
        object: { ...NODE, status: { ...NODE.status, epoch: 2 } } as unknown as AnyObject,
      },
    ],
  });
  const target = { kind: "Node", namespace: "", name: "n1" } as const;
  await service.mergePatch(target, { spec: { unschedulable: true } }, STRICT);
  await report;
  expect(store.get("EdgeNode", "", "n1")).toMatchObject({
    spec: { unschedulable: true },
    status: { epoch: 2 },
  });
});

test("uncordon ends a drain", async () => {
  const { service, store } = testResources();
  await plant(store, "EdgeNode", { ...NODE, spec: { site: "factory", drain: true } });
  const target = { kind: "Node", namespace: "", name: "n1" } as const;
  await service.mergePatch(target, { metadata: { labels: { a: "b" } } }, STRICT);
  expect(store.get("EdgeNode", "", "n1")?.spec.drain).toBe(true);
  await service.mergePatch(target, { spec: { unschedulable: false } }, STRICT);
  expect(store.get("EdgeNode", "", "n1")?.spec).toEqual({ site: "factory" });
});

const ASSIGNMENT = {
  apiVersion: "edge.kurator.dev/v1alpha1",
  kind: "Assignment",
  metadata: { name: "shop-web-0", namespace: NS, uid: "u2", generation: 1 },
  spec: {
    application: "shop",
    applicationUid: "u",
    component: "web",
    index: 0,
    node: "n1",
    requests: { milliCpu: 0, memoryBytes: 0, diskBytes: 0, gpuCount: 0 },
    desired: {
      id: "default.shop.web-0",
      restartPolicy: "Always",
      terminationGracePeriodSeconds: 10,
      containers: deployment("web").template.spec.template.spec.containers,
    },
  },
  status: {
    reported: {
      id: "default.shop.web-0",
      specDigest: "d",
      phase: "Running",
      ready: true,
      restartCount: 3,
      startedAt: "2026-01-01T00:00:00Z",
    },
  },
};

test("an assignment is a Pod to kubectl: found by its node, deleted as one", async () => {
  const { service, store } = testResources();
  await plant(store, "Assignment", ASSIGNMENT);
  const list = { fieldSelector: "spec.nodeName=n1,status.phase=Running" };
  const [pod] = service.list("Pod", list).items;
  expect(pod).toMatchObject({
    kind: "Pod",
    metadata: { name: "shop-web-0" },
    status: {
      phase: "Running",
      containerStatuses: [{ name: "main", ready: true, restartCount: 3, state: { running: {} } }],
    },
  });
  const outcome = await service.remove("Pod", NS, "shop-web-0", DELETE);
  expect(outcome).toMatchObject({ gone: true, object: { kind: "Pod" } });
  expect(store.list("Assignment")).toEqual([]);
});

test("views and assignments are written by the hub alone", async () => {
  const { service, store } = testResources();
  await plant(store, "EdgeNode", NODE);
  await plant(store, "Assignment", ASSIGNMENT);
  const target = { kind: "Assignment", namespace: NS, name: "shop-web-0" } as const;
  const writes = [
    () => service.create("Node", "", {}, STRICT),
    () => service.create("Pod", NS, {}, STRICT),
    () => service.create("Assignment", NS, ASSIGNMENT, STRICT),
    () => service.mergePatch(target, { spec: { node: "n2" } }, STRICT),
    () => service.mergePatch({ ...target, kind: "Pod" }, {}, STRICT),
    () => service.remove("Node", "", "n1", DELETE),
    () => service.remove("Lease", "kube-node-lease", "n1", DELETE),
  ];
  for (const write of writes) expect(await refusal(write)).toMatchObject({ code: 405 });
  expect(await service.remove("Assignment", NS, "shop-web-0", DELETE)).toMatchObject({
    gone: true,
  });
});

test("a namespace's finalizer is in no client's hands", async () => {
  const { service } = testResources();
  const body = {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: "team" },
    spec: { finalizers: [] },
  };
  const { object } = await service.create("Namespace", "", body, STRICT);
  expect(object).toMatchObject({
    spec: { finalizers: ["kubernetes"] },
    status: { phase: "Active" },
  });
});

test("a store that is closed answers that the hub is not there for now", async () => {
  const { service, store } = testResources();
  await service.create("ConfigMap", NS, configMapBody("a"), STRICT);
  store.close();
  const status = await refusal(() => service.create("ConfigMap", NS, configMapBody("b"), STRICT));
  expect(status).toMatchObject({ code: 503, reason: "ServiceUnavailable" });
});

test("a full disk answers that nothing was written, and nothing of the disk's layout", async () => {
  const { service, store } = testResources({ databaseBytesMax: 200_000 });
  const large = (i: number) => configMapBody(`a${i}`, "x".repeat(50_000));
  const status = await refusal(async () => {
    for (let i = 0; i < 20; i++) await service.create("ConfigMap", NS, large(i), STRICT);
  });
  expect(status).toMatchObject({
    code: 503,
    message: "the hub's disk is full: nothing was written",
  });
  expect(service.list("ConfigMap", {}).items.length).toBe(store.revision - 1);
});

test("an object that is too large is refused as such", async () => {
  const { service } = testResources();
  const components = Array.from({ length: 100 }, (_, i) =>
    deployment(`c${i}`, { args: ["x".repeat(20_000)] }),
  );
  const body = application("large", components);
  const status = await refusal(() => service.create("Application", NS, body, STRICT));
  expect(status).toMatchObject({ code: 413 });
});
