import { fileURLToPath } from "node:url";
import { describe, expect, test, vi } from "vitest";
import { startTestServer } from "./support/http-server.ts";
import { put } from "./support/hub-core.ts";
import { collect, type FoundKubectl, findKubectls, Kubectl } from "./support/kubectl.ts";
import { assignment, edgeNode, inventory, reading } from "./support/node-builders.ts";
import { realHub, realResources } from "./support/real-resources.ts";

const found = await findKubectls();
const isRequired = process.env["FLOTILLA_REQUIRE_KUBECTL"] === "1";
if (found.length === 0)
  process.stderr.write("no kubectl 1.29 or newer on the PATH: the kubectl tests are left out\n");
const ends = [...new Set([found.at(0), found.at(-1)])].filter((k) => k !== undefined);
const between = found.slice(1, -1);

// A machine without kubectl still tests everything else; where it is said to be there (CI), its absence is a failure:
// https://kubernetes.io/docs/tasks/tools/
test.runIf(isRequired)("a kubectl that is new enough is there", () => {
  expect(found.map((k) => k.version)).not.toEqual([]);
});

const manifest = (spec: string): string =>
  `apiVersion: fleet.kurator.dev/v1alpha1\nkind: Fleet\nmetadata:\n  name: f1\n  labels: {tier: gold}\nspec:\n  clusters:\n${spec}`;
const FLEET = manifest("  - name: hz\n");
const FLEET_EDITED = manifest("  - name: hz\n  - name: sh\n");
const SITE =
  "apiVersion: edge.kurator.dev/v1alpha1\nkind: Site\nmetadata: {name: s1}\nspec: {region: east}\n";
const CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c1}\ndata: {a: '1'}\n";

async function kubectlOf(of: FoundKubectl): Promise<Kubectl> {
  const hub = await startTestServer({ resources: realResources() });
  return new Kubectl(of, hub);
}

describe.each(between)("kubectl $version", (of) => {
  test("applies, gets and deletes", async () => {
    const kubectl = await kubectlOf(of);
    expect(await kubectl.ok(["apply", "-f", "-"], FLEET)).toBe(
      "fleet.fleet.kurator.dev/f1 created\n",
    );
    expect(await kubectl.ok(["apply", "-f", "-"], FLEET)).toBe(
      "fleet.fleet.kurator.dev/f1 unchanged\n",
    );
    expect(await kubectl.ok(["get", "fl"])).toMatch(/^NAME .*AGE\nf1 /);
    expect(await kubectl.ok(["delete", "fleet", "f1"])).toContain("deleted");
  });
});

