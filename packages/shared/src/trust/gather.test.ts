import { expect, test } from "vitest";
import { tufTools } from "../platform/tuf.ts";
import { TrustLab } from "../testing/trust-lab.ts";
import { gather } from "./gather.ts";
import { GATHER_FILES_MAX } from "./limits.ts";

const tools = tufTools();

test("a source is asked for each file once, and the decision is the one over all of them", async () => {
  const world = new TrustLab({ tools });
  world.repository.publish();
  const { metadata, order } = world.repository.offer(world.wanted(2), { revision: 9 });
  const asked: string[] = [];
  const decision = await gather(
    {
      stored: world.state,
      nowMs: world.repository.nowMs,
      ...(order === undefined ? {} : { order }),
    },
    {
      fetch: (file) => {
        asked.push(file);
        return Promise.resolve(metadata.get(file) ?? "absent");
      },
    },
    tools,
  );
  expect(decision).toMatchObject({ kind: "accepted" });
  expect(asked).toEqual(["2.root.json", "timestamp.json", "4.snapshot.json", "4.releases.json"]);
});

test("a source that breaks off is heard, and one that is refused ends the asking", async () => {
  const world = new TrustLab({ tools });
  const question = { stored: world.state, nowMs: world.repository.nowMs };
  const broken = gather(question, { fetch: () => Promise.reject(new Error("cut")) }, tools);
  await expect(broken).rejects.toThrow("cut");
  const absent = await gather(question, { fetch: () => Promise.resolve("absent") }, tools);
  expect(absent).toMatchObject({ kind: "refused", code: "metadata-missing" });
});

test("a source that goes on with roots is left after GATHER_FILES_MAX files, with what was verified", async () => {
  const world = new TrustLab({ tools });
  const { repository } = world;
  repository.rotate("root", ["root-a"], 1);
  for (let i = 0; i <= GATHER_FILES_MAX; i++) repository.publishRoot();
  const decision = await gather(
    { stored: world.state, nowMs: repository.nowMs },
    { fetch: (file) => Promise.resolve(repository.files.get(file)) },
    tools,
  );
  expect(decision).toMatchObject({ code: "root-chain-too-long", attack: "denial of service" });
  expect(decision.state.trusted.get("root")).not.toEqual(world.state.trusted.get("root"));
}, 30_000);

test("time is asked for once, after the roots, and nothing is accepted or stored as accepted before it is known", async () => {
  const world = new TrustLab({ tools });
  world.repository.rotate("timestamp", ["timestamp-b"], 1);
  world.repository.publish();
  const asked: string[] = [];
  const stored: string[] = [];
  const versionOf = (bytes: Uint8Array | undefined): string | undefined =>
    /"version":(\d+)/.exec(new TextDecoder().decode(bytes))?.[1];
  const decision = await gather(
    {
      stored: world.state,
      nowMs: (state) => {
        asked.push(`time by root ${versionOf(state.trusted.get("root"))}`);
        return Promise.resolve(world.repository.nowMs + 2 * 86_400_000);
      },
      onState: (state) =>
        stored.push(
          [...state.trusted].map(([role, bytes]) => `${role} ${versionOf(bytes)}`).join(),
        ),
    },
    {
      fetch: (file) => {
        asked.push(file);
        return Promise.resolve(world.repository.files.get(file));
      },
    },
    tools,
  );
  expect(asked).toEqual(["2.root.json", "3.root.json", "time by root 2", "timestamp.json"]);
  expect(decision).toMatchObject({ kind: "refused", code: "metadata-expired" });
  expect(stored.at(-1)).toBe("root 2,targets 1,releases 2");
});
