import { get as getPlain } from "node:http";
import { connect as connectPlain } from "node:net";
import { connect as connectTls } from "node:tls";
import type { Clock } from "@flotilla/shared/kernel/clock";
import { systemClock } from "@flotilla/shared/platform/clock";
import { beforeEach, expect, test, vi } from "vitest";
import { WATCH_STALL_MS_MAX } from "../src/adapters/http/limits.ts";
import type { WatchEvent } from "../src/app/resources/ports.ts";
import { EnrolmentError } from "../src/domain/enrolment/enrolment-error.ts";
import { badRequest, invalid, tooManyRequests } from "../src/domain/resources/api-error.ts";
import { FakeResources } from "./support/fake-resources.ts";
import {
  json,
  startTestServer,
  TEST_TOKEN,
  type TestServer,
  whole,
} from "./support/http-server.ts";

const FLEETS = "/apis/fleet.kurator.dev/v1alpha1/namespaces/default/fleets";
const TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
const fleet = (name: string, spec: unknown = {}): string =>
  JSON.stringify({
    apiVersion: "fleet.kurator.dev/v1alpha1",
    kind: "Fleet",
    metadata: { name },
    spec,
  });

let resources: FakeResources;
beforeEach(() => {
  resources = new FakeResources();
});

test("without a token, or with a wrong one, everything but the open paths answers 401 as a Status", async () => {
  const hub = await startTestServer({ resources });
  for (const authorization of [null, "Bearer nobody", "Basic YTpi", "Bearer "])
    for (const path of ["/api", "/apis", FLEETS, "/openapi/v3", "/nowhere"]) {
      const answer = await hub.call("GET", path, { authorization });
      expect([path, answer.status]).toEqual([path, 401]);
      expect(json(answer)).toMatchObject({ kind: "Status", reason: "Unauthorized", code: 401 });
    }
  for (const path of ["/healthz", "/livez", "/readyz", "/version", "/ca.pem", "/metrics"])
    expect((await hub.call("GET", path, { authorization: null })).status).toBe(200);
  expect((await hub.call("POST", "/healthz", { authorization: null })).status).toBe(401);
  expect(resources.calls).toEqual([]);
});

test("a plain HTTP request gets the CA certificate at /ca.pem and is told about HTTPS everywhere else", async () => {
  const hub = await startTestServer();
  const plain = (path: string) =>
    new Promise<{ status: number | undefined; text: string }>((resolve, reject) => {
      getPlain({ host: "127.0.0.1", port: hub.port, path }, (message) => {
        whole(message).then((a) => resolve({ status: a.status, text: a.text }), reject);
      }).on("error", reject);
    });
  expect(await plain("/ca.pem")).toEqual({ status: 200, text: hub.tls.caCertificate });
  for (const path of ["/", FLEETS, "/ca.pem/x", "/version"])
    expect(await plain(path)).toEqual({ status: 400, text: "this port speaks HTTPS\n" });
});

test("plain bytes that never become a request are cut off, and the port goes on serving", async () => {
  const hub = await startTestServer();
  const socket = connectPlain(hub.port, "127.0.0.1");
  const answer = await new Promise<string>((resolve) => {
    let text = "";
    socket.setEncoding("utf8");
    socket.on("data", (chunk) => {
      text += chunk;
    });
    socket.on("error", () => undefined);
    socket.on("close", () => resolve(text));
    socket.write("x".repeat(100_000));
  });
  expect(answer === "" || answer.includes("400 Bad Request")).toBe(true);
  expect((await hub.call("GET", "/healthz")).text).toBe("ok");
});

test("a plain peer that sends a byte now and then does not keep its connection", async () => {
  const hub = await startTestServer({}, { headersTimeoutMs: 300 });
  const socket = connectPlain(hub.port, "127.0.0.1");
  socket.on("error", () => undefined);
  const drip = setInterval(() => socket.write("G"), 50);
  const endedMs = await new Promise<number>((resolve) => {
    const sinceMs = performance.now();
    socket.on("close", () => resolve(performance.now() - sinceMs));
  });
  clearInterval(drip);
  expect(endedMs).toBeLessThan(8_000);
});

test("TLS 1.1 is refused and garbage that looks like TLS does no harm", async () => {
  const hub = await startTestServer();
  const old = connectTls({
    host: "127.0.0.1",
    port: hub.port,
    ca: hub.tls.caCertificate,
    maxVersion: "TLSv1.1",
    minVersion: "TLSv1",
  });
  await expect(
    new Promise((resolve, reject) => old.on("secureConnect", resolve).on("error", reject)),
  ).rejects.toThrow(/alert|protocol|version|disconnected|reset/i);
  const garbage = connectPlain(hub.port, "127.0.0.1");
  garbage.on("error", () => undefined);
  garbage.write(Buffer.alloc(2_000, 0x16));
  await new Promise((resolve) => garbage.on("close", resolve));
  expect((await hub.call("GET", "/healthz")).text).toBe("ok");
});

