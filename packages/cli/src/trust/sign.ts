import { statSync } from "node:fs";
import { must } from "@flotilla/shared/kernel/assert";
import { jsonEqual } from "@flotilla/shared/kernel/json";
import { tufTools } from "@flotilla/shared/platform/tuf";
import { METADATA_VERSION_MAX } from "@flotilla/shared/trust/limits";
import type { SigningTools } from "@flotilla/shared/trust/ports";
import { type SigningKey, snapshotSigned, timestampSigned } from "@flotilla/shared/trust/publish";
import {
  TARGET_PATH_PATTERN,
  TargetCustom,
  type TargetEntry,
  type TargetsSigned,
} from "@flotilla/shared/trust/shapes";
import { Errors } from "typebox/value";
import { CliError } from "../domain/errors.ts";
import { renewed, targetsWith } from "../domain/trust-changes.ts";
import { Ceremony, type SigningResult } from "./ceremony.ts";
import { expiryOf, type TrustIo, tellSigned } from "./common.ts";
import { readSigningKey } from "./key-files.ts";
import { MetadataFolder, measureFile } from "./metadata-folder.ts";

export interface SignFlags {
  readonly role: string;
  readonly key: readonly string[];
  readonly expiresIn?: string;
  readonly target?: readonly string[];
  readonly artifact?: string;
  readonly releaseCounter?: number;
  readonly artifactVersion?: string;
  readonly hardware?: readonly string[];
  readonly rollbackTo?: number;
  readonly delta?: boolean;
  readonly withdraw?: readonly string[];
}

/** One signing under way. */
interface Signing {
  readonly folder: MetadataFolder;
  readonly ceremony: Ceremony;
  readonly tools: SigningTools;
  readonly keys: readonly SigningKey[];
  readonly expiresMs: number;
}

/** `trust sign`. */
export function sign(trustIo: TrustIo, path: string, flags: SignFlags): void {
  const tools = tufTools();
  const folder = new MetadataFolder({ path });
  const ceremony = new Ceremony({ folder, tools });
  const keys = flags.key.map((file) => readSigningKey(file, tools));
  const signing = {
    folder,
    ceremony,
    tools,
    keys,
    expiresMs: expiryOf(trustIo, flags.role, flags.expiresIn),
  };
  const hasContent = hasTargetFlags(flags);
  if (hasContent && !isTargetsRole(flags.role))
    throw new CliError("usage", `${flags.role} holds no targets`, {
      mend: "--role releases for --target, --withdraw and --rollback-to",
    });
  if (!hasContent && ceremony.pending(flags.role) !== undefined)
    return tellSigned(trustIo, ceremony.signPending(flags.role, keys), hintOf(flags.role));
  tellSigned(trustIo, signNext(signing, flags), hintOf(flags.role));
}

function signNext(signing: Signing, flags: SignFlags): SigningResult {
  const { ceremony, keys, expiresMs } = signing;
  const { role } = flags;
  if (role === "root") {
    const root = ceremony.newest("root", "root").signed;
    return ceremony.signNew("root", "root", renewed(root, expiresMs), keys);
  }
  if (role === "snapshot") return signSnapshot(signing);
  if (role === "timestamp") return signTimestamp(signing);
  const before = ceremony.newest("targets", role).signed;
  const next = withTargets(renewed(before, expiresMs), flags);
  return ceremony.signNew("targets", role, next, keys);
}

/** What `artifact push` asks to be signed. */
export interface ReleaseSigning {
  readonly role: string;
  readonly keys: readonly string[];
  readonly expiresIn?: string | undefined;
}

/** Signs the next version of a role with these entries added. Keys are read, and judged, before this returns: see `sign`. */
export class ReleaseSigner {
  readonly #signing: Signing;
  readonly #role: string;

  /** Reads keys and folder; throws CliError when they cannot sign for the role. */
  constructor(trustIo: TrustIo, path: string, { role, keys, expiresIn }: ReleaseSigning) {
    if (!isTargetsRole(role) || role === "targets")
      throw new CliError("usage", `${role} releases nothing`, { mend: "--role releases" });
    const tools = tufTools();
    const folder = new MetadataFolder({ path });
    this.#signing = {
      folder,
      ceremony: new Ceremony({ folder, tools }),
      tools,
      keys: keys.map((file) => readSigningKey(file, tools)),
      expiresMs: expiryOf(trustIo, role, expiresIn),
    };
    this.#role = role;
    this.#signing.ceremony.requireKeysOf(role, this.#signing.keys);
  }

  /** Highest counter of an artifact that is signed; 0 when none is. */
  counterOf(artifact: string): number {
    const entries = Object.values(this.#targets().targets).filter(
      ({ custom }) => custom.artifact === artifact,
    );
    return Math.max(0, ...entries.map(({ custom }) => custom.releaseCounter));
  }

  /**
   * Signs these entries; undefined when all of them are signed already. Throws CliError `conflict` when a path is signed with
   * other bytes.
   */
  sign(entries: Readonly<Record<string, TargetEntry>>): SigningResult | undefined {
    const before = this.#targets();
    const added = Object.entries(entries).filter(([path, entry]) => {
      const signed = Object.hasOwn(before.targets, path) ? before.targets[path] : undefined;
      if (signed !== undefined && signed.hashes.sha256 !== entry.hashes.sha256)
        throw new CliError("conflict", `${path} is signed with other bytes`, {
          mend: "Push under a new version; a path is never released with other bytes.",
        });
      return signed === undefined || !sameRelease(signed, entry);
    });
    if (added.length === 0) return undefined;
    const { ceremony, keys, expiresMs } = this.#signing;
    const next = targetsWith(renewed(before, expiresMs), Object.fromEntries(added), []);
    return ceremony.signNew("targets", this.#role, next, keys);
  }

  #targets(): TargetsSigned {
    return this.#signing.ceremony.newest("targets", this.#role).signed;
  }
}

