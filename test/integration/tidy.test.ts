import { dirname } from "node:path";
import { AGENT_VERSION } from "@flotilla/edge-agent/main/version";
import { HUB_VERSION } from "@flotilla/hub/main/version";
import { expect, test } from "vitest";
import { exportsOf, filesOfTree, textOf } from "./support/tree.ts";

/** What neither the linter nor the compiler can say. */

const FILES = filesOfTree();
const TEXTS = FILES.filter((path) =>
  /\.(?:ts|mjs|js|cjs|json|md|ya?ml|sh|service|conf|example|toml)$/.test(path),
);

// ---------------------------------------------------------------- state machines

/** Folders whose file name says that a state machine's table lies in it. */
const MACHINE_FOLDERS = [
  ...new Set(
    FILES.filter((path) =>
      /^packages\/[^/]+\/src\/domain\/[^/]+\/(?:machine|life|lifecycle|transitions)\.ts$/.test(
        path,
      ),
    ).map(dirname),
  ),
];

const packageOf = (path: string): string => path.split("/").slice(0, 2).join("/");

/** Test files of a package that end with this name. */
function testFiles(ofPackage: string, name: string): readonly string[] {
  return FILES.filter((path) => path.startsWith(`${ofPackage}/`) && path.endsWith(`/${name}`));
}

/** Names of all tests of a package. */
function testNames(ofPackage: string): readonly string[] {
  return FILES.filter(
    (path) => path.startsWith(`${ofPackage}/`) && path.endsWith(".test.ts"),
  ).flatMap((path) =>
    [...textOf(path).matchAll(/\b(?:test|it)(?:\.each\([\s\S]*?\))?\(\s*"((?:[^"\\]|\\.)+)"/g)].map(
      (m) => m[1] ?? "",
    ),
  );
}

interface Invariant {
  readonly number: number;
  readonly text: string;
  /** What stands before the list that the invariant is in. */
  readonly lead: string;
}