test("every answer carries an audit id and forbids caching; a client may choose the id", async () => {
  const hub = await startTestServer({ resources });
  const own = await hub.call("GET", FLEETS, { headers: { "audit-id": "my-id-1" } });
  expect(own.headers).toMatchObject({
    "audit-id": "my-id-1",
    "cache-control": "no-cache, private",
  });
  const bad = await hub.call("GET", FLEETS, { headers: { "audit-id": "no spaces please" } });
  expect(bad.headers["audit-id"]).toMatch(/^[0-9a-f-]{36}$/);
});

test("create answers 201 with the object and the warnings, and hands over who asked and how strictly", async () => {
  const hub = await startTestServer({ resources });
  resources.warnings = ['unknown field "spec.zz"', "größer"];
  const answer = await hub.call("POST", `${FLEETS}?fieldValidation=Warn&fieldManager=me`, {
    body: fleet("a"),
  });
  expect(answer.status).toBe(201);
  expect(json(answer)).toMatchObject({ kind: "Fleet", metadata: { name: "a" } });
  expect(answer.headers["warning"]).toBe('299 - "unknown field \\"spec.zz\\"", 299 - "gr??er"');
  expect(resources.lastCall("create")).toEqual([
    "Fleet",
    "default",
    JSON.parse(fleet("a")),
    {
      user: { name: "admin", groups: ["flotilla:admins"] },
      fieldValidation: "Warn",
      fieldManager: "me",
    },
  ]);
});

test("a YAML body is read as the JSON that it means, and YAML is answered when asked for", async () => {
  const hub = await startTestServer({ resources });
  const body =
    "apiVersion: fleet.kurator.dev/v1alpha1\nkind: Fleet\nmetadata: {name: y}\nspec:\n  x: &a [1]\n  y: *a\n";
  const answer = await hub.call("POST", FLEETS, {
    body,
    headers: { "content-type": "application/yaml", accept: "application/yaml" },
  });
  expect(answer.headers["content-type"]).toBe("application/yaml");
  expect(answer.text).toContain("kind: Fleet\n");
  expect(resources.lastCall("create")?.[2]).toMatchObject({ spec: { x: [1], y: [1] } });
});

const deepJson = `{"a":${"[".repeat(40)}${"]".repeat(40)}}`;
const yamlBomb = ["a: &a [x,x,x,x,x,x,x,x,x]"]
  .concat(
    "bcdefgh".split("").map((k, i) => `${k}: &${k} [${Array(9).fill(`*${"abcdefg"[i]}`).join()}]`),
  )
  .join("\n");

test.each([
  ["broken JSON", "{", "application/json", 400, "json parse error"],
  ["an empty body", "", "application/json", 400, "json parse error"],
  ["deep JSON", deepJson, "application/json", 400, "nested deeper than 32"],
  ["a text body", "x", "text/plain", 415, "application/json, application/yaml"],
  ["a form", "a=b", "application/x-www-form-urlencoded", 415, "application/json"],
  ["protobuf", "k8s\0", "application/vnd.kubernetes.protobuf", 415, "application/json"],
  ["no UTF-8", Buffer.from([0x7b, 0xff, 0x7d]), "application/json", 400, "not UTF-8"],
  ["a __proto__ key", '{"metadata":{"__proto__":{"x":1}}}', "application/json", 400, "__proto__"],
  [
    "a __proto__ key in YAML",
    "metadata: {__proto__: {x: 1}}",
    "application/yaml",
    400,
    "__proto__",
  ],
  ["a YAML bomb", yamlBomb, "application/yaml", 400, "alias"],
  ["deep YAML", `a: ${"[".repeat(100_000)}`, "application/yaml", 400, "nested deeper than 32"],
  ["duplicate YAML keys", "a: 1\na: 2\n", "application/yaml", 400, 'duplicate key "a"'],
  ["two YAML documents", "a: 1\n---\nb: 2\n", "application/yaml", 400, "yaml parse error"],
  ["broken YAML", "a: [", "application/yaml", 400, "yaml parse error"],
] as const)("%s is refused with a Status", async (...row) => {
  const [, body, type, code, message] = row;
  const hub = await startTestServer({ resources });
  const answer = await hub.call("POST", FLEETS, { body, headers: { "content-type": type } });
  expect(answer.status).toBe(code);
  expect(json(answer)).toMatchObject({ kind: "Status", status: "Failure", code });
  expect(json(answer)).toMatchObject({ message: expect.stringContaining(message) });
  expect(answer.text).not.toContain("    at ");
  expect(resources.lastCall("create")).toBeUndefined();
});

