import { createPrivateKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "@flotilla/shared/kernel/errors";
import { canonicalJson } from "@flotilla/shared/kernel/json";
import { signingKeyOf } from "@flotilla/shared/platform/ed25519";
import { ensureDirectory, systemCode, writeFileDurable } from "@flotilla/shared/platform/files";
import type { TrustTools } from "@flotilla/shared/trust/ports";
import type { SigningKey } from "@flotilla/shared/trust/publish";
import { TrustKey } from "@flotilla/shared/trust/shapes";
import { Check } from "typebox/value";
import { CliError } from "../domain/errors.ts";

/** Largest key file that is read. */
const KEY_FILE_BYTES_MAX = 16 * 1024;
/** Rights beyond the owner's. */
const OTHERS = 0o077;

/** The public half of a key. */
export interface PublicKey {
  readonly keyId: string;
  readonly key: TrustKey;
}

/**
 * Makes `NAME.key` (PKCS#8 PEM, 0600) and `NAME.pub` (the key as TUF writes it) in `directory`. Never replaces one.
 */
export function makeKey(directory: string, name: string, tools: TrustTools): SigningKey {
  ensureDirectory(directory, 0o700);
  const path = join(directory, `${name}.key`);
  if (existsSync(path))
    throw new CliError("conflict", `${path} is there already`, {
      mend: "Name another --keys folder; a key is never replaced.",
    });
  const { privateKey } = generateKeyPairSync("ed25519");
  writeFileDurable(path, privateKey.export({ type: "pkcs8", format: "pem" }).toString(), 0o600);
  const made = signingKeyOf(privateKey, tools);
  writeFileDurable(join(directory, `${name}.pub`), `${canonicalJson(made.key)}\n`, 0o644);
  return made;
}

/** Reads `NAME.key`. Refuses one that others may read. What it holds is in no message. */
export function readSigningKey(path: string, tools: TrustTools): SigningKey {
  const text = readKeyFile(path);
  const mode = statSync(path).mode & 0o777;
  if ((mode & OTHERS) !== 0)
    throw new CliError("usage", `${path} may be read by others (mode ${mode.toString(8)})`, {
      mend: `chmod 600 ${path}; if somebody may have read it, flotilla trust rotate it away`,
    });
  let key: KeyObject;
  try {
    key = createPrivateKey(text);
  } catch {
    throw noKey(
      path,
      "it holds no private key in PEM",
      "Name a file NAME.key of flotilla trust init.",
    );
  }
  if (key.asymmetricKeyType !== "ed25519")
    throw noKey(path, `its key is ${key.asymmetricKeyType}, not ed25519`, "Name an ed25519 key.");
  return signingKeyOf(key, tools);
}

/** Reads `NAME.pub`. */
export function readPublicKey(path: string, tools: TrustTools): PublicKey {
  const text = readKeyFile(path);
  if (text.includes("PRIVATE KEY"))
    throw noKey(path, "it holds a private key", "Name the file NAME.pub beside it.");
  let key: unknown;
  try {
    key = JSON.parse(text);
  } catch {
    key = undefined;
  }
  if (!Check(TrustKey, key))
    throw noKey(
      path,
      'it is not {"keytype":"ed25519","scheme":"ed25519","keyval":{"public":64 hexadecimal digits}}',
      "Name a file NAME.pub of flotilla trust init, or the hub's.",
    );
  const { keytype, scheme, keyval } = key;
  const plain = { keytype, scheme, keyval: { public: keyval.public } };
  return { keyId: tools.keyIdOf(plain), key: plain };
}

function readKeyFile(path: string): string {
  try {
    if (statSync(path).size > KEY_FILE_BYTES_MAX)
      throw noKey(path, `it is larger than ${KEY_FILE_BYTES_MAX} bytes`, "Name a key file.");
    return readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof CliError) throw error;
    const code = systemCode(error) === "ENOENT" ? "not-found" : "usage";
    throw new CliError(code, `${path} cannot be read`, {
      fields: { why: messageOf(error) },
      mend: "Name a key file that is there and that you may read.",
    });
  }
}

function noKey(path: string, why: string, mend: string): CliError {
  return new CliError("usage", `${path} is no key for this`, { fields: { why }, mend });
}
