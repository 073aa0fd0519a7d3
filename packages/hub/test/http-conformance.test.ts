import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { type Answer, startTestServer, type TestServer } from "./support/http-server.ts";
import { realResources } from "./support/real-resources.ts";

/**
 * Requests and answers recorded from kube-apiserver 1.36 for a kind like our Fleet (values that change from run to run are
 * `#`, managedFields and an empty continue are left out), replayed in order. Status, content type, every word of an error, and the shape of everything else must be the same.
 */
interface Recorded {
  readonly name: string;
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly status: number;
  readonly contentType: string;
  readonly response?: unknown;
}

const RECORDED = JSON.parse(
  readFileSync(new URL("./fixtures/kube-apiserver-1.36.json", import.meta.url), "utf8"),
) as readonly Recorded[];

/** Left out, each with its reason. What is not served yet is refused, which http.test.ts covers. */
const LEFT_OUT: Readonly<Record<string, string>> = {
  "create missing req": "clusters is optional in our Fleet",
  "create dry": "no dry run yet",
  "delete dry": "no dry run yet",
  "watch old rv": "version 1 is still in our log; http.test.ts has it",
  "merge patch": "our Fleet has no field paused",
  "json patch": "no JSON patch yet",
  "json patch bad test": "no JSON patch yet",
  apply: "no server-side apply yet",
  "apply json": "no server-side apply yet",
  "apply conflict": "no server-side apply yet",
  "apply force": "no server-side apply yet",
  "apply no mgr": "no server-side apply yet",
  "apply m1 drop": "no server-side apply yet",
  "put status": "our conditions have more required fields, which are named first",
  v3: "the real server answers its index as text/plain",
};

/** Errors that say the same in other words: the start that both have. */
const MESSAGE_STARTS: Readonly<Record<string, string>> = {
  "create bad json": "the object provided is unrecognized",
  "create text":
    "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml",
  strategic:
    "the body of the request was in an unknown format - accepted media types include: application/merge-patch+json",
  "list bad continue": "invalid continue token",
  "delete uid mismatch": "Operation cannot be fulfilled on",
};

test("the recorded requests are answered as kube-apiserver answered them", async () => {
  const hub = await startTestServer({ resources: realResources() });
  const differences: unknown[] = [];
  for (const recorded of RECORDED.filter((r) => LEFT_OUT[r.name] === undefined)) {
    const answer = await replay(hub, recorded);
    const got = summary(
      recorded,
      answer.status,
      answer.headers["content-type"] ?? "",
      valueOf(answer),
    );
    const wanted = summary(recorded, recorded.status, recorded.contentType, recorded.response);
    if (JSON.stringify(got) !== JSON.stringify(wanted))
      differences.push({ name: recorded.name, wanted, got });
  }
  expect(differences).toEqual([]);
});

function replay(hub: TestServer, recorded: Recorded): Promise<Answer> {
  const { method, headers, body } = recorded;
  // kube-apiserver takes a POST to an object's own path as one to its collection; we answer 405 to that.
  const url = recorded.name === "post to name" ? recorded.url.replace(/\/x1$/, "") : recorded.url;
  return hub.call(method, url, { headers, ...(body === undefined ? {} : { body }) });
}

function valueOf(answer: Answer): unknown {
  const type = answer.headers["content-type"] ?? "";
  if (!type.startsWith("application/json")) return answer.text;
  if (answer.headers["transfer-encoding"] !== "chunked") return JSON.parse(answer.text);
  // A watch: one value a line.
  const lines = answer.text.trim().split("\n");
  return lines.map((line): unknown => JSON.parse(line));
}

/** What must be the same of two answers. */
function summary(recorded: Recorded, status: number, contentType: string, value: unknown): unknown {
  if (recorded.response === undefined) return { status, contentType };
  if (typeof value === "string")
    return { status, contentType, text: recorded.status === 404 ? value : undefined };
  const start = MESSAGE_STARTS[recorded.name];
  const isFailure = typeof value === "object" && value !== null && "reason" in value;
  if (!isFailure) return { status, contentType, shape: shapeOf(value) };
  if (start === undefined) return { status, contentType, failure: sorted(value) };
  const message = "message" in value ? String(value.message).startsWith(start) : false;
  const begins = message || value === recorded.response;
  return { status, contentType, begins, reason: value.reason };
}

/** Sorted paths of a value; the members of a list count as one. */
function shapeOf(value: unknown): readonly string[] {
  const paths = new Set<string>();
  const walk = (v: unknown, path: string): void => {
    if (Array.isArray(v)) for (const item of v) walk(item, `${path}[]`);
    else if (typeof v === "object" && v !== null)
      for (const [key, inner] of Object.entries(v)) walk(inner, `${path}.${key}`);
    else paths.add(path);
  };
  walk(value, "");
  return [...paths].sort();
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([k, v]) => [k, sorted(v)]),
  );
}
