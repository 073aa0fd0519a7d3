import { homedir } from "node:os";
import { join } from "node:path";
import { CodedError } from "@flotilla/shared/kernel/errors";
import { loadConfig } from "@flotilla/shared/platform/config";
import { LOG_LEVELS } from "@flotilla/shared/platform/log";
import { type Static, Type } from "typebox";

/** `host:port`; an IPv6 host stands in brackets. */
const Address = Type.String({ pattern: "^(\\[[0-9a-fA-F:.]+\\]|[A-Za-z0-9.-]+):[0-9]{1,5}$" });

/** Contents of artifacts may take 20 GiB. */
export const ARTIFACT_QUOTA_BYTES_DEFAULT: number = 20 * 1024 ** 3;
/** Deltas and whole files that lie ready may take 10 GiB. */
export const ARTIFACT_CACHE_BYTES_DEFAULT: number = 10 * 1024 ** 3;

/** Everything that can be set, by `--flag` or in the JSON file of `--config`. docs/operations.md lists it. */
export const HubConfig = Type.Object(
  {
    dataDir: Type.String({ minLength: 1, default: join(homedir(), ".local/state/flotilla-hub") }),
    apiListen: Type.Unsafe<string>({ ...Address, default: "127.0.0.1:7443" }),
    mqttListen: Type.Unsafe<string>({ ...Address, default: "127.0.0.1:7883" }),
    /** What nodes and people are told; default: where it listens. */
    apiAdvertise: Type.Optional(Address),
    mqttAdvertise: Type.Optional(Address),
    /** Where price files of SchedulingProfiles are read from; default: `prices` in dataDir. */
    priceDir: Type.Optional(Type.String({ minLength: 1 })),
    /** Where nodes fetch artifacts, and where administrators upload them. */
    artifactListen: Type.Unsafe<string>({ ...Address, default: "127.0.0.1:7444" }),
    uploadListen: Type.Unsafe<string>({ ...Address, default: "127.0.0.1:7445" }),
    artifactAdvertise: Type.Optional(Address),
    uploadAdvertise: Type.Optional(Address),
    /** Where releases are put that the hub takes in by itself; default: `artifacts/incoming` in dataDir. */
    artifactIncomingDir: Type.Optional(Type.String({ minLength: 1 })),
    /** Most bytes of contents of artifacts. */
    artifactQuotaBytes: Type.Integer({ minimum: 1, default: ARTIFACT_QUOTA_BYTES_DEFAULT }),
    /** Most bytes of deltas and whole files that lie ready for nodes. */
    artifactCacheBytes: Type.Integer({ minimum: 1, default: ARTIFACT_CACHE_BYTES_DEFAULT }),
    /** How many deltas are made at a time; default: one fewer than there are processors, at least one. */
    deltaWorkers: Type.Optional(Type.Integer({ minimum: 1, maximum: 64 })),
    logLevel: Type.Unsafe<string>({ enum: [...LOG_LEVELS], type: "string", default: "info" }),
  },
  { additionalProperties: false },
);
export type HubConfig = Static<typeof HubConfig>;

/** Host and port of a checked address. */
export interface HostAndPort {
  readonly host: string;
  readonly port: number;
}

/** Splits `host:port`. Throws when the port is no port. */
export function splitAddress(address: string, field: string): HostAndPort {
  const at = address.lastIndexOf(":");
  const port = Number(address.slice(at + 1));
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new CodedError(
      "config-invalid",
      `configuration field ${field}: ${address} has no port from 0 to 65535`,
      {
        fields: { field },
        mend: `Set ${field} to host:port, for example 0.0.0.0:7443.`,
      },
    );
  }
  return { host: address.slice(0, at).replace(/^\[|\]$/g, ""), port };
}

/** Configuration of the hub from flags over a file over defaults. */
export function hubConfig(flags: Readonly<Record<string, unknown>>): HubConfig {
  const { config: file, ...rest } = flags;
  return loadConfig(HubConfig, { flags: rest, ...(typeof file === "string" ? { file } : {}) });
}
