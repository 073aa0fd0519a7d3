import { hasCode } from "@flotilla/shared/kernel/errors";
import type { Json } from "@flotilla/shared/kernel/json";
import type { Command } from "commander";
import { type ApiObject, resourcePath, TABLE_ACCEPT } from "../client/api-client.ts";
import { applyPatch, withLastApplied } from "../domain/apply.ts";
import { CliError, errorLines } from "../domain/errors.ts";
import { kindByName, kindOfManifest, type NamedKind } from "../domain/kinds.ts";
import type { Io } from "../output/io.ts";
import { formatObject, formatServerTable } from "../output/objects.ts";
import { type Manifest, readManifests } from "./manifests.ts";
import { type Session, withSession } from "./session.ts";
import { follow, versionOf } from "./watch.ts";

/** `apply`, `get`, `delete`: any kind. */
export function addObjectCommands(program: Command, io: Io): void {
  program
    .command("apply")
    .description("create or change what manifests say (files, folders, - for standard input)")
    .requiredOption("-f, --filename <path...>", "file, folder or -")
    .action((options: { filename: string[] }, command: Command) =>
      withSession(io, command, async (session) =>
        applyAll(session, await readManifests(options.filename, io)),
      ),
    );
  program
    .command("get")
    .description("list objects of a kind, or show some of them")
    .argument("<kind>", "plural, singular or short name, or KIND/NAME")
    .argument("[name...]")
    .option("-l, --selector <selector>", "label selector")
    .option("--field-selector <selector>", "field selector")
    .option("-w, --watch", "go on with what is added, changed or deleted")
    .action((kind: string, names: string[], options: ListFlags, command: Command) =>
      withSession(io, command, (session) =>
        getObjects(session, splitKindAndName(kind, names), options),
      ),
    );
  program
    .command("delete")
    .description("delete objects by kind and name, or those that manifests name")
    .argument("[kind]", "kind, or KIND/NAME")
    .argument("[name...]")
    .option("-f, --filename <path...>", "file, folder or -")
    .option("--ignore-not-found", "what is gone already is no error")
    .action((kind: string | undefined, names: string[], options: DeleteFlags, command: Command) =>
      withSession(io, command, (session) => deleteObjects(session, kind, names, options)),
    );
}

interface ListFlags {
  readonly selector?: string;
  readonly fieldSelector?: string;
  readonly watch?: boolean;
}

interface DeleteFlags {
  readonly filename?: string[];
  readonly ignoreNotFound?: boolean;
}

function splitKindAndName(
  kind: string,
  names: readonly string[],
): { kind: NamedKind; names: readonly string[] } {
  const [plain = kind, inline] = kind.split("/");
  return { kind: kindByName(plain), names: inline === undefined ? names : [inline, ...names] };
}

/** Applies each manifest; the rest goes on when one fails, and the exit status says so. */
export async function applyAll(session: Session, manifests: readonly Manifest[]): Promise<void> {
  const failures: string[] = [];
  for (const manifest of manifests) {
    try {
      session.io.out(`${await applyOne(session, manifest)}\n`);
    } catch (error) {
      if (!(error instanceof CliError) || manifests.length === 1) throw error;
      failures.push(manifest.source);
      session.io.err(`${manifest.source}:\n${errorLines(error).join("\n")}\n`);
    }
  }
  if (failures.length > 0) {
    throw new CliError(
      failures.length === manifests.length ? "invalid" : "partly-done",
      `${failures.length} of ${manifests.length} objects were not applied`,
    );
  }
}

async function applyOne(session: Session, manifest: Manifest): Promise<string> {
  const kind = kindOfManifest(manifest.apiVersion, manifest.kind);
  const namespace = manifest.namespace ?? session.namespace;
  const label = `${manifest.kind.toLowerCase()}/${manifest.name}`;
  const object = withLastApplied(manifest.object);
  const query = "?fieldManager=flotilla&fieldValidation=Strict";
  const live = await find(session, resourcePath(kind, { namespace, name: manifest.name }));
  if (live === undefined) {
    await session.client.json({
      method: "POST",
      path: `${resourcePath(kind, { namespace })}${query}`,
      body: object,
    });
    return `${label} created`;
  }
  const patch = applyPatch(live as { readonly [key: string]: Json }, object);
  if (Object.keys(patch).length === 0) return `${label} unchanged`;
  const answer = await session.client.json({
    method: "PATCH",
    path: `${resourcePath(kind, { namespace, name: manifest.name })}${query}`,
    body: patch,
    contentType: "application/merge-patch+json",
  });
  return `${label} ${sameVersion(live, answer) ? "unchanged" : "configured"}`;
}

function sameVersion(a: ApiObject, b: ApiObject): boolean {
  const version = (o: ApiObject): unknown =>
    (o["metadata"] as { resourceVersion?: unknown } | undefined)?.resourceVersion;
  return version(a) === version(b);
}

/** The object, or undefined when it is not there. */
export async function find(session: Session, path: string): Promise<ApiObject | undefined> {
  try {
    return await session.client.json({ method: "GET", path });
  } catch (error) {
    if (hasCode(error, "not-found")) return undefined;
    throw error;
  }
}

