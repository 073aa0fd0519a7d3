import { createHash, randomBytes } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadKubeconfig } from "@flotilla/cli/client/kubeconfig";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type CliRun, cli } from "./support/cli.ts";
import { type RunningHub, startHub } from "./support/running-hub.ts";
import { until } from "./support/until.ts";

let hub: RunningHub;
let folder: string;
beforeAll(async () => {
  hub = await startHub();
  folder = mkdtempSync(join(tmpdir(), "flotilla-artifacts-"));
  writeFileSync(join(folder, "hub.pub"), (await run("trust online-key")).out);
  await run("trust init ~/repo --keys ~/keys --online-key ~/hub.pub");
});
afterAll(async () => {
  await hub.stop();
  hub.remove();
  rmSync(folder, { recursive: true, force: true });
});

/** `~` is the test's folder. */
function run(line: string): Promise<CliRun> {
  const argv = line.split(" ").map((word) => word.replace(/^~/, folder));
  return cli(hub.kubeconfig, argv);
}

const SIGN = "--sign ~/repo --key ~/keys/releases-1.key";

/** A file that no compressor makes small, and a next version of it that differs in a few places. */
function model(seed: number, bytes = 400_000): Buffer {
  const made = createHash("shake256", { outputLength: bytes }).update("weights").digest();
  for (let i = 0; i < seed * 20; i++) made[(i * 7_919 * seed) % bytes] = (i * seed) & 0xff;
  return made;
}

async function statusOf(name: string, type: string): Promise<string | undefined> {
  const { out } = await run(`get releases ${name} -o json`);
  const { status }: { status?: { conditions?: { type: string; status: string }[] } } =
    JSON.parse(out);
  return status?.conditions?.find((c) => c.type === type)?.status;
}

test("a push uploads, makes Artifact and Release, signs and publishes; a node would install it", async () => {
  mkdirSync(join(folder, "v1/weights"), { recursive: true });
  writeFileSync(join(folder, "v1/model.bin"), model(1));
  writeFileSync(join(folder, "v1/weights/empty.bin"), "");
  const pushed = await run(
    `artifact push detector ~/v1 --version 1.0.0 --format raw --description drills ${SIGN}`,
  );
  expect(pushed.err).toBe("");
  expect(pushed.out).toMatch(
    /^release\/detector-1\.0\.0 created: counter 1, 2 files, 400 kB, 400 kB to upload\nsigned\npublished by the hub: .*2\.releases\.json/,
  );
  await until("the release to be ready", async () =>
    (await statusOf("detector-1.0.0", "Ready")) === "True" ? true : undefined,
  );
  const verified = await run("artifact verify detector 1.0.0");
  expect(verified.err).toBe("");
  expect(verified.out).toContain("models/detector/1/weights+empty.bin");
  expect(verified.out).toContain(
    "every content was read and is what was signed\na node would install it",
  );
  expect((await run("artifact verify detector 1.0.0 --root ~/repo/1.root.json")).status).toBe(0);
});

test("the same push again changes nothing; the same version with other bytes is refused", async () => {
  const again = await run(`artifact push detector ~/v1 --version 1.0.0 ${SIGN}`);
  expect(again.out).toBe(
    `release/detector-1.0.0 is there already: counter 1, 2 files, 400 kB, nothing to upload\nsigned already\n${folder}/repo: the hub has published all of it already\n`,
  );
  mkdirSync(join(folder, "other/weights"), { recursive: true });
  writeFileSync(join(folder, "other/model.bin"), "other");
  writeFileSync(join(folder, "other/weights/empty.bin"), "");
  const other = await run(`artifact push detector ~/other --version 1.0.0 ${SIGN}`);
  expect([other.status, other.out]).toEqual([5, ""]);
  expect(other.err).toContain("why: its model.bin has other bytes");
});

test("an upload that was cut off is gone on with, and what is missing is sent", async () => {
  const content = randomBytes(300_000);
  writeFileSync(join(folder, "cut.bin"), content);
  await beginUpload(content, 120_000);
  const pushed = await run("artifact push cut ~/cut.bin --version 1.0.0 --format raw");
  expect(pushed.err).toBe("");
  expect(pushed.out).toContain(
    "1 file, 300 kB, 180 kB to upload\nnot signed: nodes install it once releases has",
  );
  expect((await run("artifact verify cut 1.0.0")).err).toContain("why: target-not-released");
});

