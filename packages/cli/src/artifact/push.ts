import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { ArtifactFormat } from "@flotilla/shared/model/resources/artifact";
import type { TargetEntry } from "@flotilla/shared/trust/shapes";
import { Check } from "typebox/value";
import { resourcePath } from "../client/api-client.ts";
import { find, itemsOf } from "../commands/objects.ts";
import type { Session } from "../commands/session.ts";
import { CliError } from "../domain/errors.ts";
import { kindByName } from "../domain/kinds.ts";
import { formatObject } from "../output/objects.ts";
import { sizeText } from "../output/table.ts";
import { measureFile } from "../trust/metadata-folder.ts";
import { ReleaseSigner } from "../trust/sign.ts";
import { ArtifactServer } from "./artifact-server.ts";
import { readFileSet } from "./file-set.ts";
import { startProgress } from "./progress.ts";
import { publishedText, publishMetadata } from "./publish.ts";
import {
  type MeasuredSource,
  planRelease,
  type ReleaseWish,
  requireNames,
} from "./release-plan.ts";
import { TusUploader } from "./tus-upload.ts";

export interface PushFlags {
  readonly version: string;
  readonly format?: string;
  readonly description?: string;
  readonly counter?: number;
  readonly hardware?: readonly string[];
  /** True: everywhere; text: sites with commas. */
  readonly prestage?: string | true;
  readonly sign?: string;
  readonly key?: readonly string[];
  readonly role: string;
  readonly expiresIn?: string;
  readonly rollbackTo?: number;
}

type Release = ObjectOf<"Release">;
type Spec = Release["spec"];

/** What a push came to. */
interface Pushed {
  readonly release: string;
  readonly counter: number;
  readonly files: number;
  readonly bytes: number;
  readonly uploadedBytes: number;
  readonly isNew: boolean;
  /** Undefined: nobody was asked to sign. */
  readonly signed: "signed" | "signed already" | "pending" | undefined;
}

/**
 * `artifact push`: contents, then the Release, then its signature. Each step does nothing where it was done before, so a push that
 * was cut off is repeated whole.
 */
export async function push(
  session: Session,
  artifact: string,
  paths: readonly string[],
  flags: PushFlags,
): Promise<void> {
  requireNames(artifact, flags.version);
  const signer = signerOf(session, flags);
  const sources = readFileSet(paths).map(
    (file): MeasuredSource => ({ ...file, ...measureFile(file.source) }),
  );
  await requireFormat(session, artifact, flags.format);
  const { release, name, isThere } = planRelease(wishOf(artifact, sources, flags), {
    releases: await releasesOf(session, artifact),
    signedCounter: signer?.counterOf(artifact) ?? 0,
  });
  const uploadedBytes = await uploadAll(session, sources);
  await makeArtifact(session, artifact, flags);
  if (!isThere) await makeRelease(session, name, release);
  const signed = signer === undefined ? undefined : signAs(signer, release, flags);
  const result: Pushed = {
    release: name,
    counter: release.counter,
    files: sources.length,
    bytes: sources.reduce((sum, file) => sum + file.length, 0),
    uploadedBytes,
    isNew: !isThere,
    signed,
  };
  const isObject = session.output === "json" || session.output === "yaml";
  session.io.out(isObject ? formatObject({ ...result }, session.output) : textOf(result, flags));
  if (signed !== undefined && signed !== "pending" && flags.sign !== undefined) {
    const published = await publishMetadata(session.client, flags.sign);
    if (!isObject) session.io.out(publishedText(published, flags.sign));
  }
}

/** Reads the keys before anything is uploaded: a wrong one is known in a second and not in an hour. */
function signerOf(session: Session, flags: PushFlags): ReleaseSigner | undefined {
  const { sign, key = [], role, expiresIn } = flags;
  if (sign === undefined && (key.length > 0 || flags.rollbackTo !== undefined))
    throw new CliError("usage", "--key and --rollback-to are about a signature", {
      mend: "--sign FOLDER --key releases-1.key",
    });
  if (sign === undefined) return undefined;
  if (key.length === 0)
    throw new CliError("usage", "--sign takes a key", {
      mend: `--sign ${sign} --key releases-1.key`,
    });
  const trustIo = { io: session.io, output: session.output };
  return new ReleaseSigner(trustIo, sign, { role, keys: key, expiresIn });
}

function wishOf(artifact: string, files: readonly MeasuredSource[], flags: PushFlags): ReleaseWish {
  const { version, counter, hardware: hardwareIds, prestage } = flags;
  const sites = typeof prestage === "string" ? prestage.split(",").map((s) => s.trim()) : undefined;
  return {
    artifact,
    version,
    counter,
    hardwareIds,
    files,
    prestage: prestage === undefined ? undefined : sites === undefined ? {} : { sites },
  };
}

