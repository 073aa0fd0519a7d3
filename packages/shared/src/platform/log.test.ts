import { Writable } from "node:stream";
import fc from "fast-check";
import { expect, test } from "vitest";
import { CodedError } from "../kernel/errors.ts";
import { createLog } from "./log.ts";
import { LOG_STRING_LENGTH_MAX, REDACTED, redactFields } from "./redact.ts";

const CANARY = "canary-5f1d";

function logged(level: string | undefined, write: (log: ReturnType<typeof createLog>) => void) {
  const chunks: string[] = [];
  const destination = new Writable({
    write: (chunk, _encoding, done) => {
      chunks.push(String(chunk));
      done();
    },
  });
  write(createLog({ name: "test", destination, ...(level === undefined ? {} : { level }) }));
  return chunks.join("");
}

const linesOf = (text: string): Record<string, unknown>[] =>
  text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));

test("a line is one JSON object with level, time, name, the fields of its parents and its own", () => {
  const [line] = linesOf(
    logged(undefined, (log) => log.child({ feature: "link" }).info({ node: "n1" }, "connected")),
  );
  expect(line).toMatchObject({
    level: "info",
    name: "test",
    feature: "link",
    node: "n1",
    msg: "connected",
  });
  expect(String(line?.["time"])).toMatch(/^\d{4}-\d\d-\d\dT.*Z$/);
});

test("lines below the level are not printed", () => {
  const write = (log: ReturnType<typeof createLog>): void => {
    log.debug({}, "d");
    log.info({}, "i");
    log.warn({}, "w");
    log.error({}, "e");
  };
  expect(linesOf(logged("warn", write)).map((line) => line["msg"])).toEqual(["w", "e"]);
  expect(linesOf(logged("debug", write))).toHaveLength(4);
  expect(logged("silent", write)).toBe("");
});

test.each([
  { token: CANARY },
  { joinToken: CANARY },
  { "join-token": CANARY },
  { client_secret: CANARY },
  { password: CANARY },
  { headers: { Authorization: CANARY, cookie: [CANARY] } },
  { tls: { privateKey: CANARY, key: CANARY, csr: CANARY } },
  { kubeconfig: { users: [{ name: CANARY }] } },
  { stringData: { a: CANARY } },
  { object: { kind: "Secret", data: { a: CANARY } } },
  { annotations: { "kubectl.kubernetes.io/last-applied-configuration": CANARY } },
  { deep: { a: [{ b: { c: [{ token: CANARY }] } }] } },
  { note: `-----BEGIN EC PRIVATE KEY-----\n${CANARY}\n-----END EC PRIVATE KEY-----` },
  { note: `GET / Authorization: Bearer ${CANARY}` },
  { bytes: new TextEncoder().encode(CANARY) },
  { err: Object.assign(new Error(`Bearer ${CANARY}`), { token: CANARY }) },
  { err: new CodedError("x", "m", { fields: { password: CANARY }, cause: new Error("c") }) },
  { map: new Map([["token", CANARY]]) },
])("no secret is printed: %j", (fields) => {
  const text = logged("debug", (log) => {
    log.error(fields, "m");
    log.child(fields).debug({}, "m");
  });
  expect(text).not.toContain(CANARY);
  expect(linesOf(text)).toHaveLength(2);
});

test("what is no secret stays readable", () => {
  const fields = {
    keyId: "0011",
    tokenCount: 3,
    configMap: { kind: "ConfigMap", data: { a: "b" } },
  };
  expect(redactFields(fields)).toEqual(fields);
});

test("an error is printed with its code, its fields, its mend and its cause", () => {
  const error = new CodedError("disk-full", "no space", {
    fields: { path: "/x" },
    mend: "Free space.",
    cause: new Error("ENOSPC"),
  });
  expect(redactFields({ err: error })).toMatchObject({
    err: {
      name: "CodedError",
      code: "disk-full",
      message: "no space",
      fields: { path: "/x" },
      mend: "Free space.",
      cause: { message: "ENOSPC" },
    },
  });
});

test("endless, cyclic and odd values are cut down instead of failing", () => {
  const cyclic: Record<string, unknown> = {
    big: 2n ** 70n,
    nothing: undefined,
    when: new Date(Number.NaN),
  };
  cyclic["self"] = cyclic;
  const text = logged("info", (log) =>
    log.info({ cyclic, long: "x".repeat(10 * LOG_STRING_LENGTH_MAX), f: () => 1 }, "m"),
  );
  expect(text.length).toBeLessThan(2 * LOG_STRING_LENGTH_MAX);
  expect(linesOf(text)).toHaveLength(1);
});

test("any fields at all give one line of JSON", () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.string(), fc.anything({ withBigInt: true, withDate: true })),
      (fields) => {
        expect(linesOf(logged("info", (log) => log.info(fields, "m")))).toHaveLength(1);
      },
    ),
    { seed: 42, numRuns: 300 },
  );
});

test("the mark of a redacted value shows that something was there", () => {
  expect(redactFields({ token: "", password: undefined })).toEqual({
    token: REDACTED,
    password: undefined,
  });
});
