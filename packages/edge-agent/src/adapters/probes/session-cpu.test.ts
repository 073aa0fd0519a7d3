import { spawn } from "node:child_process";
import { once } from "node:events";
import { expect, test } from "vitest";
import { parseTimes, SessionCpu } from "./session-cpu.ts";

test("session and times are told from a stat whose program name holds anything", () => {
  const line = "12 (a b) (c) S 1 12 34 0 -1 4194560 100 0 0 0 7 5 2 1 20 0 1 0 999 1 1";
  expect(parseTimes(line)).toEqual({ session: 34, ticks: 15 });
  expect(parseTimes("nonsense")).toBeUndefined();
});

test("a process that works has used CPU time, with what its children used", async () => {
  const burn =
    "const e=Date.now()+400;while(Date.now()<e);console.log('done');setInterval(()=>{},1e3)";
  const child = spawn(process.execPath, ["-e", burn], {
    detached: true,
    stdio: ["ignore", "pipe", "ignore"],
  });
  try {
    await once(child.stdout, "data");
    const pid = child.pid ?? 0;
    const used = new SessionCpu().read(new Set([pid])).get(pid);
    expect(used).toBeGreaterThan(50);
  } finally {
    child.kill("SIGKILL");
  }
});
