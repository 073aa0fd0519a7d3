import { readdirSync, readFileSync, statSync } from "node:fs";
import { extname, join } from "node:path";
import { messageOf } from "@flotilla/shared/kernel/errors";
import type { Json } from "@flotilla/shared/kernel/json";
import { type Document, isMap, isSeq, type Node, parseAllDocuments } from "yaml";
import { CliError } from "../domain/errors.ts";
import { textOf } from "../domain/text.ts";
import type { Io } from "../output/io.ts";

/** Largest manifest file that is read. */
const MANIFEST_BYTES_MAX = 4 * 1024 * 1024;
/** Most aliases that are resolved in one document: enough for people, too few for a bomb. */
const ALIASES_MAX = 100;

/** One object out of a file. */
export interface Manifest {
  readonly source: string;
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly namespace?: string;
  readonly object: { readonly [key: string]: Json };
}

/** Reads manifests from files, folders (*.yaml, *.yml, *.json, sorted) and `-` (standard input). */
export async function readManifests(paths: readonly string[], io: Io): Promise<Manifest[]> {
  const manifests: Manifest[] = [];
  for (const path of paths) {
    if (path === "-") manifests.push(...parseManifests(await io.readStdin(), "standard input"));
    else
      for (const file of filesOf(path))
        manifests.push(...parseManifests(readFileSync(file, "utf8"), file));
  }
  if (manifests.length === 0) throw new CliError("usage", `no object in ${paths.join(", ")}`);
  return manifests;
}

function filesOf(path: string): string[] {
  try {
    if (!statSync(path).isDirectory()) return [path];
    return readdirSync(path)
      .filter((name) => [".yaml", ".yml", ".json"].includes(extname(name)))
      .sort()
      .map((name) => join(path, name));
  } catch (error) {
    throw new CliError("usage", `${path} cannot be read`, { fields: { why: messageOf(error) } });
  }
}

/** Every document of a YAML (or JSON) text; a `List` is opened. */
export function parseManifests(text: string, source: string): Manifest[] {
  if (text.length > MANIFEST_BYTES_MAX)
    throw new CliError("invalid", `${source} is larger than ${MANIFEST_BYTES_MAX} bytes`);
  const documents = parseDocuments(text, source);
  return [...documents].flatMap((document, index): Manifest[] => {
    const where = documents.length > 1 ? `${source} (document ${index + 1})` : source;
    const problem = document.errors[0];
    if (problem !== undefined)
      throw new CliError("invalid", `${where} is no YAML`, { fields: { why: problem.message } });
    refuseDuplicateKeys(document.contents, where);
    const value = toValue(document, where);
    if (value === null || value === undefined) return [];
    return open(value, where).map((object) => manifestOf(object, where));
  });
}

function parseDocuments(text: string, source: string): Document[] {
  try {
    // Their own check for unique keys compares each key with each other one: minutes for a large map.
    return parseAllDocuments(text, { uniqueKeys: false, logLevel: "error" }) as Document[];
  } catch (error) {
    throw new CliError("invalid", `${source} is no YAML`, { fields: { why: messageOf(error) } });
  }
}

function refuseDuplicateKeys(node: unknown, where: string): void {
  if (isSeq(node)) for (const item of node.items) refuseDuplicateKeys(item, where);
  if (!isMap(node)) return;
  const seen = new Set<string>();
  for (const { key, value } of node.items) {
    const name = String(key as Node);
    if (seen.has(name))
      throw new CliError("invalid", `${where}: the key "${name.slice(0, 64)}" is there twice`, {
        mend: "keep one of the two",
      });
    seen.add(name);
    refuseDuplicateKeys(value, where);
  }
}

function toValue(document: Document, where: string): unknown {
  try {
    return document.toJS({ maxAliasCount: ALIASES_MAX });
  } catch (error) {
    throw new CliError("invalid", `${where} cannot be expanded`, {
      fields: { why: messageOf(error) },
    });
  }
}

function open(value: unknown, where: string): { readonly [key: string]: Json }[] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new CliError("invalid", `${where}: an object is expected`, {
      mend: "begin with apiVersion, kind and metadata",
    });
  }
  const object = value as { readonly [key: string]: Json };
  const items = object["items"];
  return textOf(object["kind"]).endsWith("List") && Array.isArray(items)
    ? items.flatMap((item: unknown) => open(item, where))
    : [object];
}

function manifestOf(object: { readonly [key: string]: Json }, where: string): Manifest {
  const metadata = object["metadata"];
  const field = (value: unknown, name: string): string => {
    if (typeof value === "string" && value !== "") return value;
    throw new CliError("invalid", `${where}: ${name} is missing`, { mend: `set ${name}` });
  };
  const meta =
    typeof metadata === "object" && metadata !== null && !Array.isArray(metadata)
      ? (metadata as { readonly [key: string]: Json })
      : {};
  const namespace = meta["namespace"];
  return {
    source: where,
    apiVersion: field(object["apiVersion"], "apiVersion"),
    kind: field(object["kind"], "kind"),
    name: field(meta["name"], "metadata.name"),
    ...(typeof namespace === "string" ? { namespace } : {}),
    object,
  };
}
