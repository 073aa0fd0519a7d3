import { statSync } from "node:fs";
import type { Static, TSchema } from "typebox";
import { Value } from "typebox/value";
import { CodedError, messageOf } from "../kernel/errors.ts";
import { JSON_DEPTH_MAX, jsonDepth } from "../kernel/json.ts";
import { readFileIfExists } from "./files.ts";

/** Why a configuration was refused. */
export type ConfigErrorCode = "config-unreadable" | "config-invalid";

/** Largest configuration file: 1 MiB. */
export const CONFIG_BYTES_MAX: number = 1024 * 1024;

/** Where values come from: a JSON file, and flags as they were parsed (`data-dir` or `dataDir`), which win. */
interface ConfigSources {
  readonly file?: string;
  readonly flags: Readonly<Record<string, unknown>>;
}

/**
 * The checked configuration: defaults of the schema, under the file, under the flags. Text flags become the type that the
 * schema asks for. Throws CodedError whose message names the field and whose mend names where to set it.
 */
export function loadConfig<T extends TSchema>(schema: T, sources: ConfigSources): Static<T> {
  const fromFile = sources.file === undefined ? {} : readConfigFile(sources.file);
  const fromFlags = Value.Convert(schema, flagValues(sources.flags));
  const config: unknown = Value.Default(schema, { ...fromFile, ...Object(fromFlags) });
  if (!Value.Check(schema, config)) throw invalid(schema, config, sources);
  return config;
}

function readConfigFile(path: string): Readonly<Record<string, unknown>> {
  const mend = `Write a JSON object to ${path}, or leave --config out.`;
  const refuse = (why: string, cause?: unknown): CodedError<ConfigErrorCode> =>
    new CodedError("config-unreadable", `configuration ${path}: ${why}`, { mend, cause });
  const text = textOf(path, refuse);
  if (jsonDepth(text) > JSON_DEPTH_MAX) throw refuse(`deeper than ${JSON_DEPTH_MAX} levels`);
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw refuse(messageOf(error), error);
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed))
    throw refuse("is no JSON object");
  return { ...parsed };
}

function textOf(path: string, refuse: (why: string, cause?: unknown) => Error): string {
  try {
    if (statSync(path).size > CONFIG_BYTES_MAX) throw refuse(`more than ${CONFIG_BYTES_MAX} bytes`);
    return readFileIfExists(path) ?? "";
  } catch (error) {
    throw error instanceof CodedError ? error : refuse(messageOf(error), error);
  }
}

function flagValues(flags: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const given = Object.entries(flags).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given.map(([name, value]) => [camelCase(name), value]));
}

function invalid(
  schema: TSchema,
  config: unknown,
  sources: ConfigSources,
): CodedError<ConfigErrorCode> {
  const error = Value.Errors(schema, config)[0];
  const field = fieldOf(error);
  const places = [
    `--${kebabCase(field)}`,
    ...(sources.file === undefined ? [] : [`"${field}" in ${sources.file}`]),
  ];
  // The value stays out of the message: it may be a secret.
  return new CodedError("config-invalid", `configuration field ${field} ${problemOf(error)}`, {
    fields: { field },
    mend: `Correct ${places.join(" or ")}.`,
  });
}

interface SchemaError {
  readonly keyword: string;
  readonly instancePath: string;
  readonly message: string;
  readonly params: object;
}

function problemOf(error: SchemaError | undefined): string {
  if (error?.keyword === "required") return "is missing";
  if (error?.keyword === "additionalProperties" || error?.keyword === "boolean")
    return "is not known";
  return error?.message ?? "is invalid";
}

function fieldOf(error: SchemaError | undefined): string {
  const path = error?.instancePath.replace(/^\//, "").replaceAll("/", ".") ?? "";
  const params: Readonly<Record<string, unknown>> = { ...error?.params };
  const named = params["requiredProperties"] ?? params["additionalProperties"];
  const child = Array.isArray(named) ? named.map(String).join(", ") : "";
  return [path, child].filter((part) => part !== "").join(".") || "(root)";
}

function camelCase(name: string): string {
  return name.replace(/-([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

function kebabCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
