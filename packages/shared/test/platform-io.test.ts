import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Type } from "typebox";
import { afterEach, beforeEach, expect, test } from "vitest";
import { uuid } from "../src/kernel/random.ts";
import { clockFrom, systemClock } from "../src/platform/clock.ts";
import { CONFIG_BYTES_MAX, loadConfig } from "../src/platform/config.ts";
import { ensureDirectory, readFileIfExists, writeFileDurable } from "../src/platform/files.ts";
import { systemRandom } from "../src/platform/random.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "flotilla-platform-"));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

test("a durable write replaces the whole file with exactly the mode, and leaves nothing beside it", () => {
  const path = join(folder, "epoch");
  writeFileDurable(path, "1", 0o644);
  writeFileSync(`${path}.tmp`, "left by a crash");
  writeFileDurable(path, new Uint8Array([50, 51]), 0o600);
  expect(readFileSync(path, "utf8")).toBe("23");
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(readdirSync(folder)).toEqual(["epoch"]);
});

test("a durable write that fails leaves the old content", () => {
  const path = join(folder, "epoch");
  writeFileDurable(path, "1", 0o600);
  mkdirSync(`${path}.tmp`);
  expect(() => writeFileDurable(path, "2", 0o600)).toThrow(/directory/i);
  expect(readFileIfExists(path)).toBe("1");
});

test("a file that does not exist reads as undefined, one that cannot be read throws", () => {
  expect(readFileIfExists(join(folder, "none"))).toBeUndefined();
  expect(() => readFileIfExists(folder)).toThrow("EISDIR");
});

test("a folder is made with its mode, and making it again changes nothing", () => {
  const path = join(folder, "a", "b");
  ensureDirectory(path, 0o700);
  ensureDirectory(path, 0o755);
  expect(statSync(path).mode & 0o777).toBe(0o700);
});

test("the boot clock follows the kernel's up time, and never goes back", async () => {
  const clock = systemClock();
  const first = clock.bootMs();
  await clock.sleep(30);
  const second = clock.bootMs();
  expect(second - first).toBeGreaterThanOrEqual(20);
  expect(second - first).toBeLessThan(10_000);
  expect(Math.abs(clock.wallMs() - Date.now())).toBeLessThan(5_000);
});

test("boot time jumps over a suspend, and goes on by the running clock when it cannot be read", async () => {
  const readings: (number | undefined)[] = [1_000, 1_100, 7_201_100, undefined, undefined];
  const clock = clockFrom(() => readings.shift());
  expect(clock.bootMs()).toBe(1_100);
  expect(clock.bootMs()).toBe(7_201_100);
  await clock.sleep(20);
  const afterMs = clock.bootMs();
  expect(afterMs).toBeGreaterThanOrEqual(7_201_110);
  expect(afterMs).toBeLessThan(7_211_100);
});

test("a sleep longer than a timer can count does not end at once, and ends when aborted", async () => {
  const stop = new AbortController();
  let woke = false;
  const sleeping = systemClock()
    .sleep(400 * 86_400_000, stop.signal)
    .finally(() => {
      woke = true;
    });
  await systemClock().sleep(20);
  expect(woke).toBe(false);
  stop.abort(new Error("enough"));
  await expect(sleeping).rejects.toThrow("enough");
  await expect(systemClock().sleep(1, stop.signal)).rejects.toThrow("enough");
});

test("random numbers are in [0, 1), and bytes are as many as asked for", () => {
  const random = systemRandom();
  const draws = Array.from({ length: 1_000 }, () => random.unit("test"));
  expect(draws.every((x) => x >= 0 && x < 1)).toBe(true);
  expect(new Set(draws).size).toBe(1_000);
  expect(random.bytes(32, "test")).toHaveLength(32);
});

test("draws of any size are as long as asked for and never given twice", () => {
  const random = systemRandom();
  const sizes = [0, 1, 16, 4_095, 4_096, 4_097, 16, 70_000, 16];
  expect(sizes.map((size) => random.bytes(size, "test").length)).toEqual(sizes);
  const draws = Array.from({ length: 2_000 }, () => random.bytes(16, "test"));
  expect(draws.every((bytes) => bytes.buffer.byteLength === bytes.byteLength)).toBe(true);
  expect(new Set(draws.map((bytes) => bytes.join())).size).toBe(2_000);
});

test("UUIDs are of version 4 and variant 10", () => {
  const random = systemRandom();
  const ids = Array.from({ length: 500 }, () => uuid(random, "test"));
  const form = /^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/;
  expect(ids.filter((id) => !form.test(id))).toEqual([]);
  expect(new Set(ids.map((id) => id.charAt(19)))).toEqual(new Set(["8", "9", "a", "b"]));
});

const Config = Type.Object(
  {
    dataDir: Type.String({ minLength: 1 }),
    port: Type.Integer({ minimum: 0, maximum: 65_535, default: 8443 }),
    verbose: Type.Boolean({ default: false }),
  },
  { additionalProperties: false },
);

test("flags win over the file, the file over the defaults, and text flags take the field's type", () => {
  const file = join(folder, "hub.json");
  writeFileSync(file, JSON.stringify({ dataDir: "/file", port: 1 }));
  expect(loadConfig(Config, { file, flags: { port: "2", "data-dir": undefined } })).toEqual({
    dataDir: "/file",
    port: 2,
    verbose: false,
  });
  expect(loadConfig(Config, { flags: { "data-dir": "/flag" } }).port).toBe(8443);
});

test.each<[string, Record<string, unknown>, string, string]>([
  ["a missing field", {}, "dataDir is missing", "--data-dir"],
  ["a wrong type", { dataDir: "/d", port: "many" }, "port must be integer", "--port"],
  ["a value out of range", { dataDir: "/d", port: 70_000 }, "port must be <= 65535", "--port"],
  ["an unknown field", { dataDir: "/d", prot: 1 }, "prot is not known", "--prot"],
])("%s is refused; the error names the field and the mend", (_, flags, message, mend) => {
  expect(() => loadConfig(Config, { flags })).toThrow(
    expect.objectContaining({
      code: "config-invalid",
      message: expect.stringContaining(message),
      mend: expect.stringContaining(mend),
    }),
  );
});

test.each<[string, string]>([
  ["no JSON", "{ port: 1"],
  ["a list", "[]"],
  ["too deep", "[".repeat(100)],
  ["too large", " ".repeat(CONFIG_BYTES_MAX + 1)],
])("a configuration file that is %s is refused with the file's name", (_, text) => {
  const file = join(folder, "hub.json");
  writeFileSync(file, text);
  expect(() => loadConfig(Config, { file, flags: {} })).toThrow(
    expect.objectContaining({ code: "config-unreadable", message: expect.stringContaining(file) }),
  );
});

test("a configuration file that does not exist, or sets a prototype, changes nothing else", () => {
  expect(() => loadConfig(Config, { file: join(folder, "none"), flags: {} })).toThrow(
    expect.objectContaining({ code: "config-unreadable" }),
  );
  const file = join(folder, "hub.json");
  writeFileSync(file, '{"__proto__": {"polluted": true}, "dataDir": "/d"}');
  expect(() => loadConfig(Config, { file, flags: {} })).toThrow("__proto__ is not known");
  expect("polluted" in {}).toBe(false);
});
