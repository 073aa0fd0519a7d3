import { createHash, timingSafeEqual } from "node:crypto";
import { join } from "node:path";
import { type Random, randomHex } from "@flotilla/shared/kernel/random";
import { readFileIfExists, writeFileDurable } from "@flotilla/shared/platform/files";
import { parse } from "yaml";
import type { KnownToken } from "../adapters/http/bearer-tokens.ts";
import { kubeconfigText } from "../adapters/http/kubeconfig.ts";

const SECRET_MODE = 0o600;
/** 256 bits: nobody guesses it. */
const TOKEN_BYTES = 32;

/** The administrator's access: a token whose hash the hub keeps, and the kubeconfig that holds it. */
export interface AdminAccess {
  readonly token: KnownToken;
  /** Writes `kubeconfig` into the data directory; the server's address is known only now. */
  writeKubeconfig(server: string): string;
}

/**
 * Takes the token of the kubeconfig in the data directory when its hash is the one that the hub keeps; makes a new one
 * otherwise. So removing `admin-token.sha256` (or the kubeconfig) and starting again replaces the token.
 */
export function openAdminAccess(
  options: { readonly dataDir: string; readonly caCertificate: string },
  deps: { readonly random: Random },
): AdminAccess {
  const kubeconfigPath = join(options.dataDir, "kubeconfig");
  const hashPath = join(options.dataDir, "admin-token.sha256");
  const known = readFileIfExists(hashPath)?.trim();
  const held = tokenOf(readFileIfExists(kubeconfigPath));
  const isValid = held !== undefined && known !== undefined && sameHash(sha256(held), known);
  const token = isValid ? held : randomHex(deps.random, TOKEN_BYTES, "admin.token");
  if (!isValid) writeFileDurable(hashPath, `${sha256(token)}\n`, SECRET_MODE);
  return {
    token: { sha256: sha256(token), user: { name: "admin", groups: ["system:masters"] } },
    writeKubeconfig: (server) => {
      const text = kubeconfigText({
        name: "flotilla",
        server,
        caCertificate: options.caCertificate,
        token,
      });
      if (readFileIfExists(kubeconfigPath) !== text)
        writeFileDurable(kubeconfigPath, text, SECRET_MODE);
      return kubeconfigPath;
    },
  };
}

function tokenOf(kubeconfig: string | undefined): string | undefined {
  if (kubeconfig === undefined) return undefined;
  try {
    const value: { users?: { user?: { token?: unknown } }[] } = parse(kubeconfig, {
      maxAliasCount: 0,
    });
    const token = value.users?.[0]?.user?.token;
    return typeof token === "string" && token !== "" ? token : undefined;
  } catch {
    return undefined;
  }
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function sameHash(a: string, b: string): boolean {
  return a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));
}
