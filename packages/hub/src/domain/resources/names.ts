import {
  DNS_LABEL_LENGTH_MAX,
  DNS_SUBDOMAIN_LENGTH_MAX,
  isDnsLabel,
  isDnsSubdomain,
} from "@flotilla/shared/kernel/ids";
import type { Cause } from "./api-error.ts";
import { invalidValue, tooLong } from "./causes.ts";

/** Grammar of names, label keys and label values, with kube-apiserver's words (apimachinery util/validation). */
const SUBDOMAIN_RULE =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_RULE =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const QUALIFIED_RULE =
  "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE_RULE =
  "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/** Longest label value and name part of a label key. */
const LABEL_LENGTH_MAX = 63;
const WORD = /^[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;

/** Causes when the value is no DNS-1123 subdomain. */
export function subdomainCauses(field: string, value: string): Cause[] {
  if (value.length > DNS_SUBDOMAIN_LENGTH_MAX) return [tooLong(field, DNS_SUBDOMAIN_LENGTH_MAX)];
  return isDnsSubdomain(value) ? [] : [invalidValue(field, value, SUBDOMAIN_RULE)];
}

/** Causes when the value is no DNS-1123 label. */
export function dnsLabelCauses(field: string, value: string): Cause[] {
  if (value.length > DNS_LABEL_LENGTH_MAX) return [tooLong(field, DNS_LABEL_LENGTH_MAX)];
  return isDnsLabel(value) ? [] : [invalidValue(field, value, LABEL_RULE)];
}

/** Causes when a label or annotation key is not `name` or `prefix/name`. */
export function qualifiedNameCauses(field: string, key: string): Cause[] {
  const why = qualifiedNameFault(key);
  return why === undefined ? [] : [invalidValue(field, key, why)];
}

/** Why the text is no qualified name; undefined when it is one. */
export function qualifiedNameFault(key: string): string | undefined {
  const parts = key.split("/");
  const [prefix, name] = parts.length === 2 ? parts : [undefined, parts[0]];
  if (parts.length > 2)
    return "a qualified name must consist of a name, with an optional DNS subdomain prefix and '/' before it";
  if (prefix !== undefined && !isDnsSubdomain(prefix)) return `prefix part ${SUBDOMAIN_RULE}`;
  if ((name ?? "").length > LABEL_LENGTH_MAX)
    return `name part must be no more than ${LABEL_LENGTH_MAX} bytes`;
  return WORD.test(name ?? "") ? undefined : QUALIFIED_RULE;
}

/** Causes when the value is no label value. */
export function labelValueCauses(field: string, value: string): Cause[] {
  const why = labelValueFault(value);
  return why === undefined ? [] : [invalidValue(field, value, why)];
}

/** Why the text is no label value; undefined when it is one. */
export function labelValueFault(value: string): string | undefined {
  if (value.length > LABEL_LENGTH_MAX) return `must be no more than ${LABEL_LENGTH_MAX} bytes`;
  return value === "" || WORD.test(value) ? undefined : LABEL_VALUE_RULE;
}

/** Causes of a map of labels. */
export function labelsCauses(field: string, labels: Readonly<Record<string, string>>): Cause[] {
  return Object.entries(labels).flatMap(([key, value]) => [
    ...qualifiedNameCauses(field, key),
    ...labelValueCauses(`${field}[${key}]`, value),
  ]);
}
