import { describe, expect, test } from "vitest";
import { tufTools } from "../../platform/tuf.ts";
import { SimulatorClient, TufSimulator } from "../../testing/tuf-simulator.ts";

/**
 * The cases of tuf-conformance's test_updater_delegation_graphs.py, by their names. Roles have lower-case names, since others
 * are refused here.
 */

const tools = tufTools();

interface Edge {
  readonly by: string;
  readonly to: string;
  readonly terminating?: boolean;
  readonly paths?: readonly string[];
}

/** `targets>a` or `a>c` followed by what is special: `!` terminating, `:*.py` other paths. */
function edge(text: string): Edge {
  const [, by = "", to = "", terminating, paths] = /^(\w+)>(\w+)(!)?(?::(.*))?$/.exec(text) ?? [];
  return {
    by,
    to,
    ...(terminating === undefined ? {} : { terminating: true }),
    ...(paths === undefined ? {} : { paths: paths.split(" ") }),
  };
}

function repositoryOf(
  edges: readonly string[],
  targets: readonly (readonly [string, string])[] = [],
): TufSimulator {
  const repository = new TufSimulator({ tools });
  const made = edges.map(edge);
  for (const { by, to, ...options } of made) repository.delegate(by, to, options);
  for (const [role, path] of targets) repository.addTarget(role, path, `${path} by ${role}`);
  const roles = new Set(["targets", ...made.map(({ to }) => to)]);
  repository.publish(...roles, "snapshot", "timestamp");
  return repository;
}

/** Delegated roles that were asked for, in order. */
async function visitedFor(repository: TufSimulator, path: string) {
  const client = new SimulatorClient({ repository, tools });
  client.init();
  const end = await client.download(path);
  const roles = client.asked
    .slice(4)
    .map((file) => file.replace(/^\d+\./, "").replace(/\.json$/, ""));
  return { end, roles, client };
}

describe("test_graph_traversal", () => {
  test.each([
    ["basic-delegation", ["targets>a"], ["a"]],
    ["single-level-delegations", ["targets>a", "targets>b"], ["a", "b"]],
    ["two-level-delegations", ["targets>a", "targets>b", "b>c"], ["a", "b", "c"]],
    [
      "two-level-test-DFS-order-of-traversal",
      ["targets>a", "targets>b", "a>c", "a>d"],
      ["a", "c", "d", "b"],
    ],
    [
      "three-level-delegation-test-DFS-order-of-traversal",
      ["targets>a", "targets>b", "a>c", "c>d"],
      ["a", "c", "d", "b"],
    ],
    [
      "two-level-terminating-ignores-all-but-roles-descendants",
      ["targets>a", "targets>b", "a>c!", "a>d"],
      ["a", "c"],
    ],
    [
      "three-level-terminating-ignores-all-but-roles-descendants",
      ["targets>a", "targets>b", "a>c!", "c>d"],
      ["a", "c", "d"],
    ],
    [
      "two-level-ignores-all-branches-not-matching-paths",
      ["targets>a:*.py", "targets>b", "a>c"],
      ["b"],
    ],
    [
      "three-level-ignores-all-branches-not-matching-paths",
      ["targets>a", "targets>b", "a>c:*.py", "c>d"],
      ["a", "b"],
    ],
    ["cyclic-graph", ["targets>a", "targets>b", "b>c", "c>d", "d>b"], ["a", "b", "c", "d"]],
    ["two-roles-delegating-to-a-third", ["targets>a", "targets>b", "b>c", "a>c"], ["a", "c", "b"]],
    [
      "two-roles-delegating-to-a-third-different-paths",
      ["targets>a", "targets>b", "b>c", "a>c:*.py"],
      ["a", "b", "c"],
    ],
  ])("%s", async (_name, edges, visited) => {
    const { end, roles } = await visitedFor(repositoryOf(edges), "missingpath");
    expect([end, roles]).toEqual(["target-not-released", visited]);
  });
});

describe("test_targetfile_search", () => {
  const tree = (): TufSimulator =>
    repositoryOf(
      [
        "targets>a:*.doc *.md foo-?.tgz",
        "targets>b:releases/*/*",
        "b>c:releases/x/*",
        "b>d:releases/y/*.zip",
      ],
      [
        ["targets", "targetfile"],
        ["a", "README.md"],
        ["a", "releases/README.md"],
        ["a", "foo-1.tgz"],
        ["a", "foo-alpha.tgz"],
        ["c", "releases/x/x_v1"],
        ["d", "releases/y/y_v1.zip"],
        ["d", "releases/z/z_v1.zip"],
      ],
    );

  test.each([
    ["no delegations", "targetfile", true, []],
    ["targetpath matches wildcard", "README.md", true, ["a"]],
    ["targetpath with separators x", "releases/x/x_v1", true, ["b", "c"]],
    ["targetpath with separators y", "releases/y/y_v1.zip", true, ["b", "d"]],
    ["targetpath is not delegated by all roles in the chain", "releases/z/z_v1.zip", false, ["b"]],
    ["wildcard does not match path separator", "releases/README.md", false, []],
    ["targetpath matches question mark wildcard", "foo-1.tgz", true, ["a"]],
    ["targetpath does not match question mark wildcard", "foo-alpha.tgz", false, []],
    ["targetpath matching is case sensitive", "README.MD", false, []],
  ])("%s", async (_name, path, isFound, visited) => {
    const repository = tree();
    const { end, roles, client } = await visitedFor(repository, path);
    expect([end, roles]).toEqual([isFound ? "accepted" : "target-not-released", visited]);
    expect(client.downloads.get(path)).toBe(isFound ? repository.contents.get(path) : undefined);
  });
});

describe("delegations", () => {
  test("test_cached_role_is_verified_against_current_delegator", async () => {
    const repository = repositoryOf([]);
    repository.delegate("targets", "parent-a", { paths: ["team-a/*"] });
    repository.delegate("targets", "parent-b", { paths: ["team-b/*"] });
    repository.delegate("parent-a", "release", { paths: ["team-a/*"] });
    repository.delegate("parent-b", "release", { paths: ["team-b/*"] });
    repository.signOnlyFor("release", "parent-a");
    repository.addTarget("release", "team-a/trusted_root.json", "trusted A");
    repository.addTarget("release", "team-b/trusted_root.json", "malicious B");
    repository.publish("release", "parent-a", "parent-b", "targets", "snapshot", "timestamp");
    const client = new SimulatorClient({ repository, tools });
    client.init();
    expect(await client.download("team-a/trusted_root.json")).toBe("accepted");
    expect(await client.download("team-b/trusted_root.json")).toBe("metadata-unsigned");
    expect([...client.downloads.values()]).toEqual(["trusted A"]);
  });

  test("test_delegation_not_in_snapshot", async () => {
    const repository = repositoryOf([]);
    repository.delegate("targets", "delegated", { paths: ["delegatedpath/*"] });
    repository.publish("delegated", "targets");
    repository.unlisted.add("delegated");
    repository.publish("snapshot", "timestamp");
    const client = new SimulatorClient({ repository, tools });
    client.init();
    expect(await client.download("elsewhere")).toBe("target-not-released");
    client.takeAsked();
    expect(await client.download("delegatedpath/foo")).toBe("metadata-missing");
    expect(client.version("delegated")).toBeUndefined();
    expect(client.takeAsked()).toEqual(["2.root.json", "timestamp.json"]);
  });
});