test("a YAML map of sixty thousand keys is read in seconds, not minutes", async () => {
  const hub = await startTestServer({ resources });
  const keys = Array.from({ length: 60_000 }, (_, i) => `  k${i}: "v"`).join("\n");
  const answer = await hub.call("POST", FLEETS, {
    body: `metadata: {name: big}\ndata:\n${keys}\n`,
    headers: { "content-type": "application/yaml" },
  });
  expect(answer.status).toBe(201);
}, 20_000);

test("a body over 1 MiB is refused with 413, whether its length is told or not", async () => {
  const hub = await startTestServer({ resources });
  const body = fleet("big", { x: "y".repeat(2_000_000) });
  // The server closes as soon as it has answered; a client that is still sending may see the reset first.
  const answer = await hub.call("POST", FLEETS, { body }).catch(() => undefined);
  expect(answer?.status ?? 413).toBe(413);
  const lied = await hub.call("POST", FLEETS, {
    body: fleet("big"),
    headers: { "content-length": "2000000" },
  });
  expect(json(lied)).toMatchObject({ reason: "RequestEntityTooLarge", code: 413 });
  expect(resources.lastCall("create")).toBeUndefined();
});

test("errors of the resource API come through as they are, with Retry-After where it is known", async () => {
  const hub = await startTestServer({ resources });
  resources.failure = invalid(
    { group: "fleet.kurator.dev", plural: "fleets", kind: "Fleet", name: "a" },
    [{ reason: "FieldValueRequired", message: "Required value", field: "spec.x" }],
  );
  const answer = await hub.call("POST", FLEETS, { body: fleet("a") });
  expect(answer.status).toBe(422);
  expect(json(answer)).toMatchObject({
    reason: "Invalid",
    details: { causes: [{ field: "spec.x" }] },
  });
  resources.failure = tooManyRequests("later", 7);
  expect((await hub.call("GET", FLEETS)).headers["retry-after"]).toBe("7");
});

test("a failure of ours answers 500 without what went wrong, which goes to the log", async () => {
  const hub = await startTestServer({ resources });
  resources.failure = new Error("secret path /var/lib/x");
  const answer = await hub.call("GET", FLEETS);
  expect(answer.status).toBe(500);
  expect(answer.text).not.toContain("secret path");
  expect(hub.log.lines.filter((l) => l.level === "error")).toHaveLength(1);
});

test("a list carries its version, token and remaining count", async () => {
  const hub = await startTestServer({ resources });
  for (const name of ["a", "b", "c"]) resources.put("Fleet", "default", name);
  const answer = await hub.call(
    "GET",
    `${FLEETS}?limit=1&labelSelector=a%3Db&fieldSelector=metadata.name%3Dx`,
  );
  expect(json(answer)).toMatchObject({
    apiVersion: "fleet.kurator.dev/v1alpha1",
    kind: "FleetList",
    metadata: { resourceVersion: "103", continue: "more", remainingItemCount: 2 },
    items: [{ metadata: { name: "a" } }],
  });
  expect(resources.lastCall("list")).toEqual([
    "Fleet",
    { namespace: "default", limit: 1, labelSelector: "a=b", fieldSelector: "metadata.name=x" },
  ]);
});

test("a list as a Table has columns, cells and the metadata of each row; dates are shown as ages", async () => {
  const hub = await startTestServer({ resources });
  resources.put("Site", "", "a", {
    spec: { secret: 1 },
    metadata: { creationTimestamp: new Date(Date.now() - 3 * 3_600_000).toISOString() },
  });
  const sites = "/apis/edge.kurator.dev/v1alpha1/sites";
  const table = await hub.call("GET", sites, { headers: { accept: TABLE } });
  expect(json(table)).toMatchObject({
    kind: "Table",
    apiVersion: "meta.k8s.io/v1",
    columnDefinitions: expect.arrayContaining([
      expect.objectContaining({ name: "Name", format: "name", priority: 0 }),
      expect.objectContaining({ name: "Age", type: "date" }),
    ]),
    rows: [
      {
        cells: expect.arrayContaining(["a", "3h"]),
        object: { kind: "PartialObjectMetadata", metadata: { name: "a" } },
      },
    ],
  });
  expect(table.text).not.toContain("secret");
  const bare = await hub.call("GET", `${sites}/a?includeObject=None`, {
    headers: { accept: "application/json;v=v1beta1;g=meta.k8s.io;as=Table" },
  });
  expect(json(bare)).toMatchObject({
    apiVersion: "meta.k8s.io/v1beta1",
    rows: [{ cells: expect.arrayContaining(["a", "3h"]) }],
  });
  expect(bare.text).not.toContain('"object"');
});

