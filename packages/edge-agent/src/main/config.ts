import { loadConfig } from "@flotilla/shared/platform/config";
import { LOG_LEVELS } from "@flotilla/shared/platform/log";
import { type Static, Type } from "typebox";
import { ARTIFACT_RESERVE_BYTES } from "../adapters/artifact-store/file-blobs.ts";
import { DEFAULT_STATE_DIR } from "./flotilla-agent.ts";

/** Settings of `flotilla-agent run`, by `--flag` or in the JSON file of `--config`. docs/operations.md lists them. */
export const AgentConfig = Type.Object(
  {
    stateDir: Type.String({ minLength: 1, default: DEFAULT_STATE_DIR }),
    /** Address on which this node's workloads are reached; probes without a host go there. */
    nodeAddress: Type.String({ minLength: 1, maxLength: 253, default: "127.0.0.1" }),
    /** Folder in which workloads start whose manifest names none; default: the state directory. */
    workDir: Type.Optional(Type.String({ minLength: 1 })),
    /** Where the broker is reached from here, when that is not what the hub said: a gateway, a tunnel. */
    mqttUrl: Type.Optional(Type.String({ pattern: "^mqtts://[^/]+$" })),
    /**
     * First root of trust metadata (`1.root.json`). Absent: the one that the hub gives, once. Another file than before, by other
     * owners, begins trust anew.
     */
    trustRoot: Type.Optional(Type.String({ minLength: 1 })),
    /** What releases are made for, as their constraints and signed metadata name it; default `<os>-<arch>`, such as linux-arm64. */
    hardwareId: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
    /** Where the hub's artifact server is reached from here, when that is not what the hub says: a gateway, a tunnel. */
    artifactUrl: Type.Optional(Type.String({ pattern: "^https://[^/]+$" })),
    /**
     * `host:port` on which other nodes of the site get payloads, or `off`. Default: port 7446 of `nodeAddress` when that is one of a
     * network, else off.
     */
    peerListen: Type.Optional(Type.String({ minLength: 1, maxLength: 270 })),
    /** Most bytes a second that other nodes get altogether; default: as fast as the link is. */
    peerBytesPerSecond: Type.Optional(Type.Integer({ minimum: 1_024 })),
    /** Most bytes of payloads that are kept for other nodes. */
    payloadCacheBytes: Type.Integer({ minimum: 0, default: 1_073_741_824 }),
    /** Most bytes a second of downloads from the hub; the site's limit holds too. Default: none of its own. */
    downloadBytesPerSecond: Type.Optional(Type.Integer({ minimum: 1_024 })),
    /** Free space that downloads leave alone. */
    diskReserveBytes: Type.Integer({ minimum: 0, default: ARTIFACT_RESERVE_BYTES }),
    /** Most bytes of contents of artifacts on the disk; what nothing needs goes first. Default: what the disk has. */
    artifactCacheBytes: Type.Optional(Type.Integer({ minimum: 1 })),
    /** Whether the disk's speed is measured at each start: 64 durable writes of 4 KiB at most. */
    diskProbe: Type.Boolean({ default: false }),
    logLevel: Type.Unsafe<string>({ enum: [...LOG_LEVELS], type: "string", default: "info" }),
  },
  { additionalProperties: false },
);
export type AgentConfig = Static<typeof AgentConfig>;

/** Configuration of the agent from flags over a file over defaults. */
export function agentConfig(flags: Readonly<Record<string, unknown>>): AgentConfig {
  const { config: file, ...rest } = flags;
  return loadConfig(AgentConfig, { flags: rest, ...(typeof file === "string" ? { file } : {}) });
}