test("a file that changes while it is uploaded becomes no release", async () => {
  const content = randomBytes(200_000);
  writeFileSync(join(folder, "moving.bin"), content);
  await beginUpload(content, 100_000);
  // The part that is there is of the old content, the digest that is asked for is of the new one: the rest cannot fit.
  await corruptUpload();
  const pushed = await run("artifact push moving ~/moving.bin --version 1.0.0 --format raw");
  expect(pushed.status).not.toBe(0);
  expect((await run("get releases moving-1.0.0")).status).toBe(3);
  expect((await run("artifact push moving ~/moving.bin --version 1.0.0 --format raw")).status).toBe(
    0,
  );
});

test("list and describe say what there is", async () => {
  const listed = await run("artifact list");
  expect(listed.out).toMatch(/^NAME/);
  expect(listed.out).toContain("detector");
  const releases = await run("artifact list detector");
  expect(releases.out.split("\n")[0]).toMatch(
    /^VERSION +COUNTER +FILES +SIZE +STORED +SIGNED +DELTA/,
  );
  expect(releases.out).toMatch(/1\.0\.0 +1 +2 +400 kB +yes +yes/);
  const described = await run("artifact describe detector 1.0.0");
  expect(described.out).toMatch(/Files:\nPATH +SIZE +SHA-256 +IN METADATA\nmodel\.bin +400 kB/);
  expect((await run("artifact describe detector")).out).toContain("Description:   drills");
  expect((await run("artifact list nothing")).err).toContain("nothing has no release");
  expect((await run("artifact describe detector 1.0.0 -o json")).out).toContain(
    '"kind": "Release"',
  );
});

test("diff tells file by file what an update costs", async () => {
  mkdirSync(join(folder, "v2/weights"), { recursive: true });
  writeFileSync(join(folder, "v2/model.bin"), model(2));
  writeFileSync(join(folder, "v2/weights/empty.bin"), "");
  writeFileSync(join(folder, "v2/labels.json"), '["good","worn"]');
  const pushed = await run(`artifact push detector ~/v2 --version 1.1.0 ${SIGN} --rollback-to 1`);
  expect(pushed.out).toContain("release/detector-1.1.0 created: counter 2, 3 files");
  const found = await run("artifact diff detector 1.0.0 1.1.0");
  expect(found.err).toBe("");
  expect(found.out).toMatch(/model\.bin +400 kB +\d+ kB +[\d.]+ k?B/);
  expect(found.out).toMatch(/weights\/empty\.bin +0 B .* same\n/);
  expect(found.out).toMatch(/labels\.json +15 B .* new\n/);
  expect(found.out).toMatch(/1\.0\.0 to 1\.1\.0: [\d.]+ k?B of 400 kB to fetch, 9\d\.\d % saved/);
}, 120_000);

test("what no release may have is refused before anything is sent", async () => {
  symlinkSync(join(folder, "cut.bin"), join(folder, "link.bin"));
  const refused = async (line: string): Promise<string> => {
    const { status, out, err } = await run(`artifact push ${line}`);
    expect([status, out]).toEqual([expect.any(Number), ""]);
    expect(status).toBeGreaterThan(0);
    return err;
  };
  expect(await refused("x ~/link.bin --version 1.0.0 --format raw")).toContain("symbolic link");
  expect(await refused("x ~/cut.bin --version 1.0 --format raw")).toContain("is no version");
  expect(await refused("x ~/cut.bin --version 1.0.0")).toContain("no --format");
  expect(await refused("x ~/cut.bin --version 1.0.0 --format exe")).toContain(
    "--format exe is none",
  );
  expect(await refused("detector ~/cut.bin --version 3.0.0 --format onnx")).toContain(
    "has the format raw",
  );
  expect(
    await refused("x ~/cut.bin --version 1.0.0 --format raw --sign ~/repo --key ~/keys/root-1.key"),
  ).toContain("does not speak for releases");
  expect(await refused("x ~/cut.bin --version 1.0.0 --format raw --sign ~/repo")).toContain(
    "--sign takes a key",
  );
  expect(await refused("detector ~/cut.bin --version 9.0.0 --counter 1")).toContain(
    "counter 1 is that of detector-1.0.0",
  );
  expect((await run("get artifacts x")).status).toBe(3);
});

