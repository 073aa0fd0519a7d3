import { CodedError } from "@flotilla/shared/kernel/errors";
import type { Bytes } from "@flotilla/shared/protocol/down/bytes";
import { BYTES_ANSWER_BYTES_MAX } from "@flotilla/shared/protocol/limits";
import { type BytesGet } from "@flotilla/shared/protocol/up/bytes-get";
import { expect, test } from "vitest";
import { type ArtifactQuestions, LinkSource } from "./link-source.ts";

const signal = new AbortController().signal;
const FILE = Uint8Array.from({ length: BYTES_ANSWER_BYTES_MAX + 1_000 }, (_, i) => i * 7);

function base64(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

const honest = ({ offset, length }: BytesGet): Bytes => ({
  data: base64(FILE.subarray(offset, offset + length)),
  totalBytes: FILE.length,
});

function sourceOf(answer: (body: BytesGet) => Bytes | Error): LinkSource {
  const ask = async (question: { readonly body: unknown }): Promise<unknown> => {
    const result = answer(question.body as BytesGet);
    if (result instanceof Error) throw result;
    return result;
  };
  return new LinkSource({ questions: { ask: ask as ArtifactQuestions["ask"] } });
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  const error: unknown = await work.catch((e: unknown) => e);
  return error instanceof CodedError ? error.code : "none";
}

test("ranges and whole things come as they are, in as many answers as it takes", async () => {
  const source = sourceOf(honest);
  const range = { path: "payloads/p", offset: 5, length: 100, signal };
  expect(await source.read(range)).toEqual(FILE.slice(5, 105));
  const whole = { path: "metadata/m", bytesMax: FILE.length, signal };
  expect(await source.readWhole(whole)).toEqual(FILE);
  expect(await codeOf(source.readWhole({ ...whole, bytesMax: FILE.length - 1 }))).toBe(
    "source-misbehaves",
  );
});

test.each<readonly [string, (body: BytesGet) => Bytes | Error, string]>([
  [
    "too few bytes",
    () => ({ data: base64(FILE.slice(0, 99)), totalBytes: 1_000 }),
    "source-misbehaves",
  ],
  [
    "too many bytes",
    () => ({ data: base64(FILE.slice(0, 101)), totalBytes: 1_000 }),
    "source-misbehaves",
  ],
  ["no base64", () => ({ data: "***", totalBytes: 1_000 }), "source-misbehaves"],
  ["nothing there", () => ({ data: "", totalBytes: 0, error: "not-found" }), "source-absent"],
  ["too much to do", () => ({ data: "", totalBytes: 0, error: "busy" }), "source-busy"],
  ["a failure", () => ({ data: "", totalBytes: 0, error: "failed" }), "source-unreachable"],
  ["no session", () => new CodedError("link-down", "down"), "source-unreachable"],
  ["too many questions", () => new CodedError("link-busy", "busy"), "source-busy"],
])("an answer with %s is told apart", async (_name, answer, code) => {
  const range = { path: "payloads/p", offset: 0, length: 100, signal };
  expect(await codeOf(sourceOf(answer).read(range))).toBe(code);
});

test("a whole thing that becomes another one, or never ends, is refused", async () => {
  const whole = { path: "metadata/m", bytesMax: 1_000_000, signal };
  const changing = sourceOf((body) => ({
    ...honest(body),
    totalBytes: body.offset === 0 ? FILE.length : FILE.length + 1,
  }));
  expect(await codeOf(changing.readWhole(whole))).toBe("source-misbehaves");
  const endless = sourceOf((body) =>
    body.offset === 0 ? honest(body) : { data: "", totalBytes: FILE.length },
  );
  expect(await codeOf(endless.readWhole(whole))).toBe("source-misbehaves");
  const absent = sourceOf(() => ({ data: "", totalBytes: 0, error: "not-found" }));
  expect(await absent.readWhole(whole)).toBe("absent");
});
