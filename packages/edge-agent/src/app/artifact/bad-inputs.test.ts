import { CodedError } from "@flotilla/shared/kernel/errors";
import { expect, test } from "vitest";
import { ArtifactNode, pin } from "../../../test/support/artifact-node.ts";
import { instance } from "../../../test/support/reconcile-builders.ts";

/** What is wrong is told by the node, and what runs goes on with what it has. */

const wanted = (counter: number, file: { readonly path?: string } = {}) => {
  const made = pin("detector", counter);
  const files = made.files.map((own) => ({ ...own, ...file }));
  const { specDigest } = instance("a", ["serve"]);
  const artifacts = [{ ...made, files }];
  return instance("a", ["serve"], { artifacts, specDigest: `${specDigest} ${counter}` });
};

async function withVersionOne(): Promise<ArtifactNode> {
  const node = new ArtifactNode();
  node.want([wanted(1)]);
  await node.passes(30);
  expect(node.slots("a")).toMatchObject({ phase: "committed" });
  return node;
}

const toldOf = (node: ArtifactNode) => node.reported("a")?.artifacts?.[0];

test("a disk that is full wherever the update is: the reason is told, the version before runs, and it goes on when there is room", async () => {
  const whole = await withVersionOne();
  whole.disk.arm();
  whole.want([wanted(2)]);
  await whole.passes(20);
  const changes = whole.disk.operations.flatMap(({ changes: is }, at) => (is ? [at] : []));
  const stuck: unknown[] = [];
  // The sweeps of kills take every operation; here it is about words.
  for (const at of changes.filter((_, i) => i % 4 === 0)) {
    const node = await withVersionOne();
    const starts = node.runtime.starts.length;
    node.want([wanted(2)]);
    node.disk.arm({ kind: "fail", at, code: "ENOSPC", lasts: "for-ever" });
    await node.passes(20);
    const told = toldOf(node);
    if (told?.phase === "Downloading")
      stuck.push({
        counter: node.activeCounter("a"),
        activeVersion: told.activeVersion,
        starts: node.runtime.starts.length - starts,
        isTold: /ENOSPC|is full|no space/i.test(told.message ?? "") && told.reason !== undefined,
      });
    node.disk.arm();
    await node.passes(150, 1_000);
    expect(node.activeCounter("a")).toBe(2);
    expect(toldOf(node)).toMatchObject({ phase: "Active" });
    expect(node.violations).toEqual([]);
  }
  expect(stuck.length).toBeGreaterThan(5);
  const asItWas = { counter: 1, activeVersion: "1.0.0", starts: 0, isTold: true };
  expect(stuck).toEqual(stuck.map(() => asItWas));
});

test.each(["../../../../etc/cron.d/x", "/etc/passwd", "a/../../b"])(
  "a file set with %j, signed by whomever: the reason is told, and nothing leaves its slot",
  async (path) => {
    const node = await withVersionOne();
    const before = node.disk.list("/state/artifacts/slots/a");
    node.want([wanted(2, { path })]);
    await node.passes(50);
    expect(toldOf(node)).toMatchObject({
      reason: "slot-path-refused",
      activeVersion: "1.0.0",
      message: expect.stringContaining(path),
    });
    expect(node.disk.list("/state/artifacts/slots/a")).toEqual(before);
    expect(node.activeCounter("a")).toBe(1);
    expect(node.violations).toEqual([]);
  },
);

test("a failure that goes on is told once, though its words change", async () => {
  const node = await withVersionOne();
  let tries = 0;
  node.sources.failure = () =>
    new CodedError("disk-reserve", `${1_000 + tries++} bytes are free beyond the reserve`);
  node.want([wanted(2)]);
  await node.passes(400, 5_000);
  expect(tries).toBeGreaterThan(5);
  expect(toldOf(node)).toMatchObject({ reason: "disk-reserve", activeVersion: "1.0.0" });
  expect(node.notices().filter((reason) => reason === "ArtifactFetchFailed")).toHaveLength(1);
  node.sources.failure = () => undefined;
  await node.passes(300, 5_000);
  expect(node.activeCounter("a")).toBe(2);
});

test("a refusal says what to do about it", async () => {
  const node = await withVersionOne();
  node.trust.refused.add("models/detector/2/model.bin");
  node.want([wanted(2)]);
  await node.passes(20);
  expect(toldOf(node)).toMatchObject({
    phase: "Failed",
    reason: "target-unknown",
    message: "refused: models/detector/2/model.bin: nobody signed it. Sign it.",
  });
});
