import { readFileSync } from "node:fs";
import { messageOf } from "@flotilla/shared/kernel/errors";
import { isoTime } from "@flotilla/shared/kernel/iso-time";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { tufTools } from "@flotilla/shared/platform/tuf";
import { firstState } from "@flotilla/shared/trust/decide";
import { gather, type MetadataSource } from "@flotilla/shared/trust/gather";
import { ROOT_BYTES_MAX } from "@flotilla/shared/trust/limits";
import type { TrustTools } from "@flotilla/shared/trust/ports";
import { checkTarget } from "@flotilla/shared/trust/receipt";
import type { Refusal } from "@flotilla/shared/trust/refusal";
import type { RoleSummary, TrustedTarget, TrustState } from "@flotilla/shared/trust/state";
import type { Session } from "../commands/session.ts";
import { CliError } from "../domain/errors.ts";
import { formatObject } from "../output/objects.ts";
import { formatTable, sizeText } from "../output/table.ts";
import { MetadataFolder } from "../trust/metadata-folder.ts";
import { ArtifactServer, type Received } from "./artifact-server.ts";
import { startProgress } from "./progress.ts";
import { releaseOf } from "./show.ts";

export interface VerifyFlags {
  /** Folder of metadata instead of the hub's. */
  readonly repo?: string;
  /** The root that nodes have; absent: the first one of where the metadata is from. */
  readonly root?: string;
  readonly hardware?: string;
  /** False: digests are not recomputed. */
  readonly contents: boolean;
}

type Release = ObjectOf<"Release">;

/**
 * `artifact verify NAME VERSION`: decides as a node would that never had the artifact, and reads every content through. Throws
 * CliError `invalid` with the node's own words.
 */
export async function verify(
  session: Session,
  artifact: string,
  version: string,
  flags: VerifyFlags,
): Promise<void> {
  const { client, io, output } = session;
  const release = await releaseOf(session, artifact, version);
  const server = await ArtifactServer.of(client);
  try {
    const { install, roles } = await decideOn(release, sourceOf(server, flags), flags, io.nowMs());
    if (flags.contents) await readContents(session, server, install);
    const files = install.map(({ path, length, sha256, role }) => ({ path, length, sha256, role }));
    const expires = roles.map(({ expiresMs, ...r }) => ({ ...r, expires: isoTime(expiresMs) }));
    io.out(
      output === "json" || output === "yaml"
        ? formatObject({ release: release.metadata.name, files, roles: expires }, output)
        : textOf(install, roles, flags),
    );
  } finally {
    server.close();
  }
}

function sourceOf(server: ArtifactServer, { repo }: VerifyFlags): MetadataSource {
  if (repo === undefined) return { fetch: (file, bytesMax) => server.metadata(file, bytesMax) };
  const folder = new MetadataFolder({ path: repo });
  return { fetch: (file) => Promise.resolve(folder.offer(file)) };
}

async function decideOn(
  release: Release,
  source: MetadataSource,
  flags: VerifyFlags,
  nowMs: number,
): Promise<{ readonly install: readonly TrustedTarget[]; readonly roles: readonly RoleSummary[] }> {
  const tools = tufTools();
  const { files, constraints, artifact, counter } = release.spec;
  const hardwareId = flags.hardware ?? constraints?.hardwareIds?.[0] ?? "any";
  const decision = await gather(
    {
      stored: await firstOf(source, flags, tools),
      nowMs,
      order: {
        wanted: {
          nodeId: "verify",
          revision: 1,
          files: files.map(({ target, length, sha256 }) => ({ path: target, length, sha256 })),
        },
        self: { nodeId: "verify", hardwareId },
      },
    },
    source,
    tools,
  );
  if (decision.kind === "refused") throw refused(decision);
  const other = decision.install.find(
    ({ custom }) => custom.artifact !== artifact || custom.releaseCounter !== counter,
  );
  if (other !== undefined)
    throw new CliError(
      "invalid",
      `${other.path} was released as ${other.custom.artifact}, counter ${other.custom.releaseCounter}`,
      { mend: "The Release says another; push it under a new version." },
    );
  return decision;
}

async function firstOf(
  source: MetadataSource,
  { root }: VerifyFlags,
  tools: TrustTools,
): Promise<TrustState> {
  const bytes =
    root === undefined ? await source.fetch("1.root.json", ROOT_BYTES_MAX) : readRoot(root);
  if (bytes === "absent")
    throw new CliError("not-found", "there is no 1.root.json", {
      mend: "flotilla trust publish FOLDER gives it to the hub; or --root FILE",
    });
  const first = firstState(bytes, 0, tools);
  if (first.kind === "refused") throw refused(first);
  return first.state;
}

function readRoot(path: string): Uint8Array {
  try {
    return new Uint8Array(readFileSync(path));
  } catch (error) {
    throw new CliError("not-found", `--root ${path} cannot be read`, {
      fields: { why: messageOf(error) },
    });
  }
}

async function readContents(
  session: Session,
  server: ArtifactServer,
  targets: readonly TrustedTarget[],
): Promise<void> {
  const progress = startProgress(
    session.io,
    targets.reduce((sum, target) => sum + target.length, 0),
  );
  let doneBytes = 0;
  const read = new Map<string, Received>();
  try {
    for (const target of targets) {
      const { sha256, path } = target;
      const found =
        read.get(sha256) ??
        (await server.content(sha256, (piece) => {
          doneBytes += piece.length;
          progress.at(doneBytes, path);
        }));
      read.set(sha256, found);
      const verdict = checkTarget(target, found);
      if (verdict.kind === "refused") throw refused(verdict);
    }
  } finally {
    progress.stop();
  }
}

function refused(refusal: Refusal): CliError {
  return new CliError("invalid", `a node would refuse it: ${refusal.message}`, {
    fields: { why: `${refusal.code} (${refusal.attack})` },
    mend: refusal.mend,
  });
}

function textOf(
  install: readonly TrustedTarget[],
  roles: readonly RoleSummary[],
  { root, contents }: VerifyFlags,
): string {
  const files = install.map(({ path, length, sha256, role }) => [
    path,
    sizeText(length),
    sha256,
    role,
  ]);
  const versions = roles.map((r) => [r.role, String(r.version), isoTime(r.expiresMs)]);
  const begun =
    root === undefined ? "begun with the source's own 1.root.json" : `begun with ${root}`;
  return [
    formatTable(["TARGET", "SIZE", "SHA-256", "RELEASED BY"], files),
    "\n",
    formatTable(["ROLE", "VERSION", "EXPIRES"], versions),
    contents ? "every content was read and is what was signed\n" : "contents were not read\n",
    `a node would install it (${begun})\n`,
  ].join("");
}
