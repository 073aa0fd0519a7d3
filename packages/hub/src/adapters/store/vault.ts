import { createCipheriv, createDecipheriv, createHash, randomBytes } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { CodedError } from "@flotilla/shared/kernel/errors";
import { systemCode, writeFileDurable } from "@flotilla/shared/platform/files";
import type { StoreErrorCode } from "../../app/resources/ports.ts";

/** AES-256. */
const KEY_BYTES = 32;
/** NIST SP 800-38D §8.2.2: a random 96-bit nonce is good for 2^32 texts under one key, decades at a write a second. */
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** First byte of a sealed text; another one means another format. */
const FORMAT = 1;
const KEY_FILE_MODE = 0o600;

/** Keeps what is secret unreadable in the database, its WAL and its copies: AES-256-GCM under a key in a file beside it. */
export class Vault {
  readonly #key: Uint8Array;
  /** Names the key without telling it: first 16 hexadecimal digits of its SHA-256. */
  readonly keyId: string;

  constructor(options: { readonly key: Uint8Array }) {
    this.#key = options.key;
    this.keyId = createHash("sha256").update(options.key).digest("hex").slice(0, 16);
  }

  /** `place` is authenticated with the text: a sealed text that was moved elsewhere does not open. */
  seal(text: string, place: string): Uint8Array {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv("aes-256-gcm", this.#key, nonce).setAAD(Buffer.from(place));
    const sealed = Buffer.concat([cipher.update(text, "utf8"), cipher.final()]);
    return Buffer.concat([Uint8Array.of(FORMAT), nonce, cipher.getAuthTag(), sealed]);
  }

  /** Throws CodedError `sealed-unreadable` when the text was altered, moved, or sealed under another key. */
  open(sealed: Uint8Array, place: string): string {
    const nonce = sealed.subarray(1, 1 + NONCE_BYTES);
    const tag = sealed.subarray(1 + NONCE_BYTES, 1 + NONCE_BYTES + TAG_BYTES);
    try {
      const decipher = createDecipheriv("aes-256-gcm", this.#key, nonce)
        .setAAD(Buffer.from(place))
        .setAuthTag(tag);
      const body = sealed.subarray(1 + NONCE_BYTES + TAG_BYTES);
      return decipher.update(body, undefined, "utf8") + decipher.final("utf8");
    } catch (cause) {
      throw new CodedError<StoreErrorCode>("sealed-unreadable", "a sealed value does not open", {
        mend: "Put the key file back that belongs to this database.",
        cause,
      });
    }
  }
}

/**
 * The vault whose key lies in the file. `expectedKeyId` is what the database was sealed under; undefined for a new one, and
 * only then a missing key is made. Throws CodedError `key-missing`, `key-mismatch` or `key-exposed`.
 */
export function openVault(path: string, expectedKeyId: string | undefined): Vault {
  const found = readKey(path);
  if (found === undefined && expectedKeyId !== undefined)
    throw new CodedError<StoreErrorCode>("key-missing", `${path}: there is no key file`, {
      mend: "Put the key file back that belongs to this database: without it its Secrets cannot be read.",
    });
  const key = found ?? randomBytes(KEY_BYTES);
  if (found === undefined) writeFileDurable(path, key, KEY_FILE_MODE);
  const vault = new Vault({ key });
  if (expectedKeyId !== undefined && vault.keyId !== expectedKeyId)
    throw new CodedError<StoreErrorCode>(
      "key-mismatch",
      `${path}: the database was sealed under key ${expectedKeyId}, this is ${vault.keyId}`,
      { mend: "Put the key file back that belongs to this database." },
    );
  return vault;
}

function readKey(path: string): Uint8Array | undefined {
  try {
    const mode = statSync(path).mode & 0o777;
    if ((mode & 0o077) !== 0)
      throw new CodedError<StoreErrorCode>(
        "key-exposed",
        `${path}: others can read the key (mode ${mode.toString(8)})`,
        { mend: `Run chmod 600 on ${path}, and replace the Secrets if somebody may have read it.` },
      );
    const key = readFileSync(path);
    if (key.length !== KEY_BYTES)
      throw new CodedError<StoreErrorCode>(
        "key-mismatch",
        `${path}: a key has ${KEY_BYTES} bytes, this file has ${key.length}`,
        { mend: "Put the key file back that belongs to this database." },
      );
    return key;
  } catch (error) {
    if (systemCode(error) === "ENOENT") return undefined;
    throw error;
  }
}
