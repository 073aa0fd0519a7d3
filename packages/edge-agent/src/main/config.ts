import { loadConfig } from "@flotilla/shared/platform/config";
import { LOG_LEVELS } from "@flotilla/shared/platform/log";
import { type Static, Type } from "typebox";
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
