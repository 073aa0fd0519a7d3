import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, normalize } from "node:path";
import { runCli } from "@flotilla/cli/main/program";
import { AgentConfig } from "@flotilla/edge-agent/main/config";
import { AGENT_METRICS } from "@flotilla/edge-agent/main/wiring";
import { HubConfig } from "@flotilla/hub/main/config";
import { HUB_METRICS } from "@flotilla/hub/main/wiring";
import type { MetricDefinition } from "@flotilla/shared/kernel/service";
import { expect, test } from "vitest";
import { exportsOf, filesOfTree, ROOT, sourcesOf, textOf } from "./support/tree.ts";

const PACKAGES = ["shared", "hub", "edge-agent", "cli"] as const;
const FILES = filesOfTree();

/** Text from a heading to the next one of the same or a higher level. */
function section(page: string, heading: string): string {
  const text = textOf(page);
  const start = text.indexOf(`\n${heading}\n`);
  if (start < 0) throw new Error(`${page} has no heading "${heading}"`);
  const rest = text.slice(start + heading.length + 2);
  const end = rest.search(new RegExp(`^#{1,${heading.indexOf(" ")}} `, "m"));
  return end < 0 ? rest : rest.slice(0, end);
}

/** Cells of a table's rows, headings and rulers left out; a `\|` is no border. */
function rowsOf(text: string): readonly (readonly string[])[] {
  return text
    .split("\n")
    .filter((line) => line.startsWith("|"))
    .map((line) => line.split(/(?<!\\)\|/).slice(1, -1))
    .map((cells) => cells.map((cell) => cell.trim()))
    .filter((cells, i) => i > 0 && !cells.every((cell) => /^-+$/.test(cell)));
}

function codesIn(text: string): readonly string[] {
  return [...text.matchAll(/`([^`]+)`/g)].map((m) => m[1] ?? "");
}

function withoutFences(text: string): string {
  return text.replaceAll(/^```[\s\S]*?^```/gm, "");
}

// ---------------------------------------------------------------- metrics

function isDefinitions(value: unknown): value is readonly MetricDefinition[] {
  return Array.isArray(value) && value.every((d: unknown) => typeof d === "object" && d !== null);
}

async function definitionsOf(name: "hub" | "edge-agent"): Promise<readonly MetricDefinition[]> {
  const files = sourcesOf(name).filter((path) => /[/-]metrics\.ts$/.test(path));
  const modules = await Promise.all(files.map(exportsOf));
  return modules.flatMap((module) => Object.values(module).filter(isDefinitions).flat());
}

const shape = (name: string, kind: string, labels: readonly string[]): string =>
  `${name} ${kind} [${labels.toSorted().join(", ")}]`;

test.each([
  ["hub", "## Hub"],
  ["edge-agent", "## Agent"],
] as const)(
  "docs/metrics.md lists the metrics of %s as they are defined, and no others",
  async (name, heading) => {
    const defined = (await definitionsOf(name)).map((d) => shape(d.name, d.kind, d.labels ?? []));
    const documented = rowsOf(section("docs/metrics.md", heading)).map(
      ([metric = "", kind = "", labels = ""]) =>
        shape(codesIn(metric).join(), kind, codesIn(labels)),
    );
    expect(documented.toSorted()).toEqual(defined.toSorted());
  },
);

test.each([
  ["hub", HUB_METRICS],
  ["edge-agent", AGENT_METRICS],
] as const)("%s has the metrics of all its features", async (name, wired) => {
  const defined = (await definitionsOf(name)).map((d) => d.name);
  expect(wired.map((d) => d.name).toSorted()).toEqual(defined.toSorted());
});

test("the metrics that docs/metrics.md tells to watch exist", async () => {
  const known = [...(await definitionsOf("hub")), ...(await definitionsOf("edge-agent"))];
  const named = codesIn(section("docs/metrics.md", "## What to watch")).map(
    (code) => /^flotilla_[a-z_]+/.exec(code)?.[0],
  );
  const unknown = named.filter((n) => n !== undefined && !known.some((d) => d.name === n));
  expect(unknown).toEqual([]);
});

// ---------------------------------------------------------------- error codes

/** Heading → codes of every `…ErrorCode` union, and of the API's reasons, read from the sources. */
function unionsInSources(): ReadonlyMap<string, readonly string[]> {
  const unions = new Map<string, readonly string[]>();
  for (const name of PACKAGES)
    for (const path of sourcesOf(name)) {
      const text = textOf(path);
      for (const [, type = "", body = ""] of text.matchAll(
        /^export type (\w*ErrorCode|ApiReason) =([^;]+);/gm,
      ))
        unions.set(`${name} \`${type}\``, codesOfUnion(body, text));
    }
  return unions;
}

