import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { runCli } from "../main/program.ts";

const START_MS = 1_795_564_800_000;
const DAY_MS = 86_400_000;

let folder: string;
let nowMs: number;
let printed: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "flotilla-trust-"));
  nowMs = START_MS;
  printed = "";
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

interface Ran {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

/** `~` is the test's folder. */
async function trust(line: string): Promise<Ran> {
  let [out, err] = ["", ""];
  const args = line.split(" ").map((word) => word.replace(/(^|=)~/, `$1${folder}`));
  const status = await runCli(["trust", ...args], {
    out: (text) => (out += text),
    err: (text) => (err += text),
    env: {},
    nowMs: () => nowMs,
    readStdin: () => Promise.resolve(""),
    readerGone: new AbortController().signal,
    color: false,
  });
  printed += out + err;
  return { status, out, err };
}

const init = (more = ""): Promise<Ran> => trust(`init ~/repo --keys ~/keys${more}`);
const online = async (): Promise<void> => {
  await trust("sign ~/repo --role snapshot --key ~/keys/snapshot-1.key");
  await trust("sign ~/repo --role timestamp --key ~/keys/timestamp-1.key");
};
const keyIdOf = async (role: string, index: number): Promise<string> => {
  const root = JSON.parse(readFileSync(join(folder, "repo/1.root.json"), "utf8"));
  return root.signed.roles[role].keyids[index];
};
const release = async (counter: number, more = ""): Promise<Ran> => {
  writeFileSync(join(folder, "m"), `model ${counter}`);
  return trust(
    `sign ~/repo --role releases --key ~/keys/releases-1.key --target ~/m=models/detector/${counter}/model.onnx --artifact detector --release-counter ${counter}${more}`,
  );
};

test("init makes keys for their owner alone, and metadata that a node would take", async () => {
  expect((await init()).status).toBe(0);
  const keys = readdirSync(join(folder, "keys")).filter((name) => name.endsWith(".key"));
  expect(keys).toHaveLength(9);
  expect(keys.map((name) => statSync(join(folder, "keys", name)).mode & 0o777)).toEqual(
    keys.map(() => 0o600),
  );
  expect(readdirSync(join(folder, "repo")).toSorted()).toEqual([
    "1.releases.json",
    "1.root.json",
    "1.snapshot.json",
    "1.targets.json",
    "timestamp.json",
  ]);
  expect(await trust("verify ~/repo")).toMatchObject({ status: 0, err: "" });
});

test("a release is signed, published by snapshot and timestamp, and listed", async () => {
  await init();
  await release(2, " --rollback-to 1 --hardware orin --artifact-version 2.0.0");
  const before = await trust("verify ~/repo --targets");
  expect(before.out).not.toContain("models/detector");
  await online();
  const { out } = await trust("verify ~/repo -o json");
  expect(JSON.parse(out).targets).toEqual([
    {
      path: "models/detector/2/model.onnx",
      role: "releases",
      artifact: "detector",
      releaseCounter: 2,
      length: 7,
      sha256: "97e2521720cb4b3821c7ed9df7dbca7a63e04b42ba05ffe3e15dc992f227ae36",
    },
  ]);
});

test("a root waits for signatures until the thresholds of the old and the new keys are met", async () => {
  await init();
  const id = await keyIdOf("root", 0);
  await trust("init ~/other --keys ~/new");
  const rotated = await trust(
    `rotate ~/repo --role root --add ~/new/root-1.pub --remove ${id} --key ~/keys/root-1.key`,
  );
  expect(rotated.out).toContain("needs 1 more by keys of root 1 and 2 more by keys of root 2");
  expect((await trust("verify ~/repo")).out).toContain(
    "pending: root 2, signed by 1 of 2 by root 1, 0 of 2 by root 2",
  );
  expect((await trust("sign ~/repo --role root --key ~/keys/root-2.key")).out).toContain(
    "needs 1 more by keys of root 2",
  );
  expect((await trust("sign ~/repo --role root --key ~/new/root-1.key")).out).toContain(
    "root 2 published",
  );
  expect((await trust("verify ~/repo --root ~/repo/1.root.json")).status).toBe(0);
  expect(readdirSync(join(folder, "repo/pending"))).toEqual([]);
});

test("other keys for releases are the targets' to name, and the old ones are refused then", async () => {
  await init();
  await trust("init ~/other --keys ~/new");
  const targets = JSON.parse(readFileSync(join(folder, "repo/1.targets.json"), "utf8"));
  const ids: readonly string[] = targets.signed.delegations.roles[0].keyids;
  await trust(
    `rotate ~/repo --role releases --add ~/new/releases-1.pub --remove ${ids.join(" ")} --key ~/keys/targets-1.key`,
  );
  await online();
  expect((await trust("verify ~/repo")).err).toContain("metadata-unsigned (arbitrary software)");
  expect((await release(1)).err).toContain("does not speak for releases");
  await trust("sign ~/repo --role releases --key ~/new/releases-1.key");
  await online();
  expect((await trust("verify ~/repo")).status).toBe(0);
});

test("14 months offline: a node that has the first root takes what a year of rotations has made", async () => {
  await init();
  for (let month = 0; month < 14; month++) {
    nowMs += 30 * DAY_MS;
    await trust("sign ~/repo --role root --key ~/keys/root-1.key ~/keys/root-2.key");
  }
  for (const role of ["targets", "releases"])
    await trust(`sign ~/repo --role ${role} --key ~/keys/${role}-1.key`);
  await online();
  const { status, out } = await trust("verify ~/repo --root ~/repo/1.root.json");
  expect([status, /root +15 /.test(out)]).toEqual([0, true]);
});

test("the hub's key signs snapshot and timestamp when it is named", async () => {
  await trust("init ~/hub --keys ~/hubkeys");
  await init(" --online-key ~/hubkeys/timestamp-1.pub");
  expect((await trust("verify ~/repo")).err).toContain(
    "timestamp.json: the source has no such file",
  );
  for (const role of ["snapshot", "timestamp"])
    await trust(`sign ~/repo --role ${role} --key ~/hubkeys/timestamp-1.key`);
  expect((await trust("verify ~/repo")).status).toBe(0);
});

test("a rollback rule can be added to a release that is there", async () => {
  await init();
  await release(1);
  await release(2);
  const more = "sign ~/repo --role releases --key ~/keys/releases-1.key --artifact detector";
  expect((await trust(`${more} --release-counter 2 --rollback-to 1`)).status).toBe(0);
  const { signed } = JSON.parse(readFileSync(join(folder, "repo/4.releases.json"), "utf8"));
  expect(signed.targets["models/detector/2/model.onnx"].custom.rollbackTo).toBe(1);
  expect((await trust(`${more} --release-counter 9 --rollback-to 1`)).err).toContain(
    "no release 9 of detector",
  );
});

test("expiry is told for a time to come", async () => {
  await init();
  const { status, err } = await trust("verify ~/repo --at 2026-12-25T00:00:00Z");
  expect(status).toBe(1);
  expect(err).toContain("timestamp.json: expired at 2026-11-26T00:00:00Z");
  expect(err).toContain("metadata-expired (freeze)");
});

test.each([
  ["a folder that holds metadata", "init ~/repo --keys ~/k2", 5, "holds metadata already"],
  ["keys that are there", "init ~/r2 --keys ~/keys", 5, "root-1.key is there already"],
  [
    "a threshold beyond the keys",
    "init ~/r2 --keys ~/k2 --root-threshold 4",
    2,
    "cannot be reached",
  ],
  ["a count that is none", "init ~/r2 --keys ~/k2 --root-keys 1e3", 2, "whole number"],
  ["no folder", "verify ~/none", 3, "1.root.json cannot be read"],
  [
    "a key that is not there",
    "sign ~/repo --role root --key ~/keys/root-9.key",
    3,
    "root-9.key cannot be read",
  ],
  [
    "a public key to sign with",
    "sign ~/repo --role root --key ~/keys/root-1.pub",
    2,
    "may be read by others",
  ],
  [
    "a private key to add",
    "rotate ~/repo --role root --key ~/keys/root-1.key --add ~/keys/root-2.key",
    2,
    "it holds a private key",
  ],
  [
    "a key of another role",
    "sign ~/repo --role root --key ~/keys/targets-1.key",
    2,
    "does not speak for root",
  ],
  [
    "an unknown role",
    "sign ~/repo --role captain --key ~/keys/root-1.key",
    3,
    "no file of captain",
  ],
  [
    "an unknown role's keys",
    "rotate ~/repo --role captain --key ~/keys/targets-1.key --threshold 2",
    3,
    "delegates to no role captain",
  ],
  [
    "a key that is none of the role",
    `rotate ~/repo --role root --key ~/keys/root-1.key --remove ${"a".repeat(64)}`,
    3,
    "is none of root",
  ],
  [
    "a threshold that cannot be met",
    "rotate ~/repo --role targets --key ~/keys/root-1.key --threshold 3",
    2,
    "2 keys and a threshold of 3",
  ],
  [
    "nothing to change",
    "rotate ~/repo --role root --key ~/keys/root-1.key",
    2,
    "nothing to change",
  ],
  [
    "a target without its path",
    "sign ~/repo --role releases --key ~/keys/releases-1.key --target m --artifact a --release-counter 1",
    2,
    "is not FILE=PATH",
  ],
  [
    "a path that leads up",
    "sign ~/repo --role releases --key ~/keys/releases-1.key --target m=../x --artifact a --release-counter 1",
    2,
    "is not FILE=PATH",
  ],
  [
    "a target that is not there",
    "sign ~/repo --role releases --key ~/keys/releases-1.key --target ~/x=models/a/1/x --artifact a --release-counter 1",
    3,
    "is no file",
  ],
  [
    "a target of nothing",
    "sign ~/repo --role releases --key ~/keys/releases-1.key --target ~/x=models/a/1/x",
    2,
    "a release has a name",
  ],
  [
    "a target of the root",
    "sign ~/repo --role root --key ~/keys/root-1.key --target ~/x=models/a/1/x",
    2,
    "root holds no targets",
  ],
  [
    "a path that is not released",
    "sign ~/repo --role releases --key ~/keys/releases-1.key --withdraw models/x",
    3,
    "no target models/x",
  ],
  [
    "no duration",
    "sign ~/repo --role root --key ~/keys/root-1.key --expires-in soon",
    2,
    "is no duration",
  ],
  ["no time", "verify ~/repo --at yesterday", 2, "is no time"],
])("%s is refused with the field and the mend", async (_, line, status, text) => {
  await init();
  const ran = await trust(line);
  expect(ran.err).toContain(text);
  expect(ran.status).toBe(status);
});

test("other bytes under a released path are refused", async () => {
  await init();
  await release(1);
  writeFileSync(join(folder, "m"), "other");
  const again = await trust(
    "sign ~/repo --role releases --key ~/keys/releases-1.key --target ~/m=models/detector/1/model.onnx --artifact detector --release-counter 1",
  );
  expect([again.status, again.err]).toEqual([
    5,
    expect.stringContaining("is released with other bytes"),
  ]);
});

test("a private key that others may read is refused", async () => {
  await init();
  chmodSync(join(folder, "keys/root-1.key"), 0o640);
  const { status, err } = await trust(
    "sign ~/repo --role root --key ~/keys/root-1.key ~/keys/root-2.key",
  );
  expect([status, err]).toEqual([2, expect.stringContaining("chmod 600")]);
});

test("an altered file is named with what is wrong in it", async () => {
  await init();
  const path = join(folder, "repo/1.targets.json");
  writeFileSync(path, readFileSync(path, "utf8").replace("models/*/*/*", "models/*/*/?"));
  expect((await trust("verify ~/repo")).err).toContain("1.targets.json: another digest");
});

test("no private key is ever printed", async () => {
  await init();
  await release(1);
  await online();
  await trust("verify ~/repo -o yaml");
  writeFileSync(
    join(folder, "keys/root-3.key"),
    readFileSync(join(folder, "keys/root-1.key"), "utf8").slice(0, 90),
    { mode: 0o600 },
  );
  await trust("sign ~/repo --role root --key ~/keys/root-3.key");
  await trust("rotate ~/repo --role root --key ~/keys/root-1.key --add ~/keys/root-2.key");
  for (const name of readdirSync(join(folder, "keys")).filter((n) => n.endsWith(".key"))) {
    const body = readFileSync(join(folder, "keys", name), "utf8").split("\n")[1] ?? "";
    expect(body).not.toBe("");
    expect(printed).not.toContain(body.slice(20));
  }
});

test("killed between publishing and clearing what was pending, the next signature begins a new version", async () => {
  await init();
  await trust("sign ~/repo --role root --key ~/keys/root-1.key");
  const pending = join(folder, "repo/pending/root.json");
  const left = readFileSync(pending);
  await trust("sign ~/repo --role root --key ~/keys/root-2.key");
  writeFileSync(pending, left);
  expect((await trust("verify ~/repo")).out).not.toContain("pending");
  expect((await trust("sign ~/repo --role root --key ~/keys/root-1.key")).out).toContain(
    "root 3 pending",
  );
});
