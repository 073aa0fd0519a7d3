import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AGENT_METRICS, joinFleet } from "@flotilla/edge-agent/main/wiring";
import { systemClock } from "@flotilla/shared/platform/clock";
import { createMetrics } from "@flotilla/shared/platform/metrics";
import { systemRandom } from "@flotilla/shared/platform/random";
import { silentLog } from "@flotilla/shared/testing/silent-log";
import { afterAll, beforeAll, expect, test } from "vitest";
import { cli } from "./support/cli.ts";
import { type RunningHub, startHub } from "./support/running-hub.ts";

let hub: RunningHub;
let folder: string;
beforeAll(async () => {
  hub = await startHub();
  folder = mkdtempSync(join(tmpdir(), "flotilla-join-"));
});
afterAll(async () => {
  await hub.stop();
  hub.remove();
  rmSync(folder, { recursive: true, force: true });
});

async function token(): Promise<string> {
  return (await cli(hub.kubeconfig, ["node", "join-token", "--site", "plant"])).out.trim();
}

test("a machine that is enrolled already stays so, and the token that it did not need is still good for another", async () => {
  const platform = {
    clock: systemClock(),
    random: systemRandom(),
    log: silentLog(),
    metrics: createMetrics(AGENT_METRICS),
  };
  const request = (name: string, joinString: string) =>
    joinFleet({ stateDir: join(folder, name), joinString, nodeName: name }, platform);
  expect(await request("n1", await token())).toMatchObject({ isNew: true });
  const unused = await token();
  expect(await request("n1", unused)).toMatchObject({
    isNew: false,
    credentials: { nodeId: "n1" },
  });
  expect(await request("n2", unused)).toMatchObject({
    isNew: true,
    credentials: { nodeId: "n2" },
  });
});
