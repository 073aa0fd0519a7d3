import { LOG_CHUNK_BYTES_MAX } from "@flotilla/shared/protocol/limits";
import { LogChunk } from "@flotilla/shared/protocol/up/log-chunk";
import fc from "fast-check";
import { Compile } from "typebox/compile";
import { expect, test } from "vitest";
import { logAnswer } from "./log-answer.ts";

const request = { instance: "a.b.c-0", tailLines: 10 };

test("a log that is not there is answered with the reason", () => {
  expect(logAnswer(request, undefined)).toMatchObject({
    text: "",
    error: "this node has no log of it",
  });
});

test("a short log goes as it is", () => {
  expect(logAnswer(request, { text: "one\ntwo\n", truncated: false })).toEqual({
    instance: "a.b.c-0",
    text: "one\ntwo\n",
    truncated: false,
  });
});

test("of a long log the newest whole lines fit, whatever the characters", () => {
  const line = fc.string({ unit: "binary", maxLength: 40 }).map((s) => s.replaceAll("\n", ""));
  fc.assert(
    fc.property(line, (text) => {
      const long = `${text}end\n`.repeat(
        Math.ceil((LOG_CHUNK_BYTES_MAX * 1.5) / (text.length + 4)),
      );
      const answer = logAnswer(request, { text: long, truncated: false });
      expect(Compile(LogChunk).Check(answer)).toBe(true);
      expect(new TextEncoder().encode(answer.text).length).toBeLessThanOrEqual(LOG_CHUNK_BYTES_MAX);
      expect(answer.text.endsWith("end\n")).toBe(true);
      expect(answer.truncated).toBe(true);
    }),
    { seed: 42, numRuns: 30 },
  );
});
