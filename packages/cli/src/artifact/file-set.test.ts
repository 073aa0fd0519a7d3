import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { RELEASE_FILES_MAX } from "@flotilla/shared/model/artifact";
import { afterEach, beforeEach, expect, test } from "vitest";
import { RELEASE_FILE_BYTES_MAX, readFileSet } from "./file-set.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "file-set-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function write(path: string, content = "x"): string {
  const whole = join(folder, path);
  mkdirSync(dirname(whole), { recursive: true });
  writeFileSync(whole, content);
  return whole;
}

const pathsOf = (...args: readonly string[]): readonly string[] =>
  readFileSet(args).map((file) => file.path);

test("files come under their names, a folder's under their paths in it, in one order", () => {
  const labels = write("elsewhere/labels.json", "{}");
  write("model/weights/part-2.bin", "22");
  write("model/model.json");
  expect(readFileSet([labels, join(folder, "model")])).toEqual([
    { source: labels, path: "labels.json", length: 2 },
    { source: join(folder, "model/model.json"), path: "model.json", length: 1 },
    { source: join(folder, "model/weights/part-2.bin"), path: "weights/part-2.bin", length: 2 },
  ]);
});

test("a symbolic link is refused, also as an argument and to a folder", () => {
  const model = write("real/model.onnx");
  symlinkSync(model, join(folder, "link.onnx"));
  mkdirSync(join(folder, "set"));
  symlinkSync(join(folder, "real"), join(folder, "set/inside"));
  expect(() => pathsOf(join(folder, "link.onnx"))).toThrow(/link.onnx is a symbolic link/);
  expect(() => pathsOf(join(folder, "set"))).toThrow(/inside is a symbolic link/);
});

test("a device is refused", () => {
  expect(() => pathsOf("/dev/null")).toThrow(/null is no regular file/);
});

test.each([".hidden", "-flag", "with space", "ümlaut", "a$b", "colon:name"])(
  "the name %s is refused, of a file and of a folder",
  (name) => {
    write(`files/${name}`);
    expect(() => pathsOf(join(folder, "files"))).toThrow(/a name that no release may have/);
    write(`folders/${name}/f`);
    expect(() => pathsOf(join(folder, "folders"))).toThrow(/a name that no release may have/);
  },
);

test("arguments with .. are read, and leave nothing of it in a path", () => {
  write("a/model.onnx");
  mkdirSync(join(folder, "b"));
  expect(pathsOf(join(folder, "b", "..", "a", "model.onnx"))).toEqual(["model.onnx"]);
  expect(pathsOf(`${folder}/b/../a`)).toEqual(["model.onnx"]);
});

test("two files of one path, and a file where another needs a folder, are refused", () => {
  write("a/model.onnx");
  write("b/model.onnx");
  expect(() => pathsOf(join(folder, "a"), join(folder, "b"))).toThrow(/has the path model.onnx/);
  write("c/sub/f");
  const file = write("d/sub");
  expect(() => pathsOf(join(folder, "c"), file)).toThrow(/would lie within/);
});

test("a file beyond RELEASE_FILE_BYTES_MAX is refused before it is read", () => {
  const path = write("big.bin");
  truncateSync(path, RELEASE_FILE_BYTES_MAX + 1);
  expect(() => pathsOf(path)).toThrow(/big.bin has 68719476737 bytes, at most 68719476736/);
});

test("RELEASE_FILES_MAX files are taken, one more is not", () => {
  for (let i = 0; i < RELEASE_FILES_MAX; i++) write(`many/f${i}`);
  expect(pathsOf(join(folder, "many"))).toHaveLength(RELEASE_FILES_MAX);
  write("many/one-more");
  expect(() => pathsOf(join(folder, "many"))).toThrow(/more than 256 files/);
});

test("nothing to release, and what is not there, are said", () => {
  mkdirSync(join(folder, "empty"));
  expect(() => pathsOf(join(folder, "empty"))).toThrow(/there is no file/);
  expect(() => pathsOf(join(folder, "nowhere"))).toThrow(/nowhere cannot be read/);
});
