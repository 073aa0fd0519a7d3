import type { KindName, ObjectOf } from "@flotilla/shared/model/kinds";
import type { AnyObject, ResourceKey } from "../../app/resources/ports.ts";

interface NamespaceTable {
  readonly objects: Map<string, AnyObject>;
  /** The objects by name in code unit order; undefined after a change, made anew when asked for. */
  sorted: readonly AnyObject[] | undefined;
}

interface KindTable {
  readonly namespaces: Map<string, NamespaceTable>;
  /** All of the kind, sorted; undefined after a change. */
  sorted: readonly AnyObject[] | undefined;
}

const NOTHING: readonly AnyObject[] = [];

/** All current objects in memory. Lists are sorted once per change and shared by all who ask. */
export class ObjectTable {
  readonly #kinds = new Map<string, KindTable>();

  get<K extends KindName>(key: ResourceKey<K>): ObjectOf<K> | undefined {
    const object = this.#kinds.get(key.kind)?.namespaces.get(key.namespace)?.objects.get(key.name);
    // Filed under its kind by `set`, so it is of that kind.
    return object as ObjectOf<K> | undefined;
  }

  list<K extends KindName>(kind: K, namespace?: string): readonly ObjectOf<K>[] {
    const table = this.#kinds.get(kind);
    const objects =
      table === undefined
        ? NOTHING
        : namespace === undefined
          ? allOf(table)
          : sortedOf(table.namespaces.get(namespace));
    return objects as readonly ObjectOf<K>[];
  }

  set(key: ResourceKey, object: AnyObject): void {
    const table = this.#kindTable(key.kind);
    let namespace = table.namespaces.get(key.namespace);
    if (namespace === undefined) {
      namespace = { objects: new Map(), sorted: undefined };
      table.namespaces.set(key.namespace, namespace);
    }
    namespace.objects.set(key.name, object);
    namespace.sorted = undefined;
    table.sorted = undefined;
  }

  delete(key: ResourceKey): void {
    const table = this.#kindTable(key.kind);
    const namespace = table.namespaces.get(key.namespace);
    if (namespace === undefined) return;
    namespace.objects.delete(key.name);
    namespace.sorted = undefined;
    table.sorted = undefined;
    if (namespace.objects.size === 0) table.namespaces.delete(key.namespace);
  }

  #kindTable(kind: string): KindTable {
    let table = this.#kinds.get(kind);
    if (table === undefined) {
      table = { namespaces: new Map(), sorted: undefined };
      this.#kinds.set(kind, table);
    }
    return table;
  }
}

function allOf(table: KindTable): readonly AnyObject[] {
  table.sorted ??= Object.freeze(
    [...table.namespaces.entries()]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .flatMap(([, namespace]) => sortedOf(namespace)),
  );
  return table.sorted;
}

function sortedOf(namespace: NamespaceTable | undefined): readonly AnyObject[] {
  if (namespace === undefined) return NOTHING;
  namespace.sorted ??= Object.freeze(
    [...namespace.objects.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, o]) => o),
  );
  return namespace.sorted;
}