test("metadata alone is answered when asked for, and a form we do not have is 406", async () => {
  const hub = await startTestServer({ resources });
  resources.put("Fleet", "default", "a", { spec: { x: 1 } });
  const accept = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
  const list = await hub.call("GET", FLEETS, { headers: { accept } });
  expect(json(list)).toMatchObject({
    kind: "PartialObjectMetadataList",
    items: [{ kind: "PartialObjectMetadata", metadata: { name: "a" } }],
  });
  expect(list.text).not.toContain("spec");
  const none = await hub.call("GET", FLEETS, { headers: { accept: "application/xml" } });
  expect(json(none)).toMatchObject({ code: 406, reason: "NotAcceptable" });
});

test("a long list is answered in JSON and refused in YAML, which would hold up everybody else", async () => {
  const hub = await startTestServer({ resources });
  for (let i = 0; i <= 500; i++) resources.put("Fleet", "default", `f${i}`);
  const headers = { accept: "application/yaml" };
  const long = await hub.call("GET", FLEETS, { headers });
  expect([long.status, long.text]).toEqual([400, expect.stringContaining("use limit=500")]);
  expect((await hub.call("GET", `${FLEETS}?limit=500`, { headers })).status).toBe(200);
  expect((await hub.call("GET", FLEETS)).status).toBe(200);
});

test.each([
  ["a limit that is no number", "limit=x", "limit"],
  ["a negative limit", "limit=-1", "limit"],
  ["an overlong selector", `labelSelector=${"a".repeat(5_000)}`, "labelSelector"],
  ["a version that is no number", "resourceVersion=abc", "resourceVersion"],
  ["a match without a version", "resourceVersionMatch=Exact", "resourceVersionMatch"],
  ["an unknown table option", "includeObject=All", "includeObject"],
])("%s is refused with 400", async (_name, query, word) => {
  const hub = await startTestServer({ resources });
  const answer = await hub.call("GET", `${FLEETS}?${query}`);
  expect(json(answer)).toMatchObject({ code: 400, reason: "BadRequest" });
  expect(answer.text).toContain(word);
});

test("a version that is not written yet is refused so that the client tries again", async () => {
  const hub = await startTestServer({ resources });
  const answer = await hub.call(
    "GET",
    `${FLEETS}?resourceVersion=999&resourceVersionMatch=NotOlderThan`,
  );
  expect(json(answer)).toMatchObject({
    code: 504,
    reason: "Timeout",
    message: "Too large resource version: 999, current: 100",
  });
});

test("patches: merge for every kind, strategic for core kinds, and 415 with the accepted types otherwise", async () => {
  const hub = await startTestServer({ resources });
  resources.put("Fleet", "default", "a");
  resources.put("ConfigMap", "default", "c");
  const patch = (path: string, type: string) =>
    hub.call("PATCH", path, {
      body: '{"metadata":{"labels":{"x":null}}}',
      headers: { "content-type": type },
    });
  expect((await patch(`${FLEETS}/a`, "application/merge-patch+json")).status).toBe(200);
  expect(resources.lastCall("mergePatch")?.slice(0, 2)).toEqual([
    { kind: "Fleet", namespace: "default", name: "a" },
    { metadata: { labels: { x: null } } },
  ]);
  const core = "/api/v1/namespaces/default/configmaps/c";
  expect((await patch(core, "application/strategic-merge-patch+json")).status).toBe(200);
  for (const type of [
    "application/strategic-merge-patch+json",
    "application/json-patch+json",
    "application/apply-patch+yaml",
    "application/json",
  ]) {
    const answer = await patch(`${FLEETS}/a`, type);
    expect(json(answer)).toMatchObject({ code: 415, reason: "UnsupportedMediaType" });
    expect(answer.text).toContain("application/merge-patch+json");
  }
});

test("the status subresource is a target of its own, where the kind has one", async () => {
  const hub = await startTestServer({ resources });
  resources.put("Fleet", "default", "a");
  const answer = await hub.call("PUT", `${FLEETS}/a/status`, { body: fleet("a") });
  expect(answer.status).toBe(200);
  expect(resources.lastCall("update")?.[0]).toMatchObject({ subresource: "status" });
  expect((await hub.call("DELETE", `${FLEETS}/a/status`)).status).toBe(405);
  expect((await hub.call("GET", "/api/v1/namespaces/default/configmaps/a/status")).status).toBe(
    404,
  );
});

