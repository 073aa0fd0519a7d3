import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { runCli } from "@flotilla/cli/main/program";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type CliRun, cli } from "./support/cli.ts";
import { type RunningHub, startHub } from "./support/running-hub.ts";

let hub: RunningHub;
let folder: string;
beforeAll(async () => {
  hub = await startHub();
  folder = mkdtempSync(join(tmpdir(), "flotilla-cli-"));
});
afterAll(async () => {
  await hub.stop();
  hub.remove();
  rmSync(folder, { recursive: true, force: true });
});

const run = (...argv: string[]): Promise<CliRun> => cli(hub.kubeconfig, argv);

const SITE =
  "apiVersion: edge.kurator.dev/v1alpha1\nkind: Site\nmetadata: {name: 'SITE'}\nspec: {provider: onprem, region: north}\n";

test("version tells the program's and the hub's", async () => {
  const { status, out } = await run("version");
  expect(status).toBe(0);
  expect(out).toMatch(
    /^flotilla \d+\.\d+\.\d+ \(protocol 1\)\nhub v\S+ at https:\/\/127\.0\.0\.1:\d+\n$/,
  );
});

test("a new hub has the namespace default, and its lists carry a version that a watch can begin from", async () => {
  const list: { metadata: { resourceVersion: string }; items: { metadata: { name: string } }[] } =
    JSON.parse((await run("get", "namespaces", "-o", "json")).out);
  expect(list.items.map((n) => n.metadata.name)).toEqual(["default"]);
  expect(Number(list.metadata.resourceVersion)).toBeGreaterThan(0);
});

test("apply creates, says unchanged for the same again, and configures after an edit", async () => {
  const file = join(folder, "site.yaml");
  writeFileSync(file, SITE.replace("SITE", "plant-1"));
  expect((await run("apply", "-f", file)).out).toBe("site/plant-1 created\n");
  expect((await run("apply", "-f", file)).out).toBe("site/plant-1 unchanged\n");
  writeFileSync(
    file,
    SITE.replace("SITE", "plant-1").replace("region: north", "attributes: {a: b}"),
  );
  expect((await run("apply", "-f", file)).out).toBe("site/plant-1 configured\n");
  const { spec }: { spec: unknown } = JSON.parse(
    (await run("get", "site", "plant-1", "-o", "json")).out,
  );
  expect(spec).toEqual({ provider: "onprem", attributes: { a: "b" } });
});

test("every manifest of the article is applied as it stands", async () => {
  const articles = join(import.meta.dirname, "../../packages/hub/test/data/article");
  const { status, out, err } = await run("apply", "-f", articles);
  expect(err).toBe("");
  expect(status).toBe(0);
  expect(out.trim().split("\n")).toHaveLength(10);
});

test("an unknown field and a wrong type are refused with their path, and the rest of the files is still applied", async () => {
  const bad = SITE.replace("SITE", "bad").replace("region: north", "regoin: north");
  const wrong = SITE.replace("SITE", "wrong").replace("region: north", "latencyMs: fast");
  const { status, out, err } = await cli(hub.kubeconfig, ["apply", "-f", "-"], {
    stdin: [bad, wrong, SITE.replace("SITE", "good")].join("---\n"),
  });
  expect(status).toBe(7);
  expect(out).toBe("site/good created\n");
  expect(err).toContain('unknown field "spec.regoin"');
  expect(err).toContain("spec.latencyMs");
});

test("what is not there ends with 3, a wrong command line with 2 and the near word, a hub that is away with 1", async () => {
  expect((await run("get", "site", "nowhere")).status).toBe(3);
  const misspelt = await run("get", "sitess");
  expect([misspelt.status, misspelt.err]).toEqual([
    2,
    expect.stringContaining('did you mean "sites"?'),
  ]);
  expect((await run("frobnicate")).status).toBe(2);
  const away = join(folder, "away");
  writeFileSync(
    away,
    readFileSync(hub.kubeconfig, "utf8").replace(/https:\/\/[^\n]+/, "https://127.0.0.1:9"),
  );
  const unreachable = await cli(away, ["get", "sites"]);
  expect([unreachable.status, unreachable.err]).toEqual([
    1,
    expect.stringContaining("cannot be reached"),
  ]);
});

test("a wrong token ends with 4 and says where the right one is", async () => {
  const other = join(folder, "other");
  writeFileSync(
    other,
    readFileSync(hub.kubeconfig, "utf8").replace(/token: \S+/, "token: not-the-token"),
  );
  const { status, err } = await cli(other, ["get", "sites"]);
  expect(status).toBe(4);
  expect(err).toContain("try: the context's kubeconfig holds no valid token");
  expect(err).not.toContain("not-the-token");
});

