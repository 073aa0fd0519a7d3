import { createPrivateKey, generateKeyPairSync } from "node:crypto";
import { join } from "node:path";
import { canonicalJson } from "@flotilla/shared/kernel/json";
import { signingKeyOf } from "@flotilla/shared/platform/ed25519";
import {
  ensureDirectory,
  readFileIfExists,
  writeFileDurable,
} from "@flotilla/shared/platform/files";
import type { TrustTools } from "@flotilla/shared/trust/ports";
import type { SigningKey } from "@flotilla/shared/trust/publish";

/**
 * Opens the key with which the hub signs snapshots, timestamps and the time: `online.key` (PKCS#8, 0600) in `directory`, made
 * when there is none. Its public half lies beside it as `hub.pub`, as `flotilla trust init --online-key` reads it. A key that
 * is lost is made anew and named by a new root; nodes need nothing else.
 */
export function openOnlineKey(
  options: { readonly directory: string },
  deps: { readonly tools: TrustTools },
): SigningKey {
  ensureDirectory(options.directory, 0o700);
  const path = join(options.directory, "online.key");
  const stored = readFileIfExists(path);
  const privateKey =
    stored === undefined ? generateKeyPairSync("ed25519").privateKey : createPrivateKey(stored);
  if (stored === undefined)
    writeFileDurable(path, privateKey.export({ type: "pkcs8", format: "pem" }).toString(), 0o600);
  const key = signingKeyOf(privateKey, deps.tools);
  const publicPath = join(options.directory, "hub.pub");
  const text = `${canonicalJson(key.key)}\n`;
  if (readFileIfExists(publicPath) !== text) writeFileDurable(publicPath, text, 0o644);
  return key;
}