test("a dry run is asked for in the query or in the body; what is not understood is refused and not carried out", async () => {
  const hub = await startTestServer({ resources });
  resources.put("Fleet", "default", "a");
  await hub.call("POST", `${FLEETS}?dryRun=All`, { body: fleet("b") });
  expect(resources.lastCall("create")?.at(-1)).toMatchObject({ dryRun: true });
  for (const [query, body] of [
    ["?dryRun=All", undefined],
    ["", '{"dryRun":["All"]}'],
  ] as const) {
    await hub.call("DELETE", `${FLEETS}/a${query}`, body === undefined ? {} : { body });
    expect(resources.lastCall("remove")?.at(-1)).toMatchObject({ dryRun: true });
  }
  const before = resources.calls.length;
  const answer = await hub.call("DELETE", `${FLEETS}/a?dryRun=Some`);
  expect(json(answer)).toMatchObject({ code: 400, message: expect.stringContaining("dryRun") });
  expect(resources.calls.slice(before).filter((c) => c.method !== "get")).toEqual([]);
});

test("delete answers a Success when the object is gone, and the object while finalizers hold it", async () => {
  const hub = await startTestServer({ resources });
  resources.put("Fleet", "default", "a");
  resources.put("Fleet", "default", "f", { metadata: { finalizers: ["x/y"] } });
  const gone = await hub.call("DELETE", `${FLEETS}/a`, {
    body: '{"kind":"DeleteOptions","apiVersion":"v1","propagationPolicy":"Foreground","preconditions":{"uid":"uid-a"}}',
  });
  expect(json(gone)).toEqual({
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Success",
    details: { name: "a", group: "fleet.kurator.dev", kind: "fleets", uid: "uid-a" },
  });
  expect(resources.lastCall("remove")?.[3]).toMatchObject({
    propagationPolicy: "Foreground",
    preconditions: { uid: "uid-a" },
  });
  expect(json(await hub.call("DELETE", `${FLEETS}/f`))).toMatchObject({ kind: "Fleet" });
  expect(json(await hub.call("DELETE", FLEETS))).toMatchObject({
    kind: "FleetList",
    items: [{ kind: "Fleet" }],
  });
});

test("preconditions in a protobuf body are honoured: typed clients send them so", async () => {
  const hub = await startTestServer({ resources });
  resources.put("Fleet", "default", "a");
  const text = (field: number, value: Uint8Array): number[] => [
    field * 8 + 2,
    value.length,
    ...value,
  ];
  const options = text(2, Uint8Array.from(text(1, Buffer.from("other"))));
  const body = Uint8Array.from([0x6b, 0x38, 0x73, 0, ...text(2, Uint8Array.from(options))]);
  const headers = { "content-type": "application/vnd.kubernetes.protobuf" };
  expect((await hub.call("DELETE", `${FLEETS}/a`, { body, headers })).status).toBe(409);
  const broken = await hub.call("DELETE", `${FLEETS}/a`, { body: body.subarray(0, 9), headers });
  expect(json(broken)).toMatchObject({ code: 400 });
  expect(resources.objects.size).toBe(1);
});

test("unknown paths answer plain text, wrong methods a Status", async () => {
  const hub = await startTestServer({ resources });
  for (const path of [
    "/nowhere",
    "/apis/none.dev/v1",
    "/apis/fleet.kurator.dev/v1alpha1/foos",
    "/apis/fleet.kurator.dev/v1alpha1/fleets/a",
    "/api/v1/namespaces/default/nodes",
    "/openapi/v2",
    "/openapi/v3/apis/none.dev/v1",
    "/api/v2",
    `${FLEETS}/a/b/c`,
    `${FLEETS}/a%2Fb`,
  ]) {
    const answer = await hub.call("GET", path);
    expect([path, answer.status, answer.text]).toEqual([path, 404, "404 page not found\n"]);
  }
  expect((await hub.call("GET", `${FLEETS}/%zz`)).status).toBeGreaterThanOrEqual(400);
  for (const [method, path] of [
    ["PUT", FLEETS],
    ["POST", `${FLEETS}/a`],
    ["POST", "/apis/fleet.kurator.dev/v1alpha1/fleets"],
    ["DELETE", "/apis/fleet.kurator.dev/v1alpha1/fleets"],
    ["POST", "/api/v1/nodes"],
    ["PATCH", "/api/v1/namespaces/default/pods/p"],
  ] as const) {
    const answer = await hub.call(method, path, { body: "{}" });
    expect([method, path, answer.status]).toEqual([method, path, 405]);
  }
});

test("all namespaces, cluster-scoped and namespaced paths reach their kinds", async () => {
  const hub = await startTestServer({ resources });
  const asked = async (path: string, method: string): Promise<unknown> => {
    await hub.call("GET", path);
    return resources.lastCall(method);
  };
  expect(await asked("/apis/fleet.kurator.dev/v1alpha1/fleets", "list")).toEqual(["Fleet", {}]);
  expect(await asked("/apis/edge.kurator.dev/v1alpha1/sites/s1", "get")).toEqual([
    "Site",
    "",
    "s1",
  ]);
  expect(await asked("/api/v1/namespaces/n1", "get")).toEqual(["Namespace", "", "n1"]);
  expect(await asked("/api/v1/namespaces/n1/status", "get")).toEqual(["Namespace", "", "n1"]);
  expect(await asked("/api/v1/namespaces/n1/pods/p1", "get")).toEqual(["Pod", "n1", "p1"]);
  expect(
    await asked("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n", "get"),
  ).toEqual(["Lease", "kube-node-lease", "n"]);
});

