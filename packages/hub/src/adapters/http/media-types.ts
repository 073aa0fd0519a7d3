/** Media types (RFC 9110 §8.3, §12.5.1) as far as Kubernetes clients use them: parsed, never compared as text. */
export interface MediaType {
  /** Lower case, without parameters: `application/json`. */
  readonly type: string;
  /** Parameters by lower-case name; their order does not matter. */
  readonly parameters: ReadonlyMap<string, string>;
}

/** Most media ranges of one Accept header that are looked at; kubectl sends three. */
const RANGES_MAX = 16;

/** One media type; undefined for an empty or malformed one. */
export function parseMediaType(text: string): MediaType | undefined {
  const [type = "", ...rest] = text.split(";").map((part) => part.trim());
  if (!/^[a-z0-9!#$&^_.+*-]+\/[a-z0-9!#$&^_.+*-]+$/i.test(type)) return undefined;
  const parameters = new Map<string, string>();
  for (const part of rest) {
    const at = part.indexOf("=");
    if (at > 0) parameters.set(part.slice(0, at).toLowerCase(), part.slice(at + 1));
  }
  return { type: type.toLowerCase(), parameters };
}

/** The ranges of an Accept header, best quality first, in the order written among equals. Absent: anything. */
export function parseAccept(header: string | undefined): readonly MediaType[] {
  const ranges = (header === undefined || header.trim() === "" ? "*/*" : header)
    .split(",", RANGES_MAX)
    .flatMap((part) => parseMediaType(part) ?? []);
  const quality = (range: MediaType): number => Number(range.parameters.get("q") ?? 1) || 0;
  return ranges.filter((r) => quality(r) > 0).sort((a, b) => quality(b) - quality(a));
}

/** Forms in which an object or a list can be answered. */
export type Form =
  | { readonly as: "object"; readonly yaml: boolean }
  | { readonly as: "table"; readonly version: "v1" | "v1beta1" }
  | { readonly as: "metadata"; readonly version: "v1" | "v1beta1" };

/** The first form of the Accept header that we have; undefined: none (406). */
export function negotiateForm(header: string | undefined): Form | undefined {
  for (const range of parseAccept(header)) {
    const form = formOf(range);
    if (form !== undefined) return form;
  }
  return undefined;
}

function formOf(range: MediaType): Form | undefined {
  const as = range.parameters.get("as");
  if (as === undefined) return plainForm(range.type);
  const version = range.parameters.get("v");
  if (range.type !== "application/json" || range.parameters.get("g") !== "meta.k8s.io")
    return undefined;
  if (version !== "v1" && version !== "v1beta1") return undefined;
  if (as === "Table") return { as: "table", version };
  if (as === "PartialObjectMetadata" || as === "PartialObjectMetadataList")
    return { as: "metadata", version };
  return undefined;
}

function plainForm(type: string): Form | undefined {
  if (type === "application/yaml") return { as: "object", yaml: true };
  const json = ["application/json", "application/*", "*/*"].includes(type);
  return json ? { as: "object", yaml: false } : undefined;
}

/** Which discovery document an Accept header asks for. */
export function negotiateDiscovery(header: string | undefined): "v2" | "v2beta1" | "plain" {
  for (const range of parseAccept(header)) {
    if (range.parameters.get("as") !== "APIGroupDiscoveryList") {
      if (plainForm(range.type) !== undefined) return "plain";
      continue;
    }
    const version = range.parameters.get("v");
    if (range.parameters.get("g") !== "apidiscovery.k8s.io") continue;
    if (version === "v2" || version === "v2beta1") return version;
  }
  return "plain";
}
