import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { lockStateDir } from "../src/adapters/store/state-lock.ts";
import { testFolder } from "./support/real-node.ts";

const CHILD = join(import.meta.dirname, "support/lock-child.ts");

let folder: ReturnType<typeof testFolder>;
beforeEach(() => {
  folder = testFolder();
});
afterEach(() => folder.remove());

test("a state directory that cannot be written is a coded error with the mend", () => {
  expect(() => lockStateDir(join(folder.path, "nowhere"))).toThrow(/nowhere/);
  writeFileSync(
    join(folder.path, "agent.lock"),
    "no database at all, but long enough to be looked at".repeat(20),
  );
  expect(() => lockStateDir(folder.path)).toThrow(
    expect.objectContaining({ code: "database-corrupt", mend: expect.any(String) }),
  );
});

test("a second agent is refused the state directory of a live one, and gets that of a killed one", async () => {
  const child = spawn(process.execPath, [CHILD, folder.path], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await new Promise((resolve) => child.stdout.once("data", resolve));
  expect(() => lockStateDir(folder.path)).toThrow(/another agent runs/);
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await ended;
  const lock = lockStateDir(folder.path);
  expect(() => lockStateDir(folder.path)).toThrow(/another agent runs/);
  lock.release();
  lockStateDir(folder.path).release();
});