async function* events(
  list: readonly WatchEvent[],
  signal: AbortSignal,
): AsyncGenerator<WatchEvent> {
  yield* list;
  await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
}

test("a watch streams events as lines, ends at its time-out, and tells an old version within the stream", async () => {
  const hub = await startTestServer({ resources });
  const object = resources.put("Fleet", "default", "a");
  resources.events = (signal) =>
    events(
      [
        { type: "ADDED", object },
        { type: "BOOKMARK", resourceVersion: "101", initialEventsEnd: true },
        { type: "EXPIRED", message: "too old resource version: 1 (90)" },
      ],
      signal,
    );
  const query =
    "watch=1&resourceVersion=1&timeoutSeconds=30&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
  const answer = await hub.call("GET", `${FLEETS}?${query}`);
  expect(answer.status).toBe(200);
  expect(answer.headers["content-type"]).toBe("application/json");
  expect(answer.headers["audit-id"]).toBeDefined();
  const lines = answer.text
    .trim()
    .split("\n")
    .map((line): unknown => JSON.parse(line));
  expect(lines).toMatchObject([
    { type: "ADDED", object: { metadata: { name: "a" } } },
    {
      type: "BOOKMARK",
      object: {
        kind: "Fleet",
        metadata: { resourceVersion: "101", annotations: { "k8s.io/initial-events-end": "true" } },
      },
    },
    {
      type: "ERROR",
      object: { code: 410, reason: "Expired", message: "too old resource version: 1 (90)" },
    },
  ]);
  expect(resources.lastCall("watch")).toEqual([
    "Fleet",
    { namespace: "default", resourceVersion: "1", sendInitialEvents: true, allowBookmarks: true },
  ]);
  resources.events = (signal) => events([], signal);
  const startMs = performance.now();
  const empty = await hub.call("GET", `${FLEETS}?watch=true&timeoutSeconds=1`);
  expect(empty.text).toBe("");
  expect(performance.now() - startMs).toBeGreaterThan(900);
  await vi.waitFor(() => expect(hub.metrics.value("flotilla_hub_http_watches")).toBe(0));
});

test("a watch as a Table sends the column definitions with the first event only", async () => {
  const hub = await startTestServer({ resources });
  const object = resources.put("Fleet", "default", "a");
  resources.events = (signal) =>
    events(
      [
        { type: "ADDED", object },
        { type: "MODIFIED", object },
        { type: "EXPIRED", message: "x" },
      ],
      signal,
    );
  const answer = await hub.call("GET", `${FLEETS}?watch=1`, { headers: { accept: TABLE } });
  const lines = answer.text
    .trim()
    .split("\n")
    .map((line): unknown => JSON.parse(line));
  expect(lines).toMatchObject([
    {
      object: {
        kind: "Table",
        columnDefinitions: expect.arrayContaining([expect.objectContaining({ name: "Name" })]),
        rows: [{ cells: expect.arrayContaining(["a"]) }],
      },
    },
    { object: { kind: "Table", columnDefinitions: null } },
    { type: "ERROR" },
  ]);
});

test("headers of a watch arrive before its first event, and a client that leaves ends it", async () => {
  const hub = await startTestServer({ resources });
  let aborted = false;
  resources.events = (signal) => {
    signal.addEventListener("abort", () => {
      aborted = true;
    });
    return events([], signal);
  };
  const message = await hub.open("GET", `${FLEETS}?watch=1`);
  expect(message.statusCode).toBe(200);
  expect(aborted).toBe(false);
  message.destroy();
  await vi.waitFor(() => expect(aborted).toBe(true));
});

