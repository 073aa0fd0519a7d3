import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parse } from "yaml";
import type { ServedKind } from "../src/app/resources/ports.ts";
import { refusal, STRICT, testResources } from "./support/resources.ts";

const FOLDER = join(import.meta.dirname, "data", "article");
const FILES = readdirSync(FOLDER).sort();

type Json = { [field: string]: unknown } | unknown[];
interface Manifest {
  readonly kind: ServedKind;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly spec: { [field: string]: unknown };
}

const read = (file: string): Manifest =>
  parse(readFileSync(join(FOLDER, file), "utf8")) as Manifest;

test("there are the ten manifests of the article", () => {
  expect(FILES).toHaveLength(10);
});

test.each(FILES)(
  "%s is accepted as it stands, with every field, and nothing is warned of",
  async (file) => {
    const { service, store } = testResources();
    const manifest = read(file);
    const namespace = manifest.metadata.namespace ?? "";
    const outcome = await service.create(manifest.kind, namespace, manifest, STRICT);
    expect(outcome).toMatchObject({ created: true, warnings: [] });
    expect(outcome.object["spec"]).toEqual(manifest.spec);
    expect(service.get(manifest.kind, namespace, manifest.metadata.name)).toEqual(outcome.object);
    expect(store.list("Namespace").map((n) => n.metadata.name)).toEqual(
      namespace === "" ? [] : [namespace],
    );
  },
);

/** Every place in a manifest's spec: the container, the key in it and the path as errors name it. */
function* places(
  value: unknown,
  path: string,
): Generator<{ holder: Json; key: string | number; path: string }> {
  if (Array.isArray(value))
    for (const [index, item] of value.entries()) {
      yield { holder: value, key: index, path: `${path}[${index}]` };
      yield* places(item, `${path}[${index}]`);
    }
  else if (typeof value === "object" && value !== null)
    for (const [key, member] of Object.entries(value)) {
      yield { holder: value as Json, key, path: `${path}.${key}` };
      yield* places(member, `${path}.${key}`);
    }
}

/** Keys of open maps stand in brackets: `labels[app]` is the place `labels.app`. */
const plain = (path: string): string => path.replace(/\[([^\]]*[^\]\d][^\]]*)\]/g, ".$1");

test.each(FILES)(
  "%s with any one field of the wrong type is refused with that field's path",
  async (file) => {
    const { service } = testResources();
    const count = [...places(read(file).spec, "spec")].length;
    for (let i = 0; i < count; i++) {
      const manifest = read(file);
      const place = [...places(manifest.spec, "spec")][i];
      if (place === undefined) continue;
      // No field of any kind is a list of lists.
      Reflect.set(place.holder, place.key, [[]]);
      const status = await refusal(() =>
        service.create(manifest.kind, manifest.metadata.namespace ?? "", manifest, STRICT),
      );
      expect([place.path, status.code]).toEqual([place.path, 422]);
      const fields = (status.details?.causes ?? []).map((c) => plain(c.field));
      const isNamed = fields.some(
        (f) => f === place.path || f.startsWith(`${place.path}[`) || f === `${place.path}.type`,
      );
      expect(isNamed, `${place.path} not in ${fields.join(" ")}`).toBe(true);
    }
  },
);

test.each(FILES)(
  "%s with an unknown field anywhere is refused with that field's path",
  async (file) => {
    const { service } = testResources();
    const holders = (manifest: Manifest) => [
      { holder: manifest.spec as Json, path: "spec" },
      ...[...places(manifest.spec, "spec")].flatMap(({ holder, key, path }) => {
        const member: unknown = Reflect.get(holder, key);
        return typeof member === "object" && member !== null && !Array.isArray(member)
          ? [{ holder: member as Json, path }]
          : [];
      }),
    ];
    for (let i = 0; i < holders(read(file)).length; i++) {
      const manifest = read(file);
      const place = holders(manifest)[i];
      if (place === undefined) continue;
      Reflect.set(place.holder, "zz", { yy: 1 });
      const status = await refusal(() =>
        service.create(manifest.kind, manifest.metadata.namespace ?? "", manifest, STRICT),
      );
      // In an open map every key is known and its value is of the wrong type.
      const isNamed =
        status.message.includes(`unknown field "${place.path}.zz"`) ||
        (status.details?.causes ?? []).some((c) => plain(c.field) === `${place.path}.zz`);
      expect(isNamed, `${place.path}: ${status.message}`).toBe(true);
    }
  },
);

test("both places of rollback and of duration are read", async () => {
  const { service } = testResources();
  const policy = (name: string, spec: object, stage: object) => ({
    apiVersion: "policy.kurator.dev/v1alpha1",
    kind: "PropagationPolicy",
    metadata: { name },
    spec: {
      targetRef: { apiVersion: "apps.kurator.dev/v1alpha1", kind: "Application", name: "a" },
      rollout: { stages: [{ name: "s", ...stage }] },
      ...spec,
    },
  });
  const create = (body: object) => service.create("PropagationPolicy", "default", body, STRICT);
  const rollback = { automatic: true };
  await create(policy("outside", { rollback }, { duration: "30m" }));
  await create(policy("inside", {}, { validation: { duration: "30m" } }));
  const both = policy("both", {}, { duration: "1h", validation: { duration: "30m" } });
  expect((await refusal(() => create(both))).message).toContain("differs from validation.duration");
});
