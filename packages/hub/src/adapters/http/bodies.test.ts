import { canonicalJson } from "@flotilla/shared/kernel/json";
import fc from "fast-check";
import { expect, test } from "vitest";
import { stringify } from "yaml";
import { ApiError } from "../../domain/resources/api-error.ts";
import { decodeJson, decodeYaml } from "./bodies.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const value = fc
  .jsonValue({ maxDepth: 6 })
  .filter((v) => !JSON.stringify(v).includes('"__proto__"'));

test("what was written as JSON or as YAML is read as the same value", () => {
  fc.assert(
    fc.property(value, (v) => {
      const text = canonicalJson(v);
      expect(canonicalJson(decodeJson(bytes(text)))).toBe(text);
      // YAML has no negative zero of its own in JSON's sense; canonical JSON has none either.
      expect(canonicalJson(decodeYaml(bytes(stringify(JSON.parse(text)))))).toBe(text);
    }),
    { seed: 42, numRuns: 200 },
  );
});

test("brackets within YAML texts are no nesting", () => {
  const many = "[".repeat(50);
  const text = `a: "${many}"\nb: '${many}'\nc: |\n  ${many}\n  [\n  [\nd: x${many}\n`;
  expect(decodeYaml(bytes(text))).toMatchObject({ a: many, b: many });
});

test("arbitrary bytes are read or refused as a bad request, never anything else", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 64 }),
      fc.string({ unit: "grapheme", maxLength: 64 }),
      (raw, text) => {
        for (const body of [raw, bytes(text)])
          for (const decode of [decodeJson, decodeYaml])
            expect(refusal(() => decode(body))).toBeOneOf([undefined, "BadRequest"]);
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
