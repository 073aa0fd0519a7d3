import { mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { HostLockFiles } from "./lock-file-reader.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "flotilla-lock-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const read = (): unknown => new HostLockFiles().read(join(folder, "update.lock"));

test("the text of a lock file is its reason, cut off and without control characters", () => {
  expect(read()).toBeUndefined();
  writeFileSync(join(folder, "update.lock"), `shift\n\u001b[2J runs\n${"x".repeat(10_000)}`);
  utimesSync(join(folder, "update.lock"), 100, 100);
  const reason: unknown = Object(read()).reason;
  expect(reason).toMatch(/^shift \[2J runs x+$/);
  expect(String(reason).length).toBeLessThanOrEqual(256);
  expect(read()).toMatchObject({ changedWallMs: 100_000 });
  writeFileSync(join(folder, "update.lock"), "");
  expect(read()).toMatchObject({ reason: "a lock file" });
});

test("a link and a folder hold nothing back", () => {
  writeFileSync(join(folder, "elsewhere"), "a secret");
  symlinkSync("elsewhere", join(folder, "update.lock"));
  expect(read()).toBeUndefined();
  rmSync(join(folder, "update.lock"));
  mkdirSync(join(folder, "update.lock"));
  expect(read()).toBeUndefined();
});