describe.each(ends)("kubectl $version", (of) => {
  test("apply creates, edits and leaves alone what is already so", async () => {
    const kubectl = await kubectlOf(of);
    const apply = (text: string) => kubectl.ok(["apply", "-f", "-"], text);
    expect(await apply(FLEET)).toBe("fleet.fleet.kurator.dev/f1 created\n");
    const version = [
      "get",
      "fleet",
      "f1",
      "-o",
      "jsonpath={.metadata.resourceVersion} {.metadata.generation}",
    ];
    const before = await kubectl.ok(version);
    expect(await apply(FLEET)).toBe("fleet.fleet.kurator.dev/f1 unchanged\n");
    expect(await kubectl.ok(version)).toBe(before);
    expect(await apply(FLEET_EDITED)).toBe("fleet.fleet.kurator.dev/f1 configured\n");
    expect(
      await kubectl.ok([
        "get",
        "fleet",
        "f1",
        "-o",
        "jsonpath={.spec.clusters[*].name} {.metadata.generation}",
      ]),
    ).toBe("hz sh 2");
    expect(await apply(`${FLEET}---\n${SITE}---\n${CONFIG}`)).toContain(
      "site.edge.kurator.dev/s1 created\nconfigmap/c1 created\n",
    );
  });

  test("get answers tables, wide tables, YAML, JSON, jsonpath and names", async () => {
    const kubectl = await kubectlOf(of);
    await kubectl.ok(["apply", "-f", "-"], `${FLEET}---\n${SITE}`);
    expect(await kubectl.ok(["get", "fleets"])).toMatch(/^NAME .*AGE\nf1 .*s\n$/);
    expect(await kubectl.ok(["get", "fleets", "-o", "wide"])).toMatch(/^NAME .*AGE/);
    expect(await kubectl.ok(["get", "fleets", "-o", "name"])).toBe("fleet.fleet.kurator.dev/f1\n");
    expect(await kubectl.ok(["get", "fleet", "f1", "-o", "yaml"])).toContain("kind: Fleet\n");
    expect(JSON.parse(await kubectl.ok(["get", "fleets", "-o", "json"]))).toMatchObject({
      kind: "List",
      items: [{ kind: "Fleet", metadata: { name: "f1", namespace: "default" } }],
    });
    expect(await kubectl.ok(["get", "site", "s1", "-o", "jsonpath={.spec.region}"])).toBe("east");
    expect(await kubectl.ok(["get", "fleets", "-A"])).toMatch(/^NAMESPACE +NAME .*\ndefault +f1 /);
    expect(await kubectl.ok(["get", "fl,sites"])).toContain("site.edge.kurator.dev/s1");
    expect(await kubectl.ok(["get", "kurator"])).toContain("fleet.fleet.kurator.dev/f1");
  });

  test("get selects by labels and fields, and pages through a long list", async () => {
    const kubectl = await kubectlOf(of);
    const sites = Array.from({ length: 7 }, (_, i) => SITE.replace("s1", `s${i}`)).join("---\n");
    await kubectl.ok(["apply", "-f", "-"], `${sites}---\n${FLEET}`);
    expect(await kubectl.ok(["get", "fleets", "-l", "tier=gold", "-o", "name"])).toBe(
      "fleet.fleet.kurator.dev/f1\n",
    );
    expect(await kubectl.ok(["get", "fleets", "-l", "tier notin (gold)", "-o", "name"])).toBe("");
    expect(
      await kubectl.ok(["get", "sites", "--field-selector", "metadata.name=s3", "-o", "name"]),
    ).toBe("site.edge.kurator.dev/s3\n");
    expect(
      (await kubectl.ok(["get", "sites", "--chunk-size", "2", "-o", "name"])).split("\n"),
    ).toHaveLength(8);
    const bad = await kubectl.run(["get", "sites", "--field-selector", "spec.region=east"]);
    expect(bad.stderr).toContain("field label not supported");
  });

  test("get -w shows what is there and what changes", async () => {
    const kubectl = await kubectlOf(of);
    await kubectl.ok(["apply", "-f", "-"], FLEET);
    const watch = kubectl.start(["get", "fleets", "-w", "-o", "wide"]);
    const out = collect(watch);
    await vi.waitFor(() => expect(out.stdout).toMatch(/NAME[^\n]*\nf1 /), 10_000);
    await kubectl.ok(["apply", "-f", "-"], FLEET.replace("f1", "f2"));
    await vi.waitFor(() => expect(out.stdout).toMatch(/\nf2 /), 10_000);
    await kubectl.ok(["delete", "fleet", "f1"]);
    await vi.waitFor(() => expect(out.stdout.match(/\nf1 /g)?.length).toBeGreaterThan(1), 10_000);
    expect(out.stdout.match(/NAME/g)).toHaveLength(1);
    expect(out.stderr).toBe("");
  });

  test("delete waits until it is gone; wait sees conditions and deletions", async () => {
    const kubectl = await kubectlOf(of);
    await kubectl.ok(["apply", "-f", "-"], FLEET);
    const ready = kubectl.run(["wait", "fleet/f1", "--for=condition=Ready", "--timeout=20s"]);
    const condition = {
      type: "Ready",
      status: "True",
      reason: "Tested",
      message: "",
      lastTransitionTime: "2026-01-01T00:00:00Z",
    };
    await kubectl.ok([
      "patch",
      "fleet",
      "f1",
      "--subresource=status",
      "--type=merge",
      "-p",
      JSON.stringify({ status: { conditions: [condition] } }),
    ]);
    expect(await ready).toMatchObject({
      code: 0,
      stdout: "fleet.fleet.kurator.dev/f1 condition met\n",
    });
    await kubectl.ok([
      "patch",
      "fleet",
      "f1",
      "--type=merge",
      "-p",
      '{"metadata":{"finalizers":["test.dev/hold"]}}',
    ]);
    const gone = kubectl.run(["wait", "fleet/f1", "--for=delete", "--timeout=20s"]);
    await kubectl.ok(["delete", "fleet", "f1", "--wait=false"]);
    expect(
      await kubectl.ok(["get", "fleet", "f1", "-o", "jsonpath={.metadata.deletionTimestamp}"]),
    ).toMatch(/^20/);
    await kubectl.ok([
      "patch",
      "fleet",
      "f1",
      "--type=merge",
      "-p",
      '{"metadata":{"finalizers":null}}',
    ]);
    expect((await gone).code).toBe(0);
    await kubectl.ok(["apply", "-f", "-"], FLEET);
    expect(await kubectl.ok(["delete", "-f", "-"], FLEET)).toContain('"f1" deleted');
    expect((await kubectl.run(["get", "fleet", "f1"])).stderr).toContain(
      'fleets.fleet.kurator.dev "f1" not found',
    );
  });

  test("describe, label, annotate, patch and edit objects of own and of core kinds", async () => {
    const kubectl = await kubectlOf(of);
    await kubectl.ok(["apply", "-f", "-"], `${FLEET}---\n${CONFIG}`);
    expect(await kubectl.ok(["describe", "fleet", "f1"])).toMatch(
      /Name: +f1\n[^]*Kind: +Fleet\n[^]*Events: +<none>/,
    );
    expect(await kubectl.ok(["describe", "configmap", "c1"])).toContain("Data\n====");
    for (const target of ["fleet/f1", "configmap/c1"]) {
      await kubectl.ok(["label", target, "color=blue"]);
      await kubectl.ok(["annotate", target, "note=x"]);
      expect(
        await kubectl.ok([
          "get",
          target,
          "-o",
          "jsonpath={.metadata.labels.color}{.metadata.annotations.note}",
        ]),
      ).toBe("bluex");
      await kubectl.ok(["label", target, "color-"]);
      expect(await kubectl.ok(["get", target, "-o", "jsonpath={.metadata.labels.color}"])).toBe("");
    }
    expect(
      await kubectl.ok(["patch", "fleet", "f1", "--type=merge", "-p", '{"spec":{"clusters":[]}}']),
    ).toContain("patched");
    expect(await kubectl.ok(["patch", "configmap", "c1", "-p", '{"data":{"b":"2"}}'])).toContain(
      "patched",
    );
    expect(await kubectl.ok(["get", "cm", "c1", "-o", "jsonpath={.data}"])).toBe(
      '{"a":"1","b":"2"}',
    );
    const strategic = await kubectl.run(["patch", "fleet", "f1", "-p", "{}"]);
    expect(strategic.stderr).toContain("application/merge-patch+json");
  });

  test("namespaces, secrets and what is in them come and go", async () => {
    const kubectl = await kubectlOf(of);
    await kubectl.ok(["create", "namespace", "shop"]);
    await kubectl.ok(["create", "secret", "generic", "s", "--from-literal=k=v", "-n", "shop"]);
    await kubectl.ok(["create", "configmap", "c", "--from-literal=k=v", "-n", "shop"]);
    expect(await kubectl.ok(["get", "cm", "c", "-n", "shop", "-o", "jsonpath={.data}"])).toBe(
      '{"k":"v"}',
    );
    expect(await kubectl.ok(["get", "secret", "s", "-n", "shop", "-o", "jsonpath={.data.k}"])).toBe(
      "dg==",
    );
    expect(await kubectl.ok(["get", "ns", "-o", "name"])).toContain("namespace/shop\n");
    await kubectl.ok(["delete", "secret", "s", "-n", "shop"]);
    expect((await kubectl.run(["get", "secret", "s", "-n", "shop"])).stderr).toContain("not found");
    expect(await kubectl.ok(["describe", "ns", "shop"])).toMatch(
      /Name: +shop\n[^]*Status: +Active/,
    );
    await kubectl.ok(["delete", "namespace", "shop", "--timeout=20s"]);
    expect(await kubectl.ok(["get", "cm", "-n", "shop", "-o", "name"])).toBe("");
  });

  test("api-resources, version, raw paths and questions about oneself", async () => {
    const kubectl = await kubectlOf(of);
    const resources = await kubectl.ok(["api-resources", "--no-headers"]);
    for (const line of [
      /^fleets +fl +fleet\.kurator\.dev\/v1alpha1 +true +Fleet$/m,
      /^nodes +no +v1 +false +Node$/m,
      /^edgenodes +en +edge/m,
    ])
      expect(resources).toMatch(line);
    expect(await kubectl.ok(["get", "--raw", "/readyz?verbose"])).toContain("readyz check passed");
    expect(await kubectl.ok(["version"])).toMatch(/Server Version: v1\.\d+\.0\+flotilla/);
    expect(await kubectl.ok(["explain", "fleet.spec.clusters"])).toMatch(
      /KIND: +Fleet[^]*kubeconfigRef/,
    );
    expect(await kubectl.ok(["auth", "can-i", "create", "fleets"])).toBe("yes\n");
    expect(await kubectl.ok(["auth", "whoami"])).toContain("admin");
  });

  test("every manifest of the article applies as it stands, and again without a change", async () => {
    const kubectl = await kubectlOf(of);
    const folder = fileURLToPath(new URL("./data/article", import.meta.url));
    const created = await kubectl.ok(["apply", "-f", folder]);
    expect(
      created
        .trim()
        .split("\n")
        .map((line) => line.split(" ").at(-1)),
    ).toEqual(Array(10).fill("created"));
    const again = await kubectl.ok(["apply", "-f", folder]);
    expect(
      again
        .trim()
        .split("\n")
        .map((line) => line.split(" ").at(-1)),
    ).toEqual(Array(10).fill("unchanged"));
    await kubectl.ok(["get", "kurator", "-A", "-o", "wide"]);
    expect((await kubectl.ok(["replace", "-f", folder])).trim().split("\n")).toHaveLength(10);
    await kubectl.ok(["delete", "-f", folder, "--timeout=20s"]);
  });

  test("nodes are shown, described, cordoned, tainted and drained; pods are shown and deleted; logs are read", async () => {
    const { store, resources } = realHub();
    await put(
      store,
      edgeNode("n1", { life: "ready", inventory: inventory(), capacity: reading().capacity }),
      assignment("web-api-0", "n1"),
    );
    const asked: unknown[] = [];
    const logs = {
      tail: async (request: unknown) => {
        asked.push(request);
        return { text: "line 1\nline 2\n", truncated: false };
      },
    };
    const kubectl = new Kubectl(of, await startTestServer({ resources, logs }));
    expect(await kubectl.ok(["get", "nodes", "-o", "wide"])).toMatch(/NAME +STATUS[^\n]*\nn1 /);
    expect(await kubectl.ok(["describe", "node", "n1"])).toMatch(/Name: +n1\n[^]*web-api-0/);
    await kubectl.ok(["cordon", "n1"]);
    expect(
      await kubectl.ok(["get", "edgenode", "n1", "-o", "jsonpath={.spec.unschedulable}"]),
    ).toBe("true");
    await kubectl.ok(["uncordon", "n1"]);
    await kubectl.ok(["taint", "nodes", "n1", "dirty=yes:NoSchedule"]);
    await kubectl.ok(["label", "node", "n1", "line=4"]);
    expect(
      await kubectl.ok([
        "get",
        "en",
        "n1",
        "-o",
        "jsonpath={.spec.taints[0].key} {.metadata.labels.line}",
      ]),
    ).toBe("dirty 4");
    expect(await kubectl.ok(["get", "pods", "-A", "-o", "wide"])).toMatch(/shop +web-api-0 /);
    expect(await kubectl.ok(["describe", "pod", "web-api-0", "-n", "shop"])).toMatch(/Node: +n1/);
    expect(await kubectl.ok(["logs", "web-api-0", "-n", "shop", "--tail", "2"])).toBe(
      "line 1\nline 2\n",
    );
    expect(asked).toMatchObject([{ namespace: "shop", pod: "web-api-0", tailLines: 2 }]);
    expect((await kubectl.run(["logs", "web-api-0", "-n", "shop", "-f"])).stderr).toContain(
      "follow is not supported yet",
    );
    await kubectl.ok(["drain", "n1", "--force", "--ignore-daemonsets", "--timeout=20s"]);
    expect(await kubectl.ok(["get", "pods", "-A", "-o", "name"])).toBe("");
  });

  test("what is wrong with a manifest is said with its path, and nothing is stored", async () => {
    const kubectl = await kubectlOf(of);
    const unknown = await kubectl.run(
      ["apply", "-f", "-"],
      FLEET.replace("- name: hz", "- nam: hz"),
    );
    expect(unknown.code).toBe(1);
    expect(unknown.stderr).toMatch(/unknown field "spec\.clusters\[0\]\.nam"/);
    const wrong = await kubectl.run(["apply", "-f", "-"], FLEET.replace("- name: hz", "- name: 5"));
    expect(wrong.stderr).toContain("spec.clusters[0].name");
    expect(await kubectl.ok(["get", "fleets", "-o", "name"])).toBe("");
    const serverSide = await kubectl.run(["apply", "--server-side", "-f", "-"], FLEET);
    expect(serverSide.code).toBe(1);
    const dryRun = await kubectl.run(["apply", "--dry-run=server", "-f", "-"], FLEET);
    expect(dryRun.stdout).toContain("created (server dry run)");
    expect(await kubectl.ok(["get", "fleets", "-o", "name"])).toBe("");
  });
});
