import type {
  TrustGate,
  TrustQuestion,
  TrustVerdict,
} from "@flotilla/edge-agent/app/artifact/ports";
import { releaseKey } from "@flotilla/edge-agent/domain/artifact/trust-order";
import type { PrestagedRelease, ReleaseFile } from "@flotilla/shared/model/artifact";
import type { TrustedTarget } from "@flotilla/shared/trust/state";
import type { SimAgentStore } from "../node/agent-store.ts";
import type { AgentFilesDeps } from "./agent-files.ts";

/** Mean time until metadata is here. */
const METADATA_MS = 400;
const RETRY_MS = 5_000;

/**
 * Says yes to what people signed, when it can be looked up. Files that have a receipt are not looked up again. The way back to an
 * older release is always signed for: what must never be asked for is the checks' affair.
 */
export class SimTrust implements TrustGate {
  readonly #deps: AgentFilesDeps;
  readonly #store: SimAgentStore;

  constructor(deps: AgentFilesDeps, store: SimAgentStore) {
    this.#deps = deps;
    this.#store = store;
  }

  async judge({ state }: TrustQuestion, signal: AbortSignal) {
    const { clock, dice, isHubUp, life, machine } = this.#deps;
    await clock.sleep(dice.exponential(METADATA_MS), signal);
    const isOnline = life.call(() => machine.road.isWhole && isHubUp());
    const instances = state.instances.flatMap(({ artifacts, id }) =>
      artifacts === undefined ? [] : [[id, this.#verdict(artifacts, isOnline)] as const],
    );
    const prestaged = (state.prestage ?? []).map(
      (release) => [releaseKey(release), this.#verdict([release], isOnline)] as const,
    );
    return { instances: new Map(instances), prestaged: new Map(prestaged) };
  }

  prepared(targets: readonly TrustedTarget[]): void {
    this.#store.putReceipts(targets.map(receiptOf));
  }

  installed(targets: readonly TrustedTarget[]): void {
    this.#store.putReceipts(targets.map(receiptOf));
  }

  mayRun(target: string, { sha256 }: { readonly sha256: string }): boolean {
    return this.#store.hasReceipt(`${target} ${sha256}`);
  }

  keepReceipts(): void {}

  report() {
    return undefined;
  }

  #verdict(releases: readonly PrestagedRelease[], isOnline: boolean): TrustVerdict {
    const files = releases.flatMap((r) => r.files.map((file) => ({ file, release: r })));
    const open = files.filter(({ file }) => !this.mayRun(file.target, file));
    if (open.length > 0 && !isOnline)
      return { kind: "unknown", reason: "no way to the hub", retryAfterMs: RETRY_MS };
    const bad = open.find(({ file }) => !this.#isSigned(file));
    if (bad !== undefined)
      return {
        kind: "refused",
        code: "target-unknown",
        subject: bad.file.target,
        message: "nobody signed it",
        mend: "Sign it.",
        retryAfterMs: RETRY_MS,
      };
    const install = files.map(({ file, release }): [string, TrustedTarget] => {
      const custom = { artifact: release.name, releaseCounter: release.counter };
      const versions = { role: "releases", rootVersion: 1, targetsVersion: 1 };
      const { length, sha256, target: path } = file;
      return [path, { path, length, sha256, custom, ...versions }];
    });
    return { kind: "accepted", install: new Map(install) };
  }

  #isSigned(file: ReleaseFile): boolean {
    return this.#deps.bugs.has("trust-anything") || this.#deps.depot.isSigned(file);
  }
}

function receiptOf({ path, sha256 }: TrustedTarget): string {
  return `${path} ${sha256}`;
}