test("a watcher that takes nothing is dropped, and its watch ends", async () => {
  const clock = systemClock();
  const impatient: Clock = {
    bootMs: () => clock.bootMs(),
    wallMs: () => clock.wallMs(),
    sleep: (ms, signal) => clock.sleep(ms === WATCH_STALL_MS_MAX ? 100 : ms, signal),
  };
  const hub = await startTestServer({ resources, clock: impatient });
  const object = resources.put("Fleet", "default", "a", { spec: { x: "y".repeat(100_000) } });
  resources.events = async function* (signal) {
    while (!signal.aborted) {
      yield { type: "MODIFIED", object };
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  const message = await hub.open("GET", `${FLEETS}?watch=1`);
  message.on("error", () => undefined);
  message.pause();
  await vi.waitFor(
    () => expect(hub.metrics.total("flotilla_hub_http_watches_dropped_total")).toBe(1),
    20_000,
  );
  await vi.waitFor(() => expect(hub.metrics.value("flotilla_hub_http_watches")).toBe(0));
}, 30_000);

test("headers that are too large are refused", async () => {
  const hub = await startTestServer();
  const answer = await hub.call("GET", "/healthz", { headers: { "x-large": "x".repeat(20_000) } });
  expect(answer.status).toBe(431);
  expect(json(answer)).toMatchObject({ kind: "Status", status: "Failure" });
});

test("a watch that fails before or within its stream says so as an ERROR event or a Status", async () => {
  const hub = await startTestServer({ resources });
  resources.events = () => {
    throw badRequest("field label not supported: spec.x");
  };
  const answer = await hub.call("GET", `${FLEETS}?watch=1`);
  expect(answer.text).toContain("field label not supported");
  const bad = await hub.call("GET", `${FLEETS}?watch=1&sendInitialEvents=true`);
  expect(json(bad)).toMatchObject({ code: 400 });
});

test("close ends watches, lets a request under way finish, and then refuses connections", async () => {
  let release: (() => void) | undefined;
  const logs = {
    tail: () =>
      new Promise<{ text: string; truncated: boolean }>((resolve) => {
        release = () => resolve({ text: "done\n", truncated: false });
      }),
  };
  const hub = await startTestServer({ resources, logs });
  const watch = await hub.open("GET", `${FLEETS}?watch=1`);
  const log = hub.call("GET", "/api/v1/namespaces/default/pods/p/log?tailLines=5&container=c");
  await vi.waitFor(() => expect(release).toBeDefined());
  const closed = hub.server.close();
  expect((await whole(watch)).text).toBe("");
  release?.();
  expect((await log).text).toBe("done\n");
  await closed;
  await expect(hub.call("GET", "/healthz")).rejects.toThrow(/ECONN|socket/);
});

test("a request that never ends is cut when the drain's time is over", async () => {
  let asked = false;
  const logs = {
    tail: () => {
      asked = true;
      return new Promise<never>(() => undefined);
    },
  };
  const hub = await startTestServer({ logs }, { drainMsMax: 200 });
  const log = hub.call("GET", "/api/v1/namespaces/default/pods/p/log");
  const failed = log.then(() => "answered", String);
  await vi.waitFor(() => expect(asked).toBe(true));
  await hub.server.close();
  expect(await failed).toMatch(/ECONN|socket hang up/);
});

test("a client that sends its headers one by one is cut off", async () => {
  const hub = await startTestServer({}, { headersTimeoutMs: 300 });
  const socket = connectTls({ host: "127.0.0.1", port: hub.port, ca: hub.tls.caCertificate });
  const drip = setInterval(() => socket.write("x-a: b\r\n"), 50);
  socket.on("error", () => undefined);
  socket.write("GET /healthz HTTP/1.1\r\nHost: x\r\n");
  let text = "";
  socket.on("data", (chunk: Buffer) => {
    text += chunk.toString();
  });
  await new Promise((resolve) => socket.on("close", resolve));
  clearInterval(drip);
  expect(text === "" || text.includes("408")).toBe(true);
});

test("logs answer the end of the log as text and refuse what they cannot do", async () => {
  const asked: unknown[] = [];
  const logs = {
    tail: async (request: unknown) => {
      asked.push(request);
      return { text: "ä line\n", truncated: true };
    },
  };
  const hub = await startTestServer({ logs });
  const path = "/api/v1/namespaces/default/pods/p/log";
  const answer = await hub.call("GET", path);
  expect([answer.status, answer.text]).toEqual([200, "ä line\n"]);
  expect(answer.headers["content-type"]).toBe("text/plain; charset=utf-8");
  expect(answer.headers["warning"]).toContain("begins before");
  await hub.call("GET", `${path}?tailLines=99999999&container=web`);
  expect(asked).toEqual([
    { namespace: "default", pod: "p", tailLines: 500 },
    { namespace: "default", pod: "p", tailLines: 10_000, container: "web" },
  ]);
  for (const query of ["follow=true", "previous=true", "sinceSeconds=5"])
    expect(json(await hub.call("GET", `${path}?${query}`))).toMatchObject({ code: 400 });
});

test("readiness names its parts, withholds reasons, and fails while draining", async () => {
  let ready = true;
  const readiness = () => ({
    ready,
    checks: [
      { name: "store", ok: true },
      { name: "broker", ok: ready },
    ],
  });
  const hub = await startTestServer({ readiness });
  expect((await hub.call("GET", "/readyz")).text).toBe("ok");
  expect((await hub.call("GET", "/readyz?verbose")).text).toBe(
    "[+]store ok\n[+]broker ok\nreadyz check passed\n",
  );
  ready = false;
  const failed = await hub.call("GET", "/readyz");
  expect([failed.status, failed.text]).toEqual([
    503,
    "[+]store ok\n[-]broker failed: reason withheld\nreadyz check failed\n",
  ]);
});

test("enrolment needs no token, checks the body's shape and answers errors with code, message and mend", async () => {
  const answerOf = {
    nodeId: "n1",
    shard: "s",
    certificate: "c",
    caCertificate: "ca",
    signingKey: "k",
    mqttUrl: "mqtts://x:1",
  };
  const asked: unknown[] = [];
  const enrolment = {
    join: async (request: { token: string }, from: string) => {
      asked.push([request, from]);
      if (request.token === "used")
        throw new EnrolmentError("token-used", "the token has been used", {
          mend: "Make a new one.",
        });
      if (request.token === "bug") throw new Error("internal detail");
      return answerOf;
    },
    renew: async () => answerOf,
    mintSecret: () => ({ secret: "", secretHash: "" }),
    joinString: () => "",
  };
  const hub = await startTestServer({ enrolment });
  const join = (body: unknown) =>
    hub.call("POST", "/enrolment/v1/join", {
      body: typeof body === "string" ? body : JSON.stringify(body),
      authorization: null,
    });
  const good = { token: "t", nodeName: "n1", csr: "pem" };
  expect(json(await join(good))).toEqual(answerOf);
  expect(asked).toEqual([[good, "127.0.0.1"]]);
  const used = await join({ ...good, token: "used" });
  expect(used.status).toBe(410);
  expect(json(used)).toEqual({
    code: "token-used",
    message: "the token has been used",
    mend: "Make a new one.",
  });
  const bug = await join({ ...good, token: "bug" });
  expect(bug.status).toBe(500);
  expect(bug.text).not.toContain("internal detail");
  for (const bad of [
    "{",
    "[]",
    { ...good, csr: 5 },
    { nodeName: "n1", csr: "x" },
    { ...good, nodeName: "n".repeat(64) },
  ]) {
    const answer = await join(bad);
    expect([answer.status, json(answer)]).toMatchObject([400, { code: "bad-request" }]);
  }
  const large = await join({ ...good, csr: "x".repeat(20_000) });
  expect(large.status).toBe(413);
});

test("enrolment is limited per address", async () => {
  const hub = await startTestServer();
  const statuses: number[] = [];
  for (let i = 0; i < 130; i++)
    statuses.push(
      (await hub.call("POST", "/enrolment/v1/join", { body: "{}", authorization: null })).status,
    );
  expect(statuses.slice(0, 100)).not.toContain(429);
  expect(statuses).toContain(429);
  expect(hub.metrics.total("flotilla_hub_http_rate_limited_total")).toBeGreaterThan(0);
});

test("reviews say that the user may do everything, and who the user is, whatever the body's encoding", async () => {
  const hub = await startTestServer();
  const headers = { "content-type": "application/vnd.kubernetes.protobuf" };
  const post = (path: string) => hub.call("POST", path, { body: "k8s\0\n", headers });
  expect(json(await post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"))).toMatchObject({
    status: { allowed: true },
  });
  expect(json(await post("/apis/authentication.k8s.io/v1/selfsubjectreviews"))).toMatchObject({
    status: { userInfo: { username: "admin" } },
  });
});

test("requests are counted by verb and status class, never by path", async () => {
  const hub = await startTestServer({ resources });
  await hub.call("GET", FLEETS);
  await hub.call("GET", `${FLEETS}/none`);
  await vi.waitFor(() => {
    expect(
      hub.metrics.total("flotilla_hub_http_requests_total", { verb: "list", class: "2xx" }),
    ).toBe(1);
    expect(
      hub.metrics.total("flotilla_hub_http_requests_total", { verb: "get", class: "4xx" }),
    ).toBe(1);
  });
});

test("a new certificate serves the connections to come", async () => {
  const first = await startTestServer();
  const second = await startTestServer();
  first.server.replaceCertificate(second.tls);
  const socket = connectTls({ host: "127.0.0.1", port: first.port, ca: second.tls.caCertificate });
  await new Promise((resolve, reject) => socket.on("secureConnect", resolve).on("error", reject));
  expect(socket.authorized).toBe(true);
  socket.destroy();
});

test("the token is in no log line and no answer", async () => {
  const hub: TestServer = await startTestServer({ resources });
  resources.failure = new Error("x");
  const answers = [await hub.call("GET", FLEETS), await hub.call("GET", "/nowhere")];
  expect(JSON.stringify([hub.log.lines, answers])).not.toContain(TEST_TOKEN);
});
