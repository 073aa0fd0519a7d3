import { readFileSync, statSync } from "node:fs";
import { messageOf } from "@flotilla/shared/kernel/errors";
import { isoTime, parseIsoTimeMs } from "@flotilla/shared/kernel/iso-time";
import { tufTools } from "@flotilla/shared/platform/tuf";
import { firstState } from "@flotilla/shared/trust/decide";
import { gather } from "@flotilla/shared/trust/gather";
import { ROOT_BYTES_MAX } from "@flotilla/shared/trust/limits";
import { openMetadata } from "@flotilla/shared/trust/metadata";
import type { SigningTools } from "@flotilla/shared/trust/ports";
import type { Refusal } from "@flotilla/shared/trust/refusal";
import type { RoleSummary, TrustState } from "@flotilla/shared/trust/state";
import { CliError } from "../domain/errors.ts";
import { formatTable } from "../output/table.ts";
import { Ceremony, type SigningResult } from "./ceremony.ts";
import { type TrustIo, tell } from "./common.ts";
import { MetadataFolder } from "./metadata-folder.ts";

export interface VerifyFlags {
  readonly root?: string;
  readonly at?: string;
  readonly targets?: boolean;
}

interface Released {
  readonly path: string;
  readonly role: string;
  readonly artifact: string;
  readonly releaseCounter: number;
  readonly length: number;
  readonly sha256: string;
}

type Pending = Pick<SigningResult, "role" | "version" | "quorums">;

/** `trust verify`: what a node that begins with this root would decide. Throws CliError `invalid` with the node's own words. */
export async function verify(trustIo: TrustIo, path: string, flags: VerifyFlags): Promise<void> {
  const tools = tufTools();
  const folder = new MetadataFolder({ path });
  const ceremony = new Ceremony({ folder, tools });
  const atMs = timeOf(trustIo, flags.at);
  const decision = await gather(
    { stored: firstOf(folder, flags.root, tools), nowMs: atMs },
    { fetch: (file) => Promise.resolve(folder.offer(file)) },
    tools,
  );
  if (decision.kind === "refused") throw refused(decision);
  const { roles, state } = decision;
  const pending = folder.roles().flatMap((role): Pending[] => {
    const file = ceremony.pending(role)?.file;
    if (file === undefined) return [];
    return [{ role, version: file.signed.version, quorums: ceremony.quorumsOf(role, file) }];
  });
  const released = releasedBy(state, tools);
  const expires = roles.map(({ expiresMs, ...role }) => ({ ...role, expires: isoTime(expiresMs) }));
  tell(trustIo, { roles: expires, pending, targets: released }, () =>
    textOf({ roles, pending, released: flags.targets === true ? released : [] }, atMs),
  );
}

function firstOf(
  folder: MetadataFolder,
  root: string | undefined,
  tools: SigningTools,
): TrustState {
  const bytes = root === undefined ? oldestRoot(folder) : readRoot(root);
  const first = firstState(bytes, 0, tools);
  if (first.kind === "refused") throw refused(first);
  return first.state;
}

function oldestRoot(folder: MetadataFolder): Uint8Array {
  const newest = folder.newestVersion("root") ?? 1;
  for (let version = 1; version < newest; version++) {
    const bytes = folder.offer(`${version}.root.json`);
    if (bytes !== "absent") return bytes;
  }
  return folder.read("root", newest);
}

function readRoot(path: string): Uint8Array {
  try {
    if (statSync(path).size <= ROOT_BYTES_MAX) return new Uint8Array(readFileSync(path));
  } catch (error) {
    throw new CliError("not-found", `--root ${path} cannot be read`, {
      fields: { why: messageOf(error) },
    });
  }
  throw new CliError("usage", `--root ${path} is larger than ${ROOT_BYTES_MAX} bytes`);
}

function refused(refusal: Refusal): CliError {
  return new CliError("invalid", refusal.message, {
    fields: { why: `${refusal.code} (${refusal.attack})` },
    mend: refusal.mend,
  });
}

function timeOf({ io }: TrustIo, at: string | undefined): number {
  if (at === undefined) return io.nowMs();
  const ms = parseIsoTimeMs(at);
  if (ms === undefined)
    throw new CliError("usage", `--at ${at} is no time`, {
      mend: "for example 2027-01-31T00:00:00Z",
    });
  return ms;
}

/** Targets of the files that the node would take, which are those that the snapshot names. */
function releasedBy(state: TrustState, tools: SigningTools): readonly Released[] {
  const holders = [...state.trusted].filter(
    ([role]) => role !== "root" && role !== "timestamp" && role !== "snapshot",
  );
  return holders.flatMap(([role, bytes]) =>
    Object.entries(openMetadata("targets", { subject: role, bytes }, tools).signed.targets).map(
      ([path, entry]) => ({
        path,
        role,
        artifact: entry.custom.artifact,
        releaseCounter: entry.custom.releaseCounter,
        length: entry.length,
        sha256: entry.hashes.sha256,
      }),
    ),
  );
}

function textOf(
  found: {
    readonly roles: readonly RoleSummary[];
    readonly pending: readonly Pending[];
    readonly released: readonly Released[];
  },
  atMs: number,
): string {
  const days = (ms: number): string => `${Math.floor((ms - atMs) / 86_400_000)} days`;
  const roles = found.roles.map((r) => [
    r.role,
    String(r.version),
    isoTime(r.expiresMs),
    days(r.expiresMs),
  ]);
  const pending = found.pending.map(({ role, version, quorums }) => {
    const counts = quorums.map((q) => `${q.signed} of ${q.threshold} by ${q.of}`);
    return `pending: ${role} ${version}, signed by ${counts.join(", ")}\n`;
  });
  const released = found.released.map((t) => [
    t.path,
    t.artifact,
    String(t.releaseCounter),
    String(t.length),
    t.sha256,
  ]);
  return [
    formatTable(["ROLE", "VERSION", "EXPIRES", "LEFT"], roles),
    ...pending,
    ...(released.length === 0
      ? []
      : ["\n", formatTable(["TARGET", "ARTIFACT", "RELEASE", "BYTES", "SHA256"], released)]),
    "a node would take this\n",
  ].join("");
}