test("metadata that a node would refuse is published by nobody", async () => {
  await run("trust init ~/thief --keys ~/thief-keys --online-key ~/hub.pub");
  const published = await run("trust publish ~/thief");
  expect(published.status).toBe(1);
  expect(published.err).toMatch(/^error: 1\.root\.json: .+\nwhy: metadata-mixed\ntry: .+/m);
  expect((await run("artifact verify detector 1.1.0")).status).toBe(0);
});

test("a content that was altered in the hub's store is found", async () => {
  writeFileSync(join(folder, "fresh.bin"), model(3));
  await run(`artifact push fresh ~/fresh.bin --version 1.0.0 --format raw ${SIGN}`);
  const sha256 = createHash("sha256").update(model(3)).digest("hex");
  const path = findFile(hub.dataDir, sha256);
  rmSync(path, { force: true });
  writeFileSync(path, model(4));
  const verified = await run("artifact verify fresh 1.0.0");
  expect(verified.status).toBe(1);
  expect(verified.err).toContain("why: target-altered");
  expect((await run("artifact verify fresh 1.0.0 --no-contents")).status).toBe(0);
});

function findFile(root: string, name: string): string {
  for (const entry of readdirSync(root, { recursive: true, withFileTypes: true }))
    if (entry.isFile() && entry.name === name) return join(entry.parentPath, entry.name);
  throw new Error(`no ${name} under ${root}`);
}

/** Sends the first bytes of an upload, as a push that is killed then does. */
async function beginUpload(content: Buffer, bytes: number): Promise<void> {
  const sha256 = createHash("sha256").update(content).digest("hex");
  const length = content.length;
  await tus("POST", "/v1/uploads", {
    "upload-length": String(length),
    "upload-metadata": `sha256 ${Buffer.from(sha256).toString("base64")}`,
  });
  const headers = { "upload-offset": "0", "content-type": "application/offset+octet-stream" };
  await tus("PATCH", `/v1/uploads/${sha256}`, headers, content.subarray(0, bytes));
}

/** Alters the part of the only upload that is open. */
function corruptUpload(): Promise<void> {
  const uploads = readdirSync(hub.dataDir, { recursive: true, withFileTypes: true }).filter(
    (entry) =>
      entry.isFile() && entry.parentPath.endsWith("uploads") && /^[0-9a-f]{64}/.test(entry.name),
  );
  const part = uploads
    .map((entry) => join(entry.parentPath, entry.name))
    .find((path) => readFileSync(path).length === 100_000);
  if (part === undefined || !existsSync(part)) throw new Error("no open upload");
  const bytes = readFileSync(part);
  bytes.fill(0, 0, 10);
  writeFileSync(part, bytes);
  return Promise.resolve();
}

async function tus(
  method: string,
  path: string,
  headers: Readonly<Record<string, string>>,
  body?: Buffer,
): Promise<void> {
  const access = loadKubeconfig(hub.kubeconfig, undefined);
  const { uploads }: { uploads: string } = JSON.parse(await get("/artifacts/v1"));
  await new Promise<void>((resolve, reject) => {
    const asked = request(
      `${uploads}${path}`,
      {
        method,
        ca: access.ca,
        headers: { ...headers, "tus-resumable": "1.0.0", authorization: `Bearer ${access.token}` },
      },
      (response) => {
        response.resume();
        response.on("end", () =>
          (response.statusCode ?? 500) < 300
            ? resolve()
            : reject(new Error(`${method} ${path}: ${response.statusCode}`)),
        );
      },
    );
    asked.on("error", reject);
    asked.end(body);
  });
}

function get(path: string): Promise<string> {
  const access = loadKubeconfig(hub.kubeconfig, undefined);
  return new Promise((resolve, reject) => {
    request(
      `${access.server}${path}`,
      { ca: access.ca, headers: { authorization: `Bearer ${access.token}` } },
      (response) => {
        let text = "";
        response.on("data", (piece: Buffer) => (text += piece.toString()));
        response.on("end", () => resolve(text));
      },
    )
      .on("error", reject)
      .end();
  });
}
