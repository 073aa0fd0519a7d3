import { badRequest, expired, notFound } from "../../domain/resources/api-error.ts";
import { objectAt } from "../../domain/resources/body-shape.ts";
import { parseFieldSelector, selectedName } from "../../domain/resources/field-selector.ts";
import { infoOf, sourceOf, subjectOf } from "../../domain/resources/kind-lookup.ts";
import { parseLabelSelector } from "../../domain/resources/label-selector.ts";
import { project, sourceNamespace } from "../../domain/resources/views/project.ts";
import { type ContinueToken, formatToken, parseToken } from "./continue-token.ts";
import type {
  AnyObject,
  ApiObject,
  ListOptions,
  ObjectList,
  ResourceStore,
  ServedKind,
} from "./ports.ts";

/** True for an object that a list or watch is about. */
export type Matcher = (object: ApiObject) => boolean;

/** Throws BadRequest for a selector that cannot be read. */
export function matcherOf(
  kind: ServedKind,
  options: Pick<ListOptions, "labelSelector" | "fieldSelector" | "namespace">,
): Matcher {
  const labels = parseLabelSelector(options.labelSelector);
  const fields = parseFieldSelector(kind, options.fieldSelector);
  const namespace = infoOf(kind).namespaced ? options.namespace : undefined;
  return (object) =>
    (namespace === undefined || object.metadata["namespace"] === namespace) &&
    labels(objectAt(object.metadata, "labels")) &&
    fields(object);
}

/** Throws NotFound. */
export function readOne(
  store: ResourceStore,
  kind: ServedKind,
  namespace: string,
  name: string,
): ApiObject {
  const within = sourceNamespace(kind, namespace);
  const found = within === undefined ? undefined : store.get(sourceOf(kind), within, name);
  if (found === undefined) throw notFound(subjectOf(kind, name));
  return project(kind, found);
}

/** What stands there of a kind, projected, before selectors. */
export function readAll(
  store: ResourceStore,
  kind: ServedKind,
  options: Pick<ListOptions, "namespace" | "fieldSelector">,
): readonly AnyObject[] {
  const namespace = infoOf(kind).namespaced ? options.namespace : undefined;
  const within = sourceNamespace(kind, namespace);
  if (kind === "Lease" && within === undefined) return [];
  const source = sourceOf(kind);
  const name = selectedName(options.fieldSelector);
  const single = infoOf(source).namespaced ? within : "";
  if (name !== undefined && single !== undefined) {
    const found = store.get(source, single, name);
    return found === undefined ? [] : [found];
  }
  return store.list(source, within);
}

/**
 * One page. Later pages show the objects as they are by then, under the version of the first page: whoever watches from
 * there hears of everything that changed meanwhile. Throws BadRequest, and Expired when that version is compacted away.
 */
export function readPage(store: ResourceStore, kind: ServedKind, options: ListOptions): ObjectList {
  const matches = matcherOf(kind, options);
  const token = options.continueToken ? parseToken(options.continueToken) : undefined;
  if (token !== undefined && token.revision < store.compactedRevision)
    throw expired(
      "The provided continue parameter is too old to display a consistent list result. Start the list again without the continue parameter.",
    );
  if (token !== undefined && token.revision > store.revision)
    throw badRequest("invalid continue token: it is of another server");
  const limit = options.limit !== undefined && options.limit > 0 ? options.limit : undefined;
  const revision = token?.revision ?? store.revision;
  const rest = readAll(store, kind, options).filter(
    (o) => token === undefined || isAfter(o, token),
  );
  const { items, last, nextIndex } = takePage(kind, rest, { matches, limit });
  const remaining = rest.length - nextIndex;
  const hasMore =
    last !== undefined && rest.slice(nextIndex).some((o) => matches(project(kind, o)));
  const isSelected = (options.labelSelector ?? "") !== "" || (options.fieldSelector ?? "") !== "";
  return {
    resourceVersion: String(revision),
    items,
    ...(hasMore
      ? {
          continueToken: formatToken({
            revision,
            namespace: last.metadata.namespace ?? "",
            name: last.metadata.name,
          }),
          ...(isSelected ? {} : { remainingItemCount: remaining }),
        }
      : {}),
  };
}

function takePage(
  kind: ServedKind,
  objects: readonly AnyObject[],
  options: { readonly matches: Matcher; readonly limit: number | undefined },
): { items: ApiObject[]; last: AnyObject | undefined; nextIndex: number } {
  const items: ApiObject[] = [];
  for (const [index, object] of objects.entries()) {
    const shown = project(kind, object);
    if (!options.matches(shown)) continue;
    items.push(shown);
    if (items.length === options.limit) return { items, last: object, nextIndex: index + 1 };
  }
  return { items, last: undefined, nextIndex: objects.length };
}

function isAfter(object: AnyObject, token: ContinueToken): boolean {
  const namespace = object.metadata.namespace ?? "";
  return namespace === token.namespace
    ? object.metadata.name > token.name
    : namespace > token.namespace;
}
