import { isoTime } from "@flotilla/shared/kernel/iso-time";
import type {
  Delegation,
  RoleKeys,
  RootSigned,
  TargetEntry,
  TargetsSigned,
  TrustKey,
} from "@flotilla/shared/trust/shapes";
import { CliError } from "./errors.ts";

/** Roles that the root names keys for. */
export type TopRole = "root" | "targets" | "snapshot" | "timestamp";

/** Other keys for a role. */
export interface KeyChange {
  readonly role: string;
  readonly add: readonly { readonly keyId: string; readonly key: TrustKey }[];
  /** Key ids. */
  readonly remove: readonly string[];
  readonly threshold: number | undefined;
}

/** The next version of a signed part: one number up, with a new expiry. Everything else stays, unknown fields too. */
export function renewed<S extends { readonly version: number }>(signed: S, expiresMs: number): S {
  const expires = isoTime(expiresMs).replace(/\.\d+Z$/, "Z");
  return { ...signed, version: signed.version + 1, expires };
}

/** A root with other keys for one of its roles. */
export function rootWithKeys(root: RootSigned, change: KeyChange): RootSigned {
  const role = change.role as TopRole;
  const roles = { ...root.roles, [role]: changed(root.roles[role], change) };
  const known = { ...root.keys, ...keysOf(change) };
  const used = new Set(Object.values(roles).flatMap((r) => r.keyids));
  return { ...root, roles, keys: onlyUsed(known, used) };
}

/** Targets with other keys for a role that they delegate to. Throws CliError `not-found` when they do not. */
export function targetsWithKeys(targets: TargetsSigned, change: KeyChange): TargetsSigned {
  const delegations = targets.delegations;
  if (delegations?.roles.some((r) => r.name === change.role) !== true)
    throw new CliError("not-found", `targets delegates to no role ${change.role}`, {
      mend: `--role one of: root, targets, snapshot, timestamp${(delegations?.roles ?? []).map((r) => `, ${r.name}`).join("")}`,
    });
  const roles = delegations.roles.map(
    (r): Delegation => (r.name === change.role ? { ...r, ...changed(r, change) } : r),
  );
  const used = new Set(roles.flatMap((r) => r.keyids));
  const keys = onlyUsed({ ...delegations.keys, ...keysOf(change) }, used);
  return { ...targets, delegations: { ...delegations, keys, roles } };
}

/** Targets with these entries, and without those paths. */
export function targetsWith(
  targets: TargetsSigned,
  add: Readonly<Record<string, TargetEntry>>,
  remove: readonly string[],
): TargetsSigned {
  const missing = remove.find((path) => !Object.hasOwn(targets.targets, path));
  if (missing !== undefined)
    throw new CliError("not-found", `no target ${missing}`, {
      mend: "--withdraw a path as flotilla trust verify -o json shows it",
    });
  const kept = Object.entries(targets.targets).filter(([path]) => !remove.includes(path));
  for (const [path, entry] of Object.entries(add)) {
    const before = Object.hasOwn(targets.targets, path) ? targets.targets[path] : undefined;
    if (before !== undefined && before.hashes.sha256 !== entry.hashes.sha256)
      throw new CliError("conflict", `${path} is released with other bytes`, {
        mend: "Release other bytes under another path, for example with the new release counter in it.",
      });
  }
  return { ...targets, targets: { ...Object.fromEntries(kept), ...add } };
}

function changed(role: RoleKeys, { role: name, add, remove, threshold }: KeyChange): RoleKeys {
  const unknown = remove.find((id) => !role.keyids.includes(id));
  if (unknown !== undefined)
    throw new CliError("not-found", `key ${unknown} is none of ${name}`, {
      mend: `--remove one of: ${role.keyids.join(", ")}`,
    });
  const added = add.map((k) => k.keyId);
  const keyids = [...new Set([...role.keyids, ...added])].filter((id) => !remove.includes(id));
  const next = threshold ?? role.threshold;
  if (keyids.length < next || keyids.length === 0)
    throw new CliError(
      "usage",
      `${name} would have ${keyids.length} keys and a threshold of ${next}`,
      {
        mend: "--add as many keys as go, or lower --threshold",
      },
    );
  return { keyids, threshold: next };
}

function keysOf(change: KeyChange): Record<string, TrustKey> {
  return Object.fromEntries(change.add.map(({ keyId, key }) => [keyId, key]));
}

function onlyUsed(
  keys: Readonly<Record<string, TrustKey>>,
  used: ReadonlySet<string>,
): Record<string, TrustKey> {
  return Object.fromEntries(Object.entries(keys).filter(([id]) => used.has(id)));
}
