import { type JsonObject, objectAt } from "./body-shape.ts";

/** Bytes turned into a binary text at once; String.fromCharCode takes no more arguments than the stack holds. */
const CHUNK_BYTES = 8_192;

/** `stringData` is write-only: its values go into `data` as base64, over what is there. */
export function mergeStringData(secret: JsonObject): JsonObject {
  const { stringData, ...rest } = secret;
  const data = { ...objectAt(secret, "data") };
  for (const [key, value] of Object.entries(objectAt({ stringData }, "stringData")))
    data[key] = base64Of(String(value));
  return {
    ...rest,
    type: typeof rest["type"] === "string" && rest["type"] !== "" ? rest["type"] : "Opaque",
    ...(Object.keys(data).length > 0 ? { data } : {}),
  };
}

/** Base64 of the text's UTF-8 bytes. */
export function base64Of(text: string): string {
  const bytes = new TextEncoder().encode(text);
  let binary = "";
  for (let i = 0; i < bytes.length; i += CHUNK_BYTES)
    binary += String.fromCharCode(...bytes.subarray(i, i + CHUNK_BYTES));
  return btoa(binary);
}
