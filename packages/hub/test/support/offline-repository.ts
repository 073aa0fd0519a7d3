import { createHash } from "node:crypto";
import { tufTools } from "@flotilla/shared/platform/tuf";
import { namedKey } from "@flotilla/shared/testing/tuf-repository";
import {
  rootSigned,
  type SigningKey,
  signedFile,
  targetsSigned,
} from "@flotilla/shared/trust/publish";
import type { TargetEntry, TrustKey } from "@flotilla/shared/trust/shapes";

const DAY_MS = 86_400_000;
const tools = tufTools();
const key = (name: string): SigningKey => namedKey(name, tools);

/** One file that is released. */
export interface OfflineTarget {
  readonly path: string;
  readonly bytes: Uint8Array;
  readonly artifact: string;
  readonly releaseCounter: number;
}

/** What offline keys sign for a hub with this online key: root, targets and one version of releases. */
export function offlineRepository(
  hubKey: TrustKey,
  nowMs: number,
  targets: readonly OfflineTarget[],
): Readonly<Record<string, Uint8Array>> {
  const online = { keys: [{ keyId: tools.keyIdOf(hubKey), key: hubKey }], threshold: 1 };
  const roots = [key("root-a"), key("root-b")];
  const dated = (days: number) => ({ version: 1, expiresMs: nowMs + days * DAY_MS });
  const root = rootSigned(dated(365), {
    root: { keys: roots, threshold: 2 },
    targets: { keys: [key("targets-a")], threshold: 1 },
    snapshot: online,
    timestamp: online,
  });
  const releases = {
    name: "releases",
    keys: [key("releases-a")],
    threshold: 1,
    paths: ["models/*/*/*"],
    isTerminating: true,
  };
  const entries = targets.map(({ path, bytes, artifact, releaseCounter }) => [
    path,
    {
      length: bytes.byteLength,
      hashes: { sha256: createHash("sha256").update(bytes).digest("hex") },
      custom: { artifact, releaseCounter },
    } satisfies TargetEntry,
  ]);
  const top = targetsSigned(dated(365), {}, [releases]);
  const released = targetsSigned(dated(90), Object.fromEntries(entries));
  return {
    "1.root.json": signedFile("root", root, roots, tools),
    "1.targets.json": signedFile("targets", top, [key("targets-a")], tools),
    "1.releases.json": signedFile("targets", released, [key("releases-a")], tools),
  };
}
