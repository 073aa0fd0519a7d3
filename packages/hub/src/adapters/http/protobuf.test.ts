import fc from "fast-check";
import { expect, test } from "vitest";
import { ApiError } from "../../domain/resources/api-error.ts";
import { messageField, readEnvelope, readFields, textField } from "./protobuf.ts";

test("varints, texts and nested messages are read by field number", () => {
  const fields = readFields(
    Uint8Array.from([0x08, 0xac, 0x02, 0x12, 0x02, 0x68, 0x69, 0x1a, 0x02, 0x08, 0x01]),
  );
  expect(fields.get(1)).toEqual([300]);
  expect(textField(fields, 2)).toBe("hi");
  expect(messageField(fields, 3)?.get(1)).toEqual([1]);
  expect(textField(fields, 9)).toBeUndefined();
});

test("arbitrary bytes are read or refused as a bad request", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (raw) => {
      for (const body of [raw, Uint8Array.from([0x6b, 0x38, 0x73, 0, ...raw])])
        expect(refusal(() => readEnvelope(body))).toBeOneOf([undefined, "BadRequest"]);
    }),
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
