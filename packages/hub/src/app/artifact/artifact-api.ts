import { isoTime } from "@flotilla/shared/kernel/iso-time";
import type { SigningKey } from "@flotilla/shared/trust/publish";
import type { RoleSummary } from "@flotilla/shared/trust/state";
import { bytesOf, type DeltaWork, wholeProfiles } from "../../domain/artifact/choice.ts";
import type { DeltaService } from "./delta-service.ts";
import type {
  ArtifactApi,
  ArtifactStatusReport,
  BlobStore,
  DeltaReport,
  PayloadStore,
  PublishReport,
  RoleReport,
} from "./ports.ts";
import type { TrustPublisher } from "./trust-publisher.ts";

/** Who waits for a delta asks again no sooner and no later than this. */
const RETRY_MS_MIN = 500;
const RETRY_MS_MAX = 10_000;

interface Deps {
  readonly blobs: Pick<BlobStore, "sizeOf" | "usedBytes" | "quotaBytes">;
  readonly payloads: Pick<PayloadStore, "usedBytes" | "quotaBytes">;
  readonly trust: Pick<TrustPublisher, "publish" | "roles">;
  readonly deltas: Pick<DeltaService, "find" | "want" | "expectedMs">;
  readonly onlineKey: SigningKey;
  /** Where the artifact server listens; undefined while it does not. */
  readonly addresses: () => { readonly server: string; readonly uploads: string } | undefined;
}

/** Answers administrators about artifacts. */
export class ArtifactApiService implements ArtifactApi {
  readonly #deps: Deps;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  status(): ArtifactStatusReport {
    const { blobs, payloads, trust, onlineKey, addresses } = this.#deps;
    return {
      ...addresses(),
      onlineKey: { keyId: onlineKey.keyId, key: onlineKey.key },
      quotaBytes: blobs.quotaBytes,
      usedBytes: blobs.usedBytes,
      cacheQuotaBytes: payloads.quotaBytes,
      cacheUsedBytes: payloads.usedBytes,
      trust: trust.roles.map(reportOf),
    };
  }

  async publish(files: ReadonlyMap<string, Uint8Array>): Promise<PublishReport> {
    const { published, skipped, roles } = await this.#deps.trust.publish(files);
    return { published, skipped, trust: roles.map(reportOf) };
  }

  delta(from: string, to: string): DeltaReport {
    const { blobs, deltas } = this.#deps;
    const fileBytes = blobs.sizeOf(to);
    const works: readonly DeltaWork[] = [
      ...wholeProfiles(fileBytes ?? 0).map((profile) => ({ base: undefined, target: to, profile })),
      { base: from, target: to, profile: "fast" },
      { base: from, target: to, profile: "slow" },
    ];
    const found = works.flatMap((work) => {
      const made = deltas.find(work);
      return made === undefined ? [] : [made];
    });
    const ways = found.map(({ delta, isRefused }) => ({
      kind: delta.base === undefined ? ("full" as const) : ("delta" as const),
      profile: delta.profile,
      bytes: bytesOf(delta),
      memoryBytes: delta.memoryBytes,
      codecs: Object.keys(delta.codecBytes),
      codecBytes: delta.codecBytes,
      isOffered: !isRefused,
    }));
    const about = { ways, ...(fileBytes === undefined ? {} : { fileBytes }) };
    const missing = works.filter((w) => w.profile !== "slow" && deltas.find(w) === undefined);
    if (missing.length === 0) return { status: "ready", ...about };
    const begun = missing.filter((work) => deltas.want(work, "asked"));
    if (begun.length === 0) return { status: "unknown", ...about };
    const expectedMs = Math.max(...begun.map((work) => deltas.expectedMs(work) ?? 0));
    const retryAfterMs = Math.round(Math.min(RETRY_MS_MAX, Math.max(RETRY_MS_MIN, expectedMs)));
    return { status: "pending", retryAfterMs, ...about };
  }
}

function reportOf({ role, version, expiresMs }: RoleSummary): RoleReport {
  return { role, version, expiresAt: isoTime(expiresMs) };
}