/** Numbered points of SPEC.md's part on invariants, each with the paragraph that leads to its list. */
function invariantsOf(spec: string): readonly Invariant[] {
  const start = /^#* ?Invariants\b/m.exec(spec)?.index;
  if (start === undefined) return [];
  const part = spec.slice(start).split(/\n## (?!Invariants)/)[0] ?? "";
  const found: Invariant[] = [];
  let lead = "";
  for (const block of part.split(/\n(?=\d+\. )|\n\n/)) {
    const point = /^\s*(\d+)\. ([\s\S]*)$/.exec(block);
    if (point === null)
      lead = block.trim().startsWith("## ") && !block.trim().includes("\n") ? "" : block;
    else found.push({ number: Number(point[1]), text: point[2] ?? "", lead });
  }
  return found;
}

const testFilesIn = (text: string): readonly string[] =>
  [...text.matchAll(/`([^`]*\.test\.ts)`/g)].map((m) => m[1] ?? "");

/** Quotations of test names; "…" stands for what was left out. */
const quotesIn = (text: string): readonly string[] =>
  [...text.matchAll(/"([^"]+)"/g)].map((m) => m[1] ?? "");

function isQuoted(quote: string, names: readonly string[]): boolean {
  const parts = quote
    .replaceAll(/\s+/g, " ")
    .split("…")
    .map((part) => part.trim());
  return names.some((name) => {
    let at = 0;
    return parts.every((part) => {
      const found = name.indexOf(part, at);
      at = found + part.length;
      return found >= 0;
    });
  });
}

test("there are state machines to look at", () => {
  expect(MACHINE_FOLDERS.length).toBeGreaterThanOrEqual(3);
});

test.each(MACHINE_FOLDERS)(
  "%s has a SPEC.md whose invariants are numbered and name tests that exist",
  (folder) => {
    const path = `${folder}/SPEC.md`;
    expect(FILES).toContain(path);
    const spec = textOf(path);
    const invariants = invariantsOf(spec);
    expect(invariants.map((i) => i.number)).toEqual(invariants.map((_, i) => i + 1));
    expect(invariants.length).toBeGreaterThan(4);
    const ofPackage = packageOf(folder);
    const missing = testFilesIn(spec).filter((name) => testFiles(ofPackage, name).length === 0);
    expect(missing).toEqual([]);
    const names = testNames(ofPackage);
    const stale = invariants.flatMap((i) => quotesIn(i.text)).filter((q) => !isQuoted(q, names));
    expect(stale).toEqual([]);
    const bare = invariants.filter(
      (i) => quotesIn(i.text).length === 0 && testFilesIn(i.text + i.lead).length === 0,
    );
    expect(bare.map((i) => `${i.number}. ${i.text}`)).toEqual([]);
  },
);

// ---------------------------------------------------------------- versions

test("all versions agree: the root, the packages, what they ask of each other, and what the programs say", async () => {
  const root: { version: string } = JSON.parse(textOf("package.json"));
  const { CLI_VERSION } = await exportsOf("packages/cli/src/main/version.ts");
  expect({ HUB_VERSION, AGENT_VERSION, CLI_VERSION }).toEqual({
    HUB_VERSION: root.version,
    AGENT_VERSION: root.version,
    CLI_VERSION: root.version,
  });
  const manifests = FILES.filter((path) => /^packages\/[^/]+\/package\.json$/.test(path));
  expect(manifests.length).toBeGreaterThanOrEqual(4);
  const wrong = ["package.json", ...manifests].flatMap((path) => {
    const manifest: Record<string, unknown> = JSON.parse(textOf(path));
    const asked = Object.entries({
      ...Object(manifest["dependencies"]),
      ...Object(manifest["devDependencies"]),
    }).filter(([name]) => name.startsWith("@flotilla/"));
    return [["version", manifest["version"]], ...asked]
      .filter(([, version]) => version !== root.version)
      .map(([name, version]) => `${path}: ${String(name)} ${String(version)}`);
  });
  expect(wrong).toEqual([]);
});

test("CHANGELOG.md has a part for this version, or for what is not released yet", () => {
  const { version }: { version: string } = JSON.parse(textOf("package.json"));
  const headings = [...textOf("CHANGELOG.md").matchAll(/^## (.+)$/gm)].map((m) => m[1] ?? "");
  expect(headings.some((h) => h.includes(version) || /unreleased/i.test(h))).toBe(true);
});

test("versions of dependencies are exact", () => {
  const manifests = FILES.filter(
    (path) => path === "package.json" || /^packages\/[^/]+\/package\.json$/.test(path),
  );
  const loose = manifests.flatMap((path) => {
    const manifest: Record<string, unknown> = JSON.parse(textOf(path));
    return ["dependencies", "devDependencies", "optionalDependencies"].flatMap((part) =>
      Object.entries(Object(manifest[part]))
        .filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(String(version)))
        .map(([name, version]) => `${path}: ${name} ${String(version)}`),
    );
  });
  expect(loose).toEqual([]);
});

// ---------------------------------------------------------------- the tree

test("the lock file names no registry", () => {
  const lock: { packages: Record<string, { resolved?: string; link?: boolean }> } = JSON.parse(
    textOf("package-lock.json"),
  );
  const named = Object.entries(lock.packages)
    .filter(([, entry]) => entry.resolved !== undefined && entry.link !== true)
    .map(([name, entry]) => `${name}: ${entry.resolved ?? ""}`);
  expect(named).toEqual([]);
  expect(textOf(".npmrc")).not.toMatch(/^registry\s*=/m);
});

test("nothing is left to be done in a comment", () => {
  const marks = new RegExp(
    `\\b(?:${["TO", "FIX"].map((s, i) => s + ["DO", "ME"][i]).join("|")})\\b`,
  );
  expect(TEXTS.filter((path) => marks.test(textOf(path)))).toEqual([]);
});

test("no file names a path of the machine that it was written on", () => {
  const folders = ["work", "root", "tmp", "home", "Users"].join("|");
  const machinePath = new RegExp(`(?<![\\w.~$}*/:-])/(?:${folders})/[\\w.-]`);
  const found = TEXTS.flatMap((path) =>
    textOf(path)
      .split("\n")
      .flatMap((line, i) => (machinePath.test(line) ? [`${path}:${i + 1}: ${line.trim()}`] : [])),
  );
  expect(found).toEqual([]);
});

test("the pure layers wait for nothing: no async, no await, no promise", () => {
  const pure = FILES.filter((path) =>
    /^packages\/(?:(?:hub|edge-agent|cli)\/src\/domain|shared\/src\/(?:model|protocol|scheduling|delta))\/.*(?<!\.test)\.ts$/.test(
      path,
    ),
  );
  expect(pure.length).toBeGreaterThan(50);
  const waiting = pure.filter((path) =>
    /\basync\b|\bawait\b|\bPromise\s*[.<(]/.test(withoutComments(textOf(path))),
  );
  expect(waiting).toEqual([]);
});

function withoutComments(text: string): string {
  return text.replaceAll(/\/\*[\s\S]*?\*\//g, "").replaceAll(/(?<![:"'`])\/\/.*$/gm, "");
}

test("no test is skipped or alone", () => {
  const marks = /\b(?:test|it|describe)\.(?:skip|only|todo)\(/;
  const found = FILES.filter((path) => path.endsWith(".test.ts") && marks.test(textOf(path)));
  expect(found).toEqual([]);
});