/** `get`, also behind `cluster list`, `fleet list` and the like. */
export async function getObjects(
  session: Session,
  what: { readonly kind: NamedKind; readonly names: readonly string[] },
  flags: ListFlags,
): Promise<void> {
  const namespace = session.allNamespaces ? undefined : session.namespace;
  const query = new URLSearchParams({
    ...(flags.selector === undefined ? {} : { labelSelector: flags.selector }),
    ...(flags.fieldSelector === undefined ? {} : { fieldSelector: flags.fieldSelector }),
  }).toString();
  const paths =
    what.names.length === 0
      ? [`${resourcePath(what.kind, { namespace })}${query === "" ? "" : `?${query}`}`]
      : what.names.map((name) => resourcePath(what.kind, { namespace: session.namespace, name }));
  const [path = ""] = paths;
  if (flags.watch !== true) for (const one of paths) await printAnswer(session, what.kind, one);
  else if (what.names.length === 0) await watchObjects(session, what.kind, path);
  else if (what.names.length > 1)
    throw new CliError("usage", "--watch follows one object or all of a kind", {
      mend: "name one, or none",
    });
  else {
    const selector = encodeURIComponent(`metadata.name=${what.names[0] ?? ""}`);
    const collection = resourcePath(what.kind, { namespace: session.namespace });
    await watchObjects(session, what.kind, `${collection}?fieldSelector=${selector}`);
  }
}

/** The list, then every object that comes, changes or goes, as it is at that moment. */
async function watchObjects(session: Session, kind: NamedKind, path: string): Promise<void> {
  const asTable = session.output === "table" || session.output === "wide";
  const accept = asTable ? { accept: TABLE_ACCEPT } : {};
  const list = await session.client.json({ method: "GET", path, ...accept });
  const { columnDefinitions } = list;
  const print = asTable
    ? (table: ApiObject, noHeaders: boolean): void =>
        printTable(session, kind, { ...table, columnDefinitions }, noHeaders)
    : (object: ApiObject): void => session.io.out(objectText(session, kind, object) ?? "");
  for (const item of asTable ? [list] : itemsOf(list)) print(item, session.noHeaders);
  const resourceVersion = versionOf(list) ?? "0";
  await follow(session, { path, resourceVersion, ...accept }, (object) => print(object, true));
}

async function printAnswer(session: Session, kind: NamedKind, path: string): Promise<void> {
  const { client, io, output } = session;
  if (output === "table" || output === "wide") {
    const table = await client.json({ method: "GET", path, accept: TABLE_ACCEPT });
    const rows = table["rows"];
    if (Array.isArray(rows) && rows.length === 0) {
      io.err(
        `no ${kind.plural} found${kind.namespaced && !session.allNamespaces ? ` in namespace ${session.namespace}` : ""}\n`,
      );
      return;
    }
    printTable(session, kind, table, session.noHeaders);
    return;
  }
  io.out(objectText(session, kind, await client.json({ method: "GET", path })) ?? "");
}

function printTable(session: Session, kind: NamedKind, table: ApiObject, noHeaders: boolean): void {
  session.io.out(
    formatServerTable(table, {
      wide: session.output === "wide",
      withNamespace: session.allNamespaces && kind.namespaced,
      noHeaders,
    }),
  );
}

/**
 * An object or a list as `-o json|yaml|name` asks; undefined in every other form, for which a command has its own text. Every
 * command that reads asks here, so that no form is forgotten.
 */
export function objectText(
  session: Session,
  kind: NamedKind,
  object: ApiObject,
): string | undefined {
  const { output } = session;
  if (output === "json" || output === "yaml") return formatObject(object, output);
  if (output !== "name") return undefined;
  return itemsOf(object)
    .map((item) => `${nameOf(kind, item)}\n`)
    .join("");
}

/** Items of a list, or the object itself. */
export function itemsOf(object: ApiObject): ApiObject[] {
  const items = object["items"];
  return Array.isArray(items) ? items : [object];
}

function nameOf(kind: NamedKind, object: ApiObject): string {
  const group = kind.apiVersion.includes("/") ? `.${kind.apiVersion.split("/")[0]}` : "";
  return `${kind.kind.toLowerCase()}${group}/${(object["metadata"] as { name?: string } | undefined)?.name ?? ""}`;
}

async function deleteObjects(
  session: Session,
  kindText: string | undefined,
  names: readonly string[],
  flags: DeleteFlags,
): Promise<void> {
  const targets = await deleteTargets(session, kindText, names, flags);
  for (const target of targets) {
    const path = resourcePath(target.kind, target);
    try {
      await session.client.json({ method: "DELETE", path });
      session.io.out(`${target.kind.kind.toLowerCase()}/${target.name} deleted\n`);
    } catch (error) {
      if (!(flags.ignoreNotFound === true && hasCode(error, "not-found"))) throw error;
    }
  }
}

async function deleteTargets(
  session: Session,
  kindText: string | undefined,
  names: readonly string[],
  flags: DeleteFlags,
): Promise<{ kind: NamedKind; namespace: string; name: string }[]> {
  if (flags.filename !== undefined) {
    const manifests = await readManifests(flags.filename, session.io);
    return manifests.map((m) => ({
      kind: kindOfManifest(m.apiVersion, m.kind),
      namespace: m.namespace ?? session.namespace,
      name: m.name,
    }));
  }
  if (kindText === undefined)
    throw new CliError("usage", "what is to be deleted?", {
      mend: "flotilla delete KIND NAME, or -f FILE",
    });
  const what = splitKindAndName(kindText, names);
  if (what.names.length === 0)
    throw new CliError("usage", `which ${what.kind.plural}?`, {
      mend: `flotilla delete ${kindText} NAME`,
    });
  return what.names.map((name) => ({ kind: what.kind, namespace: session.namespace, name }));
}