test("without any hub the mend is the command that names one", async () => {
  const { status, err } = await cli(undefined, ["get", "sites"]);
  expect(status).toBe(2);
  expect(err).toContain("flotilla config set-context NAME --kubeconfig FILE");
});

test("version tells its own also without a hub, and a kubeconfig that cannot be read from one that is not named", async () => {
  const none = await cli(undefined, ["version"]);
  expect([none.status, none.out]).toEqual([0, expect.stringContaining("hub: none is named")]);
  expect((await cli("/nonexistent/kubeconfig", ["version"])).status).toBe(2);
});

test("contexts are kept, listed and used, and the fleet of a context is the default of fleet describe", async () => {
  const env = { FLOTILLA_CONFIG: join(folder, "contexts.json") };
  const own = (...argv: string[]): Promise<CliRun> => cli(undefined, argv, { env });
  expect(
    (
      await own(
        "config",
        "set-context",
        "production",
        "--kubeconfig",
        hub.kubeconfig,
        "--fleet=ai",
        "-n",
        "kurator-system",
      )
    ).status,
  ).toBe(0);
  expect((await own("config", "get-contexts")).out).toMatch(
    /\*\s+production\s+ai\s+kurator-system/,
  );
  expect((await own("config", "use-context", "other")).status).toBe(3);
  expect((await own("fleet", "create", "ai", "--sites", "plant-1")).out).toContain(
    "fleet/ai created",
  );
  const described = await own("fleet", "describe");
  expect(described.out).toMatch(/Name:\s+ai\n/);
});

test("a registered cluster's kubeconfig is a Secret and is shown nowhere else", async () => {
  const env = { FLOTILLA_CONFIG: join(folder, "contexts.json") };
  const kubeconfig = join(folder, "cluster-kubeconfig");
  writeFileSync(kubeconfig, "canary-kubeconfig-7f3a");
  const registered = await cli(
    undefined,
    [
      "cluster",
      "register",
      "huawei-cluster",
      `--kubeconfig=${kubeconfig}`,
      "--provider=huawei",
      "--region=cn-north-1",
    ],
    { env },
  );
  expect([registered.status, registered.out]).toEqual([
    0,
    expect.stringContaining("cluster/huawei-cluster registered in namespace kurator-system"),
  ]);
  expect((await cli(undefined, ["cluster", "list"], { env })).out).toMatch(
    /huawei-cluster\s+huawei\s+cn-north-1/,
  );
  expect(JSON.stringify(hub.log.lines)).not.toContain("canary-kubeconfig-7f3a");
});