function codesOfUnion(body: string, file: string): readonly string[] {
  const constant = /keyof typeof (\w+)/.exec(body)?.[1];
  if (constant === undefined) return [...body.matchAll(/"([^"]+)"/g)].map((m) => m[1] ?? "");
  const members = new RegExp(`const ${constant} = \\{([\\s\\S]*?)\\n\\} as const`).exec(file)?.[1];
  return [...(members ?? "").matchAll(/^ {2}"?([\w-]+)"?:/gm)].map((m) => m[1] ?? "");
}

function unionsInDocument(): ReadonlyMap<string, readonly string[]> {
  const headings = [...textOf("docs/errors.md").matchAll(/^## (.+)$/gm)].map((m) => m[1] ?? "");
  return new Map(
    headings.map((heading) => [
      heading,
      rowsOf(section("docs/errors.md", `## ${heading}`)).flatMap(([code = ""]) => codesIn(code)),
    ]),
  );
}

test("docs/errors.md lists every set of error codes as the sources have it, and no other", () => {
  const sorted = (unions: ReadonlyMap<string, readonly string[]>): Record<string, string[]> =>
    Object.fromEntries([...unions].map(([name, codes]) => [name, codes.toSorted()]));
  const known = unionsInSources();
  expect(known.size).toBeGreaterThan(8);
  expect(sorted(unionsInDocument())).toEqual(sorted(known));
});

test("no error is thrown with a code that is in no set of its package", () => {
  const unions = unionsInSources();
  const codesOf = (name: string): readonly string[] =>
    [...unions].filter(([heading]) => heading.startsWith(`${name} `)).flatMap(([, codes]) => codes);
  const stray = PACKAGES.flatMap((name) => {
    const known = new Set([...codesOf("shared"), ...codesOf(name)]);
    return sourcesOf(name).flatMap((path) =>
      [...textOf(path).matchAll(/new (?:Coded|Cli|Enrolment)Error(?:<\w+>)?\(\s*"([^"]+)"/g)]
        .map((m) => m[1] ?? "")
        .filter((code) => !known.has(code))
        .map((code) => `${path}: ${code}`),
    );
  });
  expect(stray).toEqual([]);
});

test("the HTTP status beside an enrolment code or an API reason is the one that is answered", async () => {
  const { ENROLMENT_ERROR_STATUS } = await exportsOf(
    "packages/hub/src/domain/enrolment/enrolment-error.ts",
  );
  const { STATUS_CODES } = await exportsOf("packages/hub/src/domain/resources/api-error.ts");
  const statusOf = (heading: string): Record<string, number> =>
    Object.fromEntries(
      rowsOf(section("docs/errors.md", heading)).map(([code = "", status]) => [
        codesIn(code).join(),
        Number(status),
      ]),
    );
  expect(statusOf("## hub `EnrolmentErrorCode`")).toEqual(ENROLMENT_ERROR_STATUS);
  expect(statusOf("## hub `ApiReason`")).toEqual(STATUS_CODES);
});

test("the exit statuses in docs/errors.md and docs/cli.md are those of the CLI", async () => {
  const { EXIT_STATUS } = await exportsOf("packages/cli/src/domain/errors.ts");
  const documented = Object.fromEntries(
    rowsOf(section("docs/errors.md", "## cli `CliErrorCode`")).map(([code = "", status]) => [
      codesIn(code).join(),
      Number(status),
    ]),
  );
  expect(documented).toEqual(EXIT_STATUS);
  const listed = rowsOf(textOf("docs/cli.md")).map(([first = ""]) => first);
  const missing = Object.values(documented).filter((status) => !listed.includes(String(status)));
  expect(missing).toEqual([]);
});

// ---------------------------------------------------------------- links and paths

/** As GitHub makes them: lower case, letters, digits, hyphens and underscores, spaces as hyphens. */
function anchorsOf(page: string): readonly string[] {
  return [...withoutFences(textOf(page)).matchAll(/^#{1,6} (.+)$/gm)].map((m) =>
    (m[1] ?? "")
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
      .replaceAll(/\s/g, "-"),
  );
}

test("every relative link of every page leads to a file, and to a heading of it where it names one", () => {
  const dead = FILES.filter((path) => path.endsWith(".md")).flatMap((page) =>
    [...withoutFences(textOf(page)).matchAll(/\]\(([^)\s]+)\)/g)]
      .map((m) => m[1] ?? "")
      .filter((link) => !/^(?:[a-z]+:|mailto:)/.test(link))
      .filter((link) => {
        const [target = "", anchor] = link.split("#");
        const path = target === "" ? page : normalize(join(dirname(page), target));
        if (!existsSync(join(ROOT, path))) return true;
        return anchor !== undefined && path.endsWith(".md") && !anchorsOf(path).includes(anchor);
      })
      .map((link) => `${page}: ${link}`),
  );
  expect(dead).toEqual([]);
});

const PACKAGE_WORDS: Readonly<Record<string, string>> = { hub: "hub", agent: "edge-agent" };

/**
 * Paths that a row of ARCHITECTURE.md's tables names, from the repository's root. `shared/…` is of the shared package, the
 * rest of the one that the row begins with; a bare file name lies beside the path before it.
 */
function pathsOfRow(cells: readonly string[]): readonly string[] {
  const where = cells[1] ?? "";
  const word = /^(hub|agent)\b/.exec(where)?.[1] ?? "";
  const source = `packages/${PACKAGE_WORDS[word] ?? "?"}/src`;
  let folder = source;
  const found: string[] = [];
  for (const token of cells.flatMap(codesIn)) {
    const shared = /^(?:shared)\/(.+)$/.exec(token)?.[1];
    const isPath = /^(?:domain|app|adapters|main)\//.test(token);
    if (shared === undefined && !isPath && !/^[\w-]+\.(?:ts|md)$/.test(token)) continue;
    const path =
      shared !== undefined
        ? `packages/shared/src/${shared}`
        : isPath
          ? `${source}/${token}`
          : `${folder}/${token}`;
    found.push(path);
    folder = /\.\w+$/.test(path) ? dirname(path) : path.replace(/\/$/, "");
  }
  return found;
}

test("every path in ARCHITECTURE.md's tables exists", () => {
  const paths = rowsOf(textOf("ARCHITECTURE.md")).flatMap(pathsOfRow);
  expect(paths.length).toBeGreaterThan(25);
  expect(paths.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
});

test("every path on a page that begins with a folder of the repository, or of the page's package, exists", () => {
  const tops = /^(?:packages|docs|test|scripts|examples|packaging|bench)\/[\w./-]+$/;
  const pages = FILES.filter((path) => path.endsWith(".md"));
  const missing = pages.flatMap((page) => {
    const own = /^packages\/[^/]+\//.exec(page)?.[0] ?? "";
    return codesIn(withoutFences(textOf(page)))
      .filter((code) => tops.test(code))
      .filter((code) => ![code, own + code].some((path) => existsSync(join(ROOT, path))))
      .map((code) => `${page}: ${code}`);
  });
  expect(missing).toEqual([]);
});

test("every page of docs/decisions is in its index", () => {
  const pages = FILES.filter((p) => /^docs\/decisions\/(?!README).+\.md$/.test(p));
  const index = textOf("docs/decisions/README.md");
  expect(pages.length).toBeGreaterThan(3);
  expect(
    pages.filter((path) => !index.includes(`(${path.slice("docs/decisions/".length)})`)),
  ).toEqual([]);
});

// ---------------------------------------------------------------- flags and configuration

const OPERATIONS = "docs/operations.md";

function flagsInSources(name: "hub" | "edge-agent"): readonly string[] {
  const main = sourcesOf(name).filter((path) => path.startsWith(`packages/${name}/src/main/`));
  return main.flatMap((path) =>
    [...textOf(path).matchAll(/["\s](--[a-z][a-z-]+)(?= <|"|,)/g)].map((m) => m[1] ?? ""),
  );
}

test.each([
  ["hub", "## Start a hub"],
  ["edge-agent", "## Start a node"],
] as const)("every flag of %s is in docs/operations.md", (name, heading) => {
  const listed = new Set(
    rowsOf(section(OPERATIONS, heading)).flatMap(([flag = ""]) => codesIn(flag)),
  );
  const flags = flagsInSources(name);
  expect(flags.length).toBeGreaterThan(2);
  expect(flags.filter((flag) => !listed.has(flag))).toEqual([]);
});

test.each([
  ["hub", "## Start a hub", HubConfig.properties],
  ["edge-agent", "## Start a node", AgentConfig.properties],
] as const)(
  "every setting of %s is in docs/operations.md, with its flag and its default",
  (_, heading, properties) => {
    const rows = rowsOf(section(OPERATIONS, heading)).filter(([, field = ""]) => field !== "");
    const fields = rows.map(([, field = ""]) => codesIn(field).join()).filter((f) => f !== "");
    expect(fields.toSorted()).toEqual(Object.keys(properties).toSorted());
    const wrong = Object.entries(properties).filter(([field, schema]) => {
      const row = rows.find(([, name]) => name === `\`${field}\``) ?? [];
      const flag = `--${field.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
      if (!codesIn(row[0] ?? "").includes(flag)) return true;
      if (!("default" in schema)) return false;
      const shown = String(schema.default).replace(homedir(), "~");
      return !codesIn(row[2] ?? "").includes(shown);
    });
    expect(wrong).toEqual([]);
  },
);

// ---------------------------------------------------------------- limits

/** `NAME` → every value that an exported constant of that name has in these packages. */
async function constantsOf(names: readonly string[]): Promise<ReadonlyMap<string, unknown[]>> {
  const files = names
    .flatMap(sourcesOf)
    .filter(
      (path) => !/\/main\/(?!config)/.test(path) && /^export const [A-Z]/m.test(textOf(path)),
    );
  const values = new Map<string, unknown[]>();
  const modules = await Promise.all(files.map(exportsOf));
  for (const [name, value] of modules.flatMap((module) => Object.entries(module))) {
    if (!/^[A-Z][A-Z0-9_]+$/.test(name)) continue;
    values.set(name, [...(values.get(name) ?? []), value]);
    const members = name.endsWith("_LIMITS") ? Object.entries(Object(value)) : [];
    for (const [key, inner] of members) values.set(`${name}.${key}`, [inner]);
  }
  return values;
}

test.each([
  ["### Hub", ["hub", "shared"]],
  ["### Agent", ["edge-agent"]],
  ["### Both", ["shared"]],
] as const)(
  "the limits of %s in docs/operations.md have the values that the code has",
  async (heading, names) => {
    const constants = await constantsOf(names);
    const rows = rowsOf(section(OPERATIONS, heading));
    expect(rows.length).toBeGreaterThan(5);
    const wrong = rows.flatMap(([name = "", value = "", effect = ""]) => {
      const known = constants.get(codesIn(name).join()) ?? [];
      const isRight = known.includes(Number(/^\d+/.exec(value)?.[0])) && effect !== "";
      return isRight ? [] : [`${name} is ${JSON.stringify(known)}, the page says ${value}`];
    });
    expect(wrong).toEqual([]);
  },
);

test("every limit that docs/operations.md names in a sentence exists", async () => {
  const constants = await constantsOf(PACKAGES);
  const named = codesIn(withoutFences(textOf(OPERATIONS))).filter((code) =>
    /^(?!FLOTILLA_)[A-Z][A-Z0-9]*_[A-Z0-9_]+$/.test(code),
  );
  expect(named.filter((name) => !constants.has(name))).toEqual([]);
});

// ---------------------------------------------------------------- command line

interface Help {
  readonly commands: readonly string[];
  readonly flags: readonly string[];
}

async function helpOf(command: readonly string[]): Promise<Help> {
  let text = "";
  await runCli([...command, "--help"], {
    out: (piece) => (text += piece),
    err: (piece) => (text += piece),
    env: {},
    nowMs: () => 0,
    readStdin: () => Promise.resolve(""),
    readerGone: new AbortController().signal,
    color: false,
  });
  const list = /\nCommands:\n([\s\S]*?)(?:\n\n|$)/.exec(text)?.[1] ?? "";
  const commands = [...list.matchAll(/^ {2}([a-z][a-z-]*)/gm)].map((m) => m[1] ?? "");
  const flags = [...text.matchAll(/(--?[a-z][a-z-]*)/gi)].map((m) => m[1] ?? "");
  return { commands: commands.filter((name) => name !== "help"), flags };
}

/** Every command, as `node join-token`, and every flag of any. */
async function commandTree(parent: readonly string[] = []): Promise<Help> {
  const own = await helpOf(parent);
  const below = await Promise.all(own.commands.map((name) => commandTree([...parent, name])));
  const path = parent.join(" ");
  return {
    commands: [...(path === "" ? [] : [path]), ...below.flatMap((help) => help.commands)],
    flags: [...own.flags, ...below.flatMap((help) => help.flags)],
  };
}

/** Lower-case words that a code span begins with; a span after the first of its cell may leave out the command before it. */
function commandsOfCell(cell: string, isCommand: (path: string) => boolean): readonly string[] {
  const spans = codesIn(cell).map(
    (span) => /^[a-z][a-z-]*(?: [a-z][a-z-]*)*/.exec(span)?.[0] ?? "",
  );
  const parent = spans[0]?.split(" ")[0] ?? "";
  return spans
    .filter((span) => span !== "")
    .map((span) => [span, `${parent} ${span}`].find(isCommand) ?? span.split(" ")[0] ?? span);
}

test("docs/cli.md names every command of `flotilla`, and no other", async () => {
  const { commands } = await commandTree();
  const known = new Set(commands);
  const leaves = commands.filter((path) => !commands.some((other) => other.startsWith(`${path} `)));
  const table = /\n\| command \|[\s\S]*?\n\n/.exec(textOf("docs/cli.md"))?.[0] ?? "";
  const named = rowsOf(table.trim()).flatMap(([cell = ""]) =>
    commandsOfCell(cell, (path) => known.has(path)),
  );
  expect([...new Set(named)].toSorted()).toEqual(leaves.toSorted());
});

test("every flag that docs/cli.md names exists", async () => {
  const { flags } = await commandTree();
  const named = codesIn(textOf("docs/cli.md")).flatMap((code) =>
    [...code.matchAll(/(?:^|[\s[])(--?[a-zA-Z][a-z-]*)/g)].map((m) => m[1] ?? ""),
  );
  expect(named.length).toBeGreaterThan(10);
  expect([...new Set(named.filter((flag) => !flags.includes(flag)))]).toEqual([]);
});

test("every test that docs/invariants.md names is there under this name", () => {
  const named = [...textOf("docs/invariants.md").matchAll(/`([^`]+\.test\.ts)` "([^"]+)"/g)];
  expect(named.length).toBeGreaterThan(7);
  const missing = named.filter(([, file = "", name = ""]) => !textOf(file).includes(`"${name}"`));
  expect(missing.map(([text]) => text)).toEqual([]);
});
