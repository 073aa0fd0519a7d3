import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { Cause } from "../api-error.ts";
import { duplicateValue, invalidValue, tooLong } from "../causes.ts";

const DATA_KEY = /^[-._a-zA-Z0-9]{1,253}$/;
/** RFC 4648 §4, padded, as Go's encoding/base64 reads it. */
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
/** All values of one ConfigMap or Secret, in characters (core/v1 MaxSecretSize). */
export const DATA_LENGTH_MAX: number = 1024 * 1024;

type Data = Readonly<Record<string, string>>;

export function configMapCauses(map: ObjectOf<"ConfigMap">): Cause[] {
  const { data = {}, binaryData = {} } = map;
  return [
    ...keyCauses("data", data),
    ...keyCauses("binaryData", binaryData),
    ...base64Causes("binaryData", binaryData),
    ...Object.keys(binaryData)
      .filter((key) => Object.hasOwn(data, key))
      .map((key) => duplicateValue(`binaryData[${key}]`, key)),
    ...sizeCauses("data", { ...data, ...binaryData }),
  ];
}

/** Called when `stringData` has been moved into `data`. No cause tells a value. */
export function secretCauses(secret: ObjectOf<"Secret">): Cause[] {
  const { data = {} } = secret;
  return [...keyCauses("data", data), ...base64Causes("data", data), ...sizeCauses("data", data)];
}

function keyCauses(field: string, data: Data): Cause[] {
  return Object.keys(data)
    .filter((key) => !DATA_KEY.test(key) || key === "." || key.startsWith(".."))
    .map((key) =>
      invalidValue(
        `${field}[${key}]`,
        key,
        "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
      ),
    );
}

function base64Causes(field: string, data: Data): Cause[] {
  return Object.entries(data)
    .filter(([, value]) => !BASE64.test(value))
    .map(([key]) => ({
      reason: "FieldValueInvalid",
      message: "Invalid value: must be base64; put plain text into stringData",
      field: `${field}[${key}]`,
    }));
}

function sizeCauses(field: string, data: Data): Cause[] {
  const length = Object.values(data).reduce((n, value) => n + value.length, 0);
  return length > DATA_LENGTH_MAX ? [tooLong(field, DATA_LENGTH_MAX)] : [];
}
