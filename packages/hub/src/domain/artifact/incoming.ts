import {
  ARTIFACT_NAME_PATTERN,
  ARTIFACT_PATH_PATTERN,
  ARTIFACT_VERSION_PATTERN,
  RELEASE_FILES_MAX,
} from "@flotilla/shared/model/artifact";
import {
  ArtifactFormat,
  ReleaseSpec,
  releaseName,
} from "@flotilla/shared/model/resources/artifact";
import { type Static, Type } from "typebox";
import { Check, Errors } from "typebox/value";

/** What stands in the watched folder for one release: `NAME/VERSION/` with files and this one. */
export const RELEASE_FILE = "release.json";
/** Longest release.json, characters. */
export const RELEASE_TEXT_LENGTH_MAX = 65_536;

const { constraints, prestage, keep } = ReleaseSpec.properties;

/** release.json. */
const ReleaseText = Type.Object(
  {
    counter: ReleaseSpec.properties.counter,
    format: ArtifactFormat,
    /** Of the Artifact, when this makes it. */
    description: Type.Optional(Type.String({ maxLength: 1_024 })),
    /** Paths in trust metadata begin with it; default `models/NAME/COUNTER`. */
    targetPrefix: Type.Optional(Type.String({ pattern: ARTIFACT_PATH_PATTERN, maxLength: 255 })),
    constraints,
    prestage,
    keep,
  },
  { additionalProperties: false },
);
type ReleaseText = Static<typeof ReleaseText>;

/** A folder as it was found. */
export interface Arrival {
  readonly name: string;
  readonly version: string;
  /** Relative paths of everything but release.json, sorted. */
  readonly files: readonly string[];
  /** Text of release.json; undefined: there is none. */
  readonly releaseText: string | undefined;
  /** What is no file and no folder, or cannot be read: why nothing can be made of it. */
  readonly fault: string | undefined;
}

/** A release that can be made as soon as its files are stored. */
export interface PlannedRelease {
  readonly artifact: { readonly name: string; readonly spec: object };
  readonly release: {
    readonly name: string;
    /** Without files. */
    readonly spec: object;
  };
  /** Where each file comes from, and its path in trust metadata. */
  readonly files: readonly { readonly path: string; readonly target: string }[];
}

/** Reads an arrival; says in a sentence why it is refused. */
export function planRelease(arrival: Arrival): PlannedRelease | { readonly refused: string } {
  const { name, version, files } = arrival;
  const refused = arrival.fault ?? nameFault(arrival) ?? filesFault(files);
  if (refused !== undefined) return { refused };
  const text = readText(arrival.releaseText);
  if ("refused" in text) return text;
  const { counter, format, description, targetPrefix, ...rest } = text;
  const prefix = targetPrefix ?? `models/${name}/${counter}`;
  return {
    artifact: { name, spec: { format, ...(description === undefined ? {} : { description }) } },
    release: {
      name: releaseName(name, version),
      spec: { artifact: name, version, counter, ...rest },
    },
    files: files.map((path) => ({ path, target: `${prefix}/${path}` })),
  };
}

function nameFault({ name, version }: Arrival): string | undefined {
  if (!new RegExp(ARTIFACT_NAME_PATTERN).test(name))
    return `the folder ${name} is not named like an artifact: lower-case letters, digits, - and .`;
  if (!new RegExp(ARTIFACT_VERSION_PATTERN).test(version))
    return `the folder ${version} is not named like a version, such as 1.2.0`;
  return undefined;
}

function filesFault(files: readonly string[]): string | undefined {
  if (files.length === 0) return `there is no file beside ${RELEASE_FILE}`;
  if (files.length > RELEASE_FILES_MAX) return `there are more than ${RELEASE_FILES_MAX} files`;
  const isPath = new RegExp(ARTIFACT_PATH_PATTERN);
  const bad = files.find((path) => path.length > 255 || !isPath.test(path));
  return bad === undefined
    ? undefined
    : `the path ${bad} has other characters than letters, digits, . _ + and -, or begins with a dot`;
}

function readText(text: string | undefined): ReleaseText | { readonly refused: string } {
  if (text === undefined) return { refused: `there is no ${RELEASE_FILE}` };
  if (text.length > RELEASE_TEXT_LENGTH_MAX)
    return { refused: `${RELEASE_FILE} has more than ${RELEASE_TEXT_LENGTH_MAX} characters` };
  try {
    const value: unknown = JSON.parse(text);
    if (Check(ReleaseText, value)) return value;
    const [first] = Errors(ReleaseText, value);
    const isStranger = first?.keyword === "boolean";
    const what = isStranger ? "is no field of it" : first?.message;
    return { refused: `${RELEASE_FILE}: ${first?.instancePath || "it"} ${what}` };
  } catch {
    return { refused: `${RELEASE_FILE} is not JSON` };
  }
}
