import fc from "fast-check";
import { expect, test } from "vitest";
import { ApiError } from "../../domain/resources/api-error.ts";
import { decodeProtobufObject } from "./protobuf-objects.ts";

const field = (number: number, value: string | Uint8Array): Uint8Array => {
  const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value;
  return Uint8Array.from([number * 8 + 2, bytes.length, ...bytes]);
};
const flag = (number: number, value: number): Uint8Array => Uint8Array.from([number * 8, value]);
const message = (...fields: readonly Uint8Array[]): Uint8Array =>
  Uint8Array.from(fields.flatMap((f) => [...f]));
const entry = (number: number, key: string, value: string | Uint8Array): Uint8Array =>
  field(number, message(field(1, key), field(2, value)));
const envelope = (raw: Uint8Array): Uint8Array =>
  Uint8Array.from([
    0x6b,
    0x38,
    0x73,
    0,
    ...field(1, message(field(1, "v1"), field(2, "X"))),
    ...field(2, raw),
  ]);

const META = field(
  1,
  message(
    field(1, "n"),
    field(2, ""),
    field(3, "ns"),
    field(8, ""),
    entry(11, "a", "b"),
    field(14, "x/y"),
    field(
      13,
      message(field(1, "Fleet"), field(3, "f"), field(4, "u"), field(5, "g/v"), flag(6, 1)),
    ),
  ),
);

test("a Secret, a ConfigMap and a Namespace are read as the JSON that they stand for", () => {
  const metadata = {
    name: "n",
    namespace: "ns",
    labels: { a: "b" },
    finalizers: ["x/y"],
    ownerReferences: [{ kind: "Fleet", name: "f", uid: "u", apiVersion: "g/v", controller: true }],
  };
  const secret = message(
    META,
    entry(2, "k", Uint8Array.from([0xff])),
    field(3, "Opaque"),
    entry(4, "s", "t"),
  );
  expect(decodeProtobufObject("Secret", envelope(secret))).toEqual({
    apiVersion: "v1",
    kind: "Secret",
    metadata,
    data: { k: "/w==" },
    type: "Opaque",
    stringData: { s: "t" },
  });
  const config = message(META, entry(2, "k", "v"), entry(3, "b", Uint8Array.from([1])), flag(4, 0));
  expect(decodeProtobufObject("ConfigMap", envelope(config))).toEqual({
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata,
    data: { k: "v" },
    binaryData: { b: "AQ==" },
    immutable: false,
  });
  const namespace = message(META, field(2, field(1, "kubernetes")), field(3, ""));
  expect(decodeProtobufObject("Namespace", envelope(namespace))).toEqual({
    apiVersion: "v1",
    kind: "Namespace",
    metadata,
    spec: { finalizers: ["kubernetes"] },
  });
});

test("other kinds are refused with the types that would do", () => {
  expect(() => decodeProtobufObject("Fleet", envelope(META))).toThrow(/application\/json/);
});

test("arbitrary bytes are read or refused as a bad request", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 64 }),
      fc.constantFrom("Secret", "ConfigMap", "Namespace"),
      (raw, kind) => {
        for (const body of [raw, envelope(raw)])
          expect(refusal(() => decodeProtobufObject(kind, body))).toBeOneOf([
            undefined,
            "BadRequest",
          ]);
      },
    ),
    { seed: 42, numRuns: 500 },
  );
});

function refusal(work: () => unknown): string | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    return error instanceof ApiError ? error.code : String(error);
  }
}