test("a join token is printed once and can be read by nobody later", async () => {
  const { status, out, err } = await run("node", "join-token", "--site", "plant-1");
  expect(status).toBe(0);
  expect(out).toMatch(/^flotilla:\/\/127\.0\.0\.1:\d+\/\S+\.\S+#sha256:[0-9a-f]{64}\n$/);
  expect(err).toContain("good for one node of site plant-1");
  const secret = out.split(".").at(-1)?.split("#")[0] ?? "";
  expect(secret.length).toBeGreaterThan(20);
  expect((await run("get", "jointokens", "-o", "yaml")).out).not.toContain(secret);
  expect(JSON.stringify(hub.log.lines)).not.toContain(secret);
});

test("forms of output: name, yaml, no headers", async () => {
  expect((await run("get", "sites", "-o", "name")).out).toContain(
    "site.edge.kurator.dev/plant-1\n",
  );
  expect((await run("get", "site", "plant-1", "-o", "yaml")).out).toMatch(
    /^apiVersion: edge\.kurator\.dev\/v1alpha1\nkind: Site\n/m,
  );
  expect((await run("get", "sites", "--no-headers")).out).not.toContain("NAME");
  expect((await run("get", "sites", "-o", "xml")).status).toBe(2);
});

test("every command that reads knows every form, so that a script can rely on it", async () => {
  const commands = [
    ["version"],
    ["get", "sites"],
    ["get", "site", "plant-1"],
    ["fleet", "list"],
    ["fleet", "describe", "ai", "-n", "kurator-system"],
    ["events", "-A"],
  ];
  for (const command of commands) {
    const json = await run(...command, "-o", "json");
    expect(json.status, command.join(" ")).toBe(0);
    expect(JSON.parse(json.out), command.join(" ")).toBeTypeOf("object");
    expect((await run(...command, "-o", "xml")).status, command.join(" ")).toBe(2);
  }
  expect((await run("fleet", "describe", "ai", "-n", "kurator-system", "-o", "name")).out).toBe(
    "fleet.fleet.kurator.dev/ai\n",
  );
  expect((await run("events", "-A", "-o", "name")).out).toMatch(/^(event\/\S+\n)+$/);
});

test("YAML quotes what YAML 1.1 would take for something else: kubectl and most others read that version", async () => {
  const file = join(folder, "words.yaml");
  writeFileSync(
    file,
    'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: words}\ndata: {a: "yes", b: "0o17", c: "2026-01-01"}\n',
  );
  await run("apply", "-f", file);
  const { out } = await run("get", "configmap", "words", "-o", "yaml");
  expect(out).toContain('a: "yes"');
  expect(out).toContain('c: "2026-01-01"');
});

test("a deletion that names nothing deletes nothing", async () => {
  for (const target of [["sites/"], ["site", ""], ["site", "."], ["site", ".."]]) {
    const { status, err } = await run("delete", ...target);
    expect([status, err]).toEqual([2, expect.stringContaining("is no name")]);
  }
  expect((await run("get", "sites", "-o", "name")).out).toContain("plant-1");
});

test("get and events go on with what changes as long as somebody reads", async () => {
  const file = join(folder, "watched.yaml");
  const watching = [
    ["get", "sites", "--watch"],
    ["get", "site", "watched", "-w", "-o", "name"],
    ["events", "-w"],
  ].map((argv) => watched(argv));
  await until(() => watching[0]?.out().includes("plant-1") === true);
  writeFileSync(file, SITE.replace("SITE", "watched"));
  expect((await run("apply", "-f", file)).out).toBe("site/watched created\n");
  await until(() => /^watched +onprem/m.test(watching[0]?.out() ?? ""));
  await until(() => watching[1]?.out().startsWith("site.edge.kurator.dev/watched\n") === true);
  for (const one of watching) expect(await one.stop()).toBe(0);
  expect(watching[0]?.out().match(/^NAME/gm)).toHaveLength(1);
});

function watched(argv: readonly string[]): { out: () => string; stop: () => Promise<number> } {
  let out = "";
  const gone = new AbortController();
  const ended = runCli(argv, {
    out: (text) => (out += text),
    err: () => undefined,
    env: { FLOTILLA_CONFIG: "/nonexistent/contexts.json", KUBECONFIG: hub.kubeconfig },
    nowMs: () => Date.now(),
    readStdin: () => Promise.resolve(""),
    readerGone: gone.signal,
    color: false,
  });
  return {
    out: () => out,
    stop: () => {
      gone.abort();
      return ended;
    },
  };
}

async function until(check: () => boolean): Promise<void> {
  for (let tries = 0; tries < 200 && !check(); tries++) await setTimeout(50);
  expect(check()).toBe(true);
}

test("delete removes, and a second time says that it is gone", async () => {
  expect((await run("delete", "site", "good")).out).toBe("site/good deleted\n");
  expect((await run("delete", "site/good")).status).toBe(3);
  expect((await run("delete", "site", "good", "--ignore-not-found")).status).toBe(0);
});

test("completion prints a script that knows the commands", async () => {
  for (const shell of ["bash", "zsh", "fish"]) {
    const { status, out } = await run("completion", shell);
    expect(status).toBe(0);
    expect(out).toContain("application");
  }
  expect((await run("completion", "tcsh")).status).toBe(2);
});

test("an empty list says so on standard error and prints nothing", async () => {
  expect(await run("get", "applications", "-n", "empty-namespace")).toEqual({
    status: 0,
    out: "",
    err: "no applications found in namespace empty-namespace\n",
  });
});

test("rebalance says what is missing where nothing divides an application, and shows what it would move", async () => {
  const file = join(folder, "divided.yaml");
  const manifest = (placement: string): string => `apiVersion: apps.kurator.dev/v1alpha1
kind: Application
metadata: {name: divided}
spec:
  components:
    - name: web
      type: Deployment
      placement: ${placement}
      template: {spec: {replicas: 2, template: {spec: {containers: [{name: c, command: [/bin/true]}]}}}}
`;
  writeFileSync(file, manifest("{}"));
  expect((await run("apply", "-f", file)).status).toBe(0);
  const plain = await run("rebalance", "divided", "--dry-run");
  expect(plain.status).toBe(1);
  expect(plain.err).toContain("nothing divides the replicas of divided over sites");
  writeFileSync(file, manifest("{replicaScheduling: {replicaDivisionPreference: Spread}}"));
  expect((await run("apply", "-f", file)).status).toBe(0);
  await expect
    .poll(async () => (await run("rebalance", "divided", "--dry-run")).out, { timeout: 10_000 })
    .toBe("nothing is worth moving\n");
  const asked = await run("rebalance", "divided");
  expect(asked.out).toBe("application/divided rebalance asked for\nnothing is worth moving\n");
  await expect
    .poll(async () => (await run("get", "application", "divided", "-o", "json")).out, {
      timeout: 10_000,
    })
    .toContain('"rebalanced"');
});
