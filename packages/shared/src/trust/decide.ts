import type { Opened } from "./metadata.ts";
import { takeSnapshot, takeTimestamp } from "./online.ts";
import { agree } from "./order.ts";
import type { TrustTools } from "./ports.ts";
import { refusalOf } from "./refusal.ts";
import { openFirstRoot, walkRoots } from "./roots.ts";
import type { MetadataKind } from "./shapes.ts";
import type { Decision, OfferedFiles, RoleSummary, TrustedTarget, TrustState } from "./state.ts";
import { type TargetTree, takeWholeTree } from "./targets.ts";
import { type Need, startWalk, trustedRoot, type Walk } from "./walk.ts";

/**
 * Whether what came in is to be trusted, and what of the order may be installed: the client workflow of TUF 1.0.34 §5 with the
 * hub's signed desired state as Uptane's director. `nowMs` is attested time; undefined where there is none (a bundle on a stick),
 * then expiry is judged by the floor alone. Pure: the same arguments give the same decision.
 *
 * It is asked before something is installed and at no other time. Starting, running, restarting and going back to a version on
 * disk ask `mayRun`, which knows no time.
 */
export function decide(
  stored: TrustState,
  files: OfferedFiles,
  nowMs: number | undefined,
  tools: TrustTools,
): Decision {
  let walk: Walk | undefined;
  try {
    walk = startWalk(stored, files, { ms: nowMs }, tools);
    const result = decideOn(walk);
    const state = { ...stored, trusted: walk.trusted, floorMs: walk.floorMs };
    if (!("install" in result)) return { kind: "needs", state, ...result };
    return {
      kind: "accepted",
      state: {
        ...state,
        floorMs: walk.nowMs,
        orderRevision: files.order?.wanted.revision ?? stored.orderRevision,
      },
      freshness: nowMs === undefined ? "unattested" : "attested",
      ...result,
    };
  } catch (error) {
    const refusal = refusalOf(error);
    return {
      kind: "refused",
      state: {
        ...stored,
        trusted: walk?.trusted ?? stored.trusted,
        floorMs: walk?.floorMs ?? stored.floorMs,
      },
      ...refusal,
    };
  }
}

/** A state to begin with, from a root that came with the build or with enrolment. */
export function firstState(
  root: Uint8Array,
  buildMs: number,
  tools: TrustTools,
):
  | { readonly kind: "accepted"; readonly state: TrustState }
  | ({ readonly kind: "refused" } & ReturnType<typeof refusalOf>) {
  try {
    openFirstRoot(root, tools);
  } catch (error) {
    return { kind: "refused", ...refusalOf(error) };
  }
  const trusted = new Map([["root", root]]);
  return {
    kind: "accepted",
    state: { trusted, floorMs: buildMs, orderRevision: 0, installed: new Map() },
  };
}

interface Result {
  readonly install: readonly TrustedTarget[];
  readonly roles: readonly RoleSummary[];
}

function decideOn(walk: Walk): Result | Need {
  const need = walkRoots(walk);
  if (need !== undefined) return need;
  const root = trustedRoot(walk);
  const timestamp = takeTimestamp(walk, root);
  if ("bytesMax" in timestamp) return timestamp;
  const snapshot = takeSnapshot(walk, root, timestamp);
  if ("bytesMax" in snapshot) return snapshot;
  const tree: TargetTree = { walk, root, snapshot };
  const { order } = walk.files;
  const install = order === undefined ? (takeWholeTree(tree) ?? []) : agree(tree, order);
  if ("bytesMax" in install) return install;
  const roles = [
    summaryOf("root", root),
    summaryOf("timestamp", timestamp),
    summaryOf("snapshot", snapshot),
    ...[...walk.targets].map(([role, file]) => summaryOf(role, file)),
  ];
  return { install, roles };
}

function summaryOf(role: string, file: Opened<MetadataKind>): RoleSummary {
  return { role, version: file.signed.version, expiresMs: file.expiresMs };
}
