import type { Clock } from "@flotilla/shared/kernel/clock";
import { stringify } from "yaml";
import type { ApiObject, ObjectList } from "../../app/resources/ports.ts";
import type { ServedResource } from "../../domain/openapi/served-resources.ts";
import { badRequest } from "../../domain/resources/api-error.ts";
import { columnsOf } from "../../domain/resources/columns/columns.ts";
import { YAML_ITEMS_MAX } from "./limits.ts";
import type { Form } from "./media-types.ts";
import { type IncludeObject, partialMetadata, tableOf } from "./table.ts";

/** A body with its content type. */
export interface Presented {
  readonly contentType: string;
  readonly text: string;
}

/** How one request wants its answer. */
export interface Presentation {
  readonly form: Form;
  readonly includeObject: IncludeObject;
  readonly pretty: boolean;
}

/** Puts objects into the form that a client asked for: as they are, as a Table, or their metadata alone; JSON or YAML. */
export class Presenter {
  readonly #clock: Clock;

  constructor(_options: Readonly<Record<string, never>>, deps: { readonly clock: Clock }) {
    this.#clock = deps.clock;
  }

  /** One object. */
  object(resource: ServedResource, object: ApiObject, how: Presentation): Presented {
    return render(this.#value(resource, object, { how, withColumns: true }), how);
  }

  /** A list, with its version and, when there is more, the token to go on. */
  list(resource: ServedResource, list: ObjectList, how: Presentation): Presented {
    if (how.form.as === "object" && how.form.yaml && list.items.length > YAML_ITEMS_MAX)
      throw badRequest(
        `a list in YAML holds at most ${YAML_ITEMS_MAX} objects: use limit=${YAML_ITEMS_MAX}, or JSON`,
      );
    const metadata = listMetadata(list);
    return render(this.#listValue(resource, { list, metadata }, how), how);
  }

  /** The object of a watch event. Column definitions go with the first event only. */
  event(
    resource: ServedResource,
    object: ApiObject,
    options: { readonly how: Presentation; readonly withColumns: boolean },
  ): unknown {
    return this.#value(resource, object, options);
  }

  #value(
    resource: ServedResource,
    object: ApiObject,
    options: { readonly how: Presentation; readonly withColumns: boolean },
  ): unknown {
    const { form, includeObject } = options.how;
    switch (form.as) {
      case "object":
        return object;
      case "metadata":
        return partialMetadata(object, form.version);
      case "table":
        return tableOf([object], columnsOf(resource.kind), {
          version: form.version,
          includeObject,
          metadata: { resourceVersion: object.metadata["resourceVersion"] },
          withColumns: options.withColumns,
          nowMs: this.#clock.wallMs(),
        });
    }
  }

  #listValue(
    resource: ServedResource,
    answer: { readonly list: ObjectList; readonly metadata: Readonly<Record<string, unknown>> },
    how: Presentation,
  ): unknown {
    const { form, includeObject } = how;
    const { list, metadata } = answer;
    switch (form.as) {
      case "object":
        return {
          apiVersion: resource.groupVersion,
          kind: `${resource.kind}List`,
          metadata,
          items: list.items,
        };
      case "metadata":
        return {
          kind: "PartialObjectMetadataList",
          apiVersion: `meta.k8s.io/${form.version}`,
          metadata,
          items: list.items.map((object) => partialMetadata(object, form.version)),
        };
      case "table":
        return tableOf(list.items, columnsOf(resource.kind), {
          version: form.version,
          includeObject,
          metadata,
          withColumns: true,
          nowMs: this.#clock.wallMs(),
        });
    }
  }
}

/** Any other value (a Status, a discovery document) in the form asked for. */
export function render(value: unknown, how: Pick<Presentation, "form" | "pretty">): Presented {
  if (how.form.as === "object" && how.form.yaml)
    return {
      contentType: "application/yaml",
      text: stringify(value, { aliasDuplicateObjects: false }),
    };
  const text = how.pretty ? JSON.stringify(value, null, 2) : JSON.stringify(value);
  return { contentType: "application/json", text: `${text}\n` };
}

/** `includeObject` of a Table request. */
export function includeObject(query: URLSearchParams): IncludeObject {
  const value = query.get("includeObject");
  if (value === null || value === "") return "Metadata";
  if (value === "None" || value === "Metadata" || value === "Object") return value;
  throw badRequest("includeObject: must be None, Metadata or Object");
}

function listMetadata(list: ObjectList): Readonly<Record<string, unknown>> {
  return {
    resourceVersion: list.resourceVersion,
    ...(list.continueToken === undefined ? {} : { continue: list.continueToken }),
    ...(list.remainingItemCount === undefined
      ? {}
      : { remainingItemCount: list.remainingItemCount }),
  };
}