async function requireFormat(
  session: Session,
  artifact: string,
  format: string | undefined,
): Promise<void> {
  if (format !== undefined && !Check(ArtifactFormat, format))
    throw new CliError("usage", `--format ${format} is none`, { mend: `one of: ${formats()}` });
  const present = await find(session, artifactPath(artifact));
  if (present === undefined && format === undefined)
    throw new CliError("usage", `there is no artifact ${artifact} yet, and no --format`, {
      mend: `--format one of: ${formats()}`,
    });
  const known = (present as unknown as ObjectOf<"Artifact"> | undefined)?.spec.format;
  if (known !== undefined && format !== undefined && known !== format)
    throw new CliError("conflict", `${artifact} has the format ${known}`, {
      mend: "Leave --format out, or push under another name.",
    });
}

function formats(): string {
  return ArtifactFormat.anyOf.map((literal) => literal.const).join(", ");
}

function artifactPath(name: string): string {
  return resourcePath(kindByName("artifacts"), { name });
}

/** Releases of one artifact. */
export async function releasesOf(session: Session, artifact: string): Promise<readonly Release[]> {
  const path = resourcePath(kindByName("releases"), {});
  const list = itemsOf(await session.client.json({ method: "GET", path }));
  return (list as unknown as Release[]).filter((release) => release.spec.artifact === artifact);
}

/** Returns how many bytes had to be sent. */
async function uploadAll(session: Session, files: readonly MeasuredSource[]): Promise<number> {
  const { client, io } = session;
  const distinct = [...new Map(files.map((file) => [file.sha256, file])).values()];
  const server = await ArtifactServer.of(client);
  server.close();
  const uploader = new TusUploader({ server: server.address, access: client.access });
  const progress = startProgress(
    io,
    distinct.reduce((sum, file) => sum + file.length, 0),
  );
  let [doneBytes, sentBytes] = [0, 0];
  try {
    for (const file of distinct) {
      sentBytes += await uploader.upload(file, (bytes) =>
        progress.at(doneBytes + bytes, file.path),
      );
      doneBytes += file.length;
    }
    return sentBytes;
  } finally {
    progress.stop();
    uploader.close();
  }
}

async function makeArtifact(session: Session, name: string, flags: PushFlags): Promise<void> {
  if ((await find(session, artifactPath(name))) !== undefined) return;
  await create(session, "artifacts", {
    apiVersion: "artifacts.kurator.dev/v1alpha1",
    kind: "Artifact",
    metadata: { name },
    spec: {
      format: flags.format,
      ...(flags.description === undefined ? {} : { description: flags.description }),
    },
  });
}

function makeRelease(session: Session, name: string, spec: Spec): Promise<void> {
  return create(session, "releases", {
    apiVersion: "artifacts.kurator.dev/v1alpha1",
    kind: "Release",
    metadata: { name },
    spec,
  });
}

async function create(session: Session, plural: string, body: object): Promise<void> {
  const path = `${resourcePath(kindByName(plural), {})}?fieldManager=flotilla&fieldValidation=Strict`;
  await session.client.json({ method: "POST", path, body });
}

function signAs(signer: ReleaseSigner, release: Spec, flags: PushFlags): Pushed["signed"] {
  const { artifact, counter, version, constraints, files } = release;
  const custom = {
    artifact,
    releaseCounter: counter,
    version,
    ...(constraints?.hardwareIds === undefined ? {} : { hardwareIds: constraints.hardwareIds }),
    ...(flags.rollbackTo === undefined ? {} : { rollbackTo: flags.rollbackTo }),
  };
  const entries = files.map(({ target, length, sha256 }): readonly [string, TargetEntry] => [
    target,
    { length, hashes: { sha256 }, custom },
  ]);
  const result = signer.sign(Object.fromEntries(entries));
  if (result === undefined) return "signed already";
  return result.isPublished ? "signed" : "pending";
}

function textOf(pushed: Pushed, flags: PushFlags): string {
  const { release, counter, files, bytes, uploadedBytes, isNew, signed } = pushed;
  const what = `release/${release} ${isNew ? "created" : "is there already"}: counter ${counter}, ${files} file${files === 1 ? "" : "s"}, ${sizeText(bytes)}, ${uploadedBytes === 0 ? "nothing" : sizeText(uploadedBytes)} to upload\n`;
  if (signed === undefined)
    return `${what}not signed: nodes install it once ${flags.role} has (flotilla artifact push … --sign FOLDER --key releases-1.key)\n`;
  if (signed === "pending")
    return `${what}more signatures are needed: flotilla trust sign ${flags.sign} --role ${flags.role} --key …, then flotilla trust publish ${flags.sign}\n`;
  return `${what}${signed}\n`;
}
