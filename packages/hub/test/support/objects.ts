import type { ObjectOf } from "@flotilla/shared/model/kinds";

const metadata = (namespace: string, name: string) => ({
  namespace,
  name,
  uid: `uid-${name}`,
  generation: 1,
  creationTimestamp: "2026-01-01T00:00:00Z",
});

/** A stored ConfigMap. */
export function configMap(
  name: string,
  data: Readonly<Record<string, string>>,
  namespace = "default",
): ObjectOf<"ConfigMap"> {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: metadata(namespace, name), data };
}

/** A stored Secret; `data` in base64. */
export function secret(name: string, data: Readonly<Record<string, string>>): ObjectOf<"Secret"> {
  return { apiVersion: "v1", kind: "Secret", metadata: metadata("default", name), data };
}
