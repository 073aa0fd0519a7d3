import { tufTools } from "@flotilla/shared/platform/tuf";
import { CliError } from "../domain/errors.ts";
import { type KeyChange, renewed, rootWithKeys, targetsWithKeys } from "../domain/trust-changes.ts";
import { Ceremony, type SigningResult } from "./ceremony.ts";
import { expiryOf, type TrustIo, tellSigned } from "./common.ts";
import { readPublicKey, readSigningKey } from "./key-files.ts";
import { MetadataFolder } from "./metadata-folder.ts";

export interface RotateFlags {
  readonly role: string;
  readonly key: readonly string[];
  readonly add?: readonly string[];
  readonly remove?: readonly string[];
  readonly threshold?: number;
  readonly expiresIn?: string;
}

/** `trust rotate`: the next version of whoever names the role's keys. On top of a pending one, where there is one. */
export function rotate(trustIo: TrustIo, path: string, flags: RotateFlags): void {
  const tools = tufTools();
  const ceremony = new Ceremony({ folder: new MetadataFolder({ path }), tools });
  if (flags.add === undefined && flags.remove === undefined && flags.threshold === undefined)
    throw new CliError("usage", "nothing to change", {
      mend: "--add FILE, --remove KEYID or --threshold COUNT",
    });
  const keys = flags.key.map((file) => readSigningKey(file, tools));
  const change: KeyChange = {
    role: flags.role,
    add: (flags.add ?? []).map((file) => readPublicKey(file, tools)),
    remove: flags.remove ?? [],
    threshold: flags.threshold,
  };
  const delegator = isTopRole(flags.role) ? "root" : "targets";
  if (ceremony.pending(delegator) !== undefined)
    throw new CliError("conflict", `a ${delegator} is pending already`, {
      mend: `flotilla trust sign --role ${delegator} publishes it; or delete ${path}/pending/${delegator}.json to give it up`,
    });
  const expiresMs = expiryOf(trustIo, delegator, flags.expiresIn);
  const result: SigningResult =
    delegator === "root"
      ? ceremony.signNew(
          "root",
          "root",
          renewed(rootWithKeys(ceremony.newest("root", "root").signed, change), expiresMs),
          keys,
        )
      : ceremony.signNew(
          "targets",
          "targets",
          renewed(targetsWithKeys(ceremony.newest("targets", "targets").signed, change), expiresMs),
          keys,
        );
  tellSigned(trustIo, result, hintOf(flags.role));
}

function isTopRole(role: string): boolean {
  return role === "root" || role === "targets" || role === "snapshot" || role === "timestamp";
}

function hintOf(role: string): string | undefined {
  if (role === "root") return undefined;
  return `next: flotilla trust sign --role ${role} with the new keys, then everything above it; flotilla trust verify says when it is whole`;
}
