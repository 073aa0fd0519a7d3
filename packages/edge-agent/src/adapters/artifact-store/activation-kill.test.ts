import type { Operation, Survival } from "@flotilla/shared/testing/crash-files";
import { SeededRandom } from "@flotilla/shared/testing/seeded-random";
import { beforeAll, expect, test, vi } from "vitest";
import { PowerNode } from "../../../test/support/power-node.ts";

/**
 * The sweep of kill.test.ts with the agent's own delivery, activation and reconciler: a first version, an update by a delta, and one
 * that fails its health window and is taken back.
 */

let operations: readonly Operation[] = [];
let changing: readonly number[] = [];

// A sweep takes some seconds, and many times that on a machine that does other things too.
vi.setConfig({ testTimeout: 300_000 });

beforeAll(async () => {
  const node = new PowerNode();
  await node.live();
  operations = node.disk.operations;
  changing = operations.flatMap((operation, at) => (operation.changes ? [at] : []));
});

const nameOf = (at: number): string => `${at} ${operations[at]?.name} ${operations[at]?.path}`;

/** What is wrong when the power is back, and when the node has lived on to the end. */
async function afterCut(node: PowerNode, survival: Survival): Promise<readonly string[]> {
  const wrong = [...(await node.powerOn(survival))];
  await node.live();
  wrong.push(...node.wrongs());
  if (!node.isFinished) wrong.push("it does not come to its end");
  return wrong;
}

test("the life is whole without a fault, and long enough", async () => {
  const node = new PowerNode();
  await node.live();
  expect(node.isFinished).toBe(true);
  expect(node.wrongs()).toEqual([]);
  expect(changing.length).toBeGreaterThan(150);
  expect(operations.filter((o) => o.name === "commit").length).toBeGreaterThan(40);
});

test.each([
  ["nothing that was not fsynced is left", (): Survival => "synced"],
  ["some of what was not fsynced is left", (at: number): Survival => new SeededRandom(at)],
])(
  "cut after every operation, transaction and start, %s: a whole version is active, what runs was asked for, and the rest follows",
  async (_, survivalAt) => {
    const wrong: string[] = [];
    for (const at of changing) {
      const node = new PowerNode();
      await node.until({ kind: "cut", at, when: at % 2 === 0 ? "after" : "torn" });
      expect(node.disk.isOff).toBe(true);
      for (const what of await afterCut(node, survivalAt(at))) wrong.push(`${nameOf(at)}: ${what}`);
    }
    expect(wrong).toEqual([]);
  },
);

test("a disk that fails once, at any operation, with a full disk or an error: the agent lives, and nothing is believed that is lost", async () => {
  const wrong: string[] = [];
  for (const at of operations.keys()) {
    if (operations[at]?.changes !== true && at % 3 !== 0) continue;
    const node = new PowerNode();
    const code = at % 2 === 0 ? "EIO" : "ENOSPC";
    await node.until({ kind: "fail", at, code, lasts: "once" });
    const ended = node.isFinished ? [] : ["it does not come to its end"];
    const all = [...node.wrongs(), ...ended, ...(await afterCut(node, "synced"))];
    for (const what of all) wrong.push(`${code} ${nameOf(at)}: ${what}`);
  }
  expect(wrong).toEqual([]);
});

test("a disk that fails from some operation on: what was active stays, and when it is well again the rest follows", async () => {
  const wrong: string[] = [];
  for (const at of operations.keys()) {
    if (at % 7 !== 0) continue;
    const node = new PowerNode();
    const code = at % 2 === 0 ? "EIO" : "ENOSPC";
    await node.until({ kind: "fail", at, code, lasts: "for-ever" });
    node.disk.arm();
    const all = [...node.wrongs(), ...(await afterCut(node, "synced"))];
    for (const what of all) wrong.push(`${code} ${nameOf(at)}: ${what}`);
  }
  expect(wrong).toEqual([]);
});