/** Another rollback rule is a change; one that was given later, by `trust sign`, stays. */
function sameRelease(signed: TargetEntry, wanted: TargetEntry): boolean {
  const custom = { ...signed.custom, ...wanted.custom };
  return jsonEqual(custom, signed.custom) && signed.length === wanted.length;
}

/** A snapshot of the newest targets and of every role under them. */
function signSnapshot({ folder, ceremony, tools, keys, expiresMs }: Signing): SigningResult {
  const roles = folder.roles().filter((role) => isTargetsRole(role));
  const files = new Map(
    roles.map((role) => {
      const { signed, bytes } = ceremony.newest("targets", role);
      return [role, { version: signed.version, bytes }] as const;
    }),
  );
  const version = (folder.newestVersion("snapshot") ?? 0) + 1;
  return ceremony.signNew(
    "snapshot",
    "snapshot",
    snapshotSigned({ version, expiresMs }, files, tools),
    keys,
  );
}

function signTimestamp({ folder, ceremony, tools, keys, expiresMs }: Signing): SigningResult {
  const snapshot = ceremony.newest("snapshot", "snapshot");
  const hasOne = folder.offer("timestamp.json") !== "absent";
  const before = hasOne ? ceremony.newest("timestamp", "timestamp").signed.version : 0;
  const named = { version: snapshot.signed.version, bytes: snapshot.bytes };
  const signed = timestampSigned({ version: before + 1, expiresMs }, named, tools);
  return ceremony.signNew("timestamp", "timestamp", signed, keys);
}

function withTargets(targets: TargetsSigned, flags: SignFlags): TargetsSigned {
  const { artifact, releaseCounter } = flags;
  const files = flags.target ?? [];
  const isAboutRelease = files.length > 0 || flags.rollbackTo !== undefined;
  if (isAboutRelease && (artifact === undefined || releaseCounter === undefined))
    throw new CliError("usage", "a release has a name and a number", {
      mend: "--artifact NAME --release-counter NUMBER",
    });
  const add: Record<string, TargetEntry> =
    files.length === 0 && isAboutRelease ? amended(targets, flags) : released(files, flags);
  return targetsWith(targets, add, flags.withdraw ?? []);
}

function released(files: readonly string[], flags: SignFlags): Record<string, TargetEntry> {
  if (files.length === 0) return {};
  const custom = customOf(flags);
  const entries = files.map((text) => {
    const at = text.lastIndexOf("=");
    const [file, path] = at < 0 ? ["", ""] : [text.slice(0, at), text.slice(at + 1)];
    if (file === "" || !new RegExp(TARGET_PATH_PATTERN).test(path))
      throw new CliError("usage", `--target ${text} is not FILE=PATH`, {
        mend: "for example --target model.onnx=models/detector/2/model.onnx; segments of PATH begin with a letter, a digit or _",
      });
    if (!statSync(file, { throwIfNoEntry: false })?.isFile())
      throw new CliError("not-found", `${file} is no file`, { mend: "--target FILE=PATH" });
    const { length, sha256 } = measureFile(file);
    return [path, { length, hashes: { sha256 }, custom }] as const;
  });
  return Object.fromEntries(entries);
}

function customOf(flags: SignFlags): TargetCustom {
  const custom = {
    artifact: must(flags.artifact, "judged by withTargets"),
    releaseCounter: must(flags.releaseCounter, "judged by withTargets"),
    ...(flags.artifactVersion === undefined ? {} : { version: flags.artifactVersion }),
    ...(flags.hardware === undefined ? {} : { hardwareIds: [...flags.hardware] }),
    ...(flags.rollbackTo === undefined ? {} : { rollbackTo: flags.rollbackTo }),
    ...(flags.delta === true ? { isDelta: true } : {}),
  };
  const [error] = Errors(TargetCustom, custom);
  if (error !== undefined)
    throw new CliError("usage", `the release's ${error.instancePath.slice(1)} ${error.message}`, {
      mend: `--artifact as a DNS name, numbers from 1 to ${METADATA_VERSION_MAX}`,
    });
  return custom;
}

/** The rollback rule of a release that is there. */
function amended(targets: TargetsSigned, flags: SignFlags): Record<string, TargetEntry> {
  const { artifact, releaseCounter, rollbackTo } = flags;
  const entries = Object.entries(targets.targets).filter(
    ([, { custom }]) => custom.artifact === artifact && custom.releaseCounter === releaseCounter,
  );
  if (entries.length === 0)
    throw new CliError("not-found", `no release ${releaseCounter} of ${artifact}`, {
      mend: "flotilla trust verify --targets lists them",
    });
  return Object.fromEntries(
    entries.map(([path, entry]) => [
      path,
      {
        ...entry,
        custom: { ...entry.custom, rollbackTo: must(rollbackTo, "judged by withTargets") },
      },
    ]),
  );
}

function hasTargetFlags(flags: SignFlags): boolean {
  return [
    flags.target,
    flags.withdraw,
    flags.rollbackTo,
    flags.artifact,
    flags.releaseCounter,
  ].some((flag) => flag !== undefined);
}

function isTargetsRole(role: string): boolean {
  return role !== "root" && role !== "snapshot" && role !== "timestamp";
}

function hintOf(role: string): string | undefined {
  if (role === "timestamp" || role === "root") return undefined;
  return `next: ${role === "snapshot" ? "timestamp" : "snapshot, then timestamp"} (the hub's to sign)`;
}
