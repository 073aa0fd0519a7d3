import { tufTools } from "@flotilla/shared/platform/tuf";
import type { SigningTools } from "@flotilla/shared/trust/ports";
import {
  type Dated,
  type KeySet,
  rootSigned,
  type SigningKey,
  signedFile,
  snapshotSigned,
  targetsSigned,
  timestampSigned,
} from "@flotilla/shared/trust/publish";
import { CliError } from "../domain/errors.ts";
import { formatTable } from "../output/table.ts";
import { expiryOf, type TrustIo, tell } from "./common.ts";
import { makeKey, readPublicKey } from "./key-files.ts";
import { MetadataFolder } from "./metadata-folder.ts";

export interface InitFlags {
  readonly keys: string;
  readonly rootKeys: number;
  readonly rootThreshold: number;
  readonly targetsKeys: number;
  readonly releaseKeys: number;
  readonly onlineKey?: string;
  readonly path?: readonly string[];
}

/** Paths of models and of the agent's own releases: `models/NAME/COUNTER/FILE`, `agent/COUNTER/FILE`. */
const RELEASE_PATHS: readonly string[] = ["models/*/*/*", "agent/*/*"];

/** Most keys of one role that are made. */
const ROLE_KEYS_MAX = 12;

interface Made {
  readonly root: readonly SigningKey[];
  readonly targets: readonly SigningKey[];
  readonly releases: readonly SigningKey[];
  /** Absent when the hub has its own. */
  readonly online: { readonly snapshot: SigningKey; readonly timestamp: SigningKey } | undefined;
}

/** `trust init`: keys, root 1, targets 1, releases 1, and, with online keys of our own, snapshot 1 and a timestamp. */
export function init(trustIo: TrustIo, path: string, flags: InitFlags): void {
  const folder = new MetadataFolder({ path });
  requireSound(folder, flags);
  const tools = tufTools();
  const hub = flags.onlineKey === undefined ? undefined : readPublicKey(flags.onlineKey, tools);
  const made = makeKeys(flags, hub === undefined, tools);
  const one = (keys: KeySet["keys"]): KeySet => ({ keys, threshold: 1 });
  const online = (role: "snapshot" | "timestamp"): KeySet =>
    one(
      [made.online?.[role], hub].flatMap((key) =>
        key === undefined ? [] : [{ keyId: key.keyId, key: key.key }],
      ),
    );
  const sets = {
    root: { keys: made.root, threshold: flags.rootThreshold },
    targets: one(made.targets),
    snapshot: online("snapshot"),
    timestamp: online("timestamp"),
  };
  const releases = {
    name: "releases",
    ...one(made.releases),
    paths: flags.path ?? RELEASE_PATHS,
    isTerminating: true,
  };
  const dated = (role: string): Dated => ({ version: 1, expiresMs: expiryOf(trustIo, role) });
  const first = {
    root: signedFile("root", rootSigned(dated("root"), sets), made.root, tools),
    targets: signedFile(
      "targets",
      targetsSigned(dated("targets"), {}, [releases]),
      made.targets,
      tools,
    ),
    releases: signedFile("targets", targetsSigned(dated("releases"), {}), made.releases, tools),
  };
  for (const [role, bytes] of Object.entries(first)) folder.publish(role, 1, bytes);
  if (made.online !== undefined) publishOnline(folder, first, made.online, { dated, tools });
  const rows = Object.entries({ ...sets, releases }).flatMap(([role, { keys, threshold }]) =>
    keys.map(({ keyId }) => ({ role, threshold, of: keys.length, keyId })),
  );
  tell(trustIo, { folder: path, keys: rows }, () => textOf(path, flags, rows));
}

function requireSound(folder: MetadataFolder, flags: InitFlags): void {
  if (folder.roles().length > 0)
    throw new CliError("conflict", `${folder.path} holds metadata already`, {
      mend: "Name a new folder, or change this one with flotilla trust sign and rotate.",
    });
  if (flags.rootThreshold > flags.rootKeys)
    throw new CliError(
      "usage",
      `--root-threshold ${flags.rootThreshold} of --root-keys ${flags.rootKeys} cannot be reached`,
      { mend: "a threshold of at most the keys" },
    );
  const most = Math.max(flags.rootKeys, flags.targetsKeys, flags.releaseKeys);
  if (most > ROLE_KEYS_MAX)
    throw new CliError("usage", `${most} keys of one role, at most ${ROLE_KEYS_MAX}`, {
      mend: "fewer keys; the custodians of a role are people",
    });
}

function makeKeys(flags: InitFlags, withOnline: boolean, tools: SigningTools): Made {
  const several = (name: string, count: number): readonly SigningKey[] =>
    Array.from({ length: count }, (_, i) => makeKey(flags.keys, `${name}-${i + 1}`, tools));
  return {
    root: several("root", flags.rootKeys),
    targets: several("targets", flags.targetsKeys),
    releases: several("releases", flags.releaseKeys),
    online: withOnline
      ? {
          snapshot: makeKey(flags.keys, "snapshot-1", tools),
          timestamp: makeKey(flags.keys, "timestamp-1", tools),
        }
      : undefined,
  };
}

function publishOnline(
  folder: MetadataFolder,
  first: { readonly targets: Uint8Array; readonly releases: Uint8Array },
  keys: NonNullable<Made["online"]>,
  how: { readonly dated: (role: string) => Dated; readonly tools: SigningTools },
): void {
  const { dated, tools } = how;
  const files = new Map([
    ["targets", { version: 1, bytes: first.targets }],
    ["releases", { version: 1, bytes: first.releases }],
  ]);
  const signed = snapshotSigned(dated("snapshot"), files, tools);
  const snapshot = signedFile("snapshot", signed, [keys.snapshot], tools);
  folder.publish("snapshot", 1, snapshot);
  const timestamp = timestampSigned(dated("timestamp"), { version: 1, bytes: snapshot }, tools);
  folder.publish("timestamp", 1, signedFile("timestamp", timestamp, [keys.timestamp], tools));
}

interface KeyRow {
  readonly role: string;
  readonly threshold: number;
  readonly of: number;
  readonly keyId: string;
}

function textOf(path: string, flags: InitFlags, keys: readonly KeyRow[]): string {
  const rows = keys.map((k) => [k.role, `${k.threshold} of ${k.of}`, k.keyId]);
  const last =
    flags.onlineKey === undefined
      ? "Give snapshot-1.key and timestamp-1.key to the hub"
      : "The hub signs snapshot and timestamp";
  return `${formatTable(["ROLE", "THRESHOLD", "KEY"], rows)}metadata in ${path}; nodes begin with ${path}/1.root.json\nkeys in ${flags.keys}: take root-*.key and targets-*.key offline, each to another place. ${last}.\n`;
}
