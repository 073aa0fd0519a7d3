import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CodedError, messageOf } from "@flotilla/shared/kernel/errors";
import { isSignature } from "@flotilla/shared/platform/ed25519";
import { tufTools } from "@flotilla/shared/platform/tuf";
import type { Self } from "@flotilla/shared/trust/state";
import type { SqliteAgentStore } from "../adapters/store/sqlite-agent-store.ts";
import { TrustTable } from "../adapters/store/trust-table.ts";
import type { ByteSource } from "../app/artifact/ports.ts";
import { MetadataTrustGate } from "../app/artifact/trust-gate.ts";
import { TrustMetadata, type TrustRootErrorCode } from "../app/artifact/trust-metadata.ts";
import { TrustWatch, type TrustWatchDeps } from "../app/artifact/trust-watch.ts";
import type { AgentConfig } from "./config.ts";
import type { AgentPlatform } from "./platform.ts";

/** 2026-11-25: when this program was written. No time before it is believed. */
const PROGRAM_MS = 1_795_564_800_000;
/** File of the first root in the state directory. */
const FIRST_ROOT_NAME = "trust-root.json";

/** What of trust the rest of the agent uses. */
export interface Trust {
  readonly gate: MetadataTrustGate;
  readonly watch: TrustWatch;
}

/** Makes the gate that everything new goes through, over the agent's store. */
export function makeTrust(
  config: Pick<AgentConfig, "stateDir" | "trustRoot">,
  deps: AgentPlatform & {
    readonly store: SqliteAgentStore;
    /** Metadata is asked of these, in this order: the hub's artifact server, the link. */
    readonly sources: () => readonly ByteSource[];
    readonly self: () => Self;
    readonly notify: TrustWatchDeps["notify"];
  },
): Trust {
  const rootPath = join(config.stateDir, FIRST_ROOT_NAME);
  const table = new TrustTable({ rootPath }, { store: deps.store });
  const common = { ...deps, store: table };
  const { trustRoot } = config;
  const metadata = new TrustMetadata(
    { programMs: PROGRAM_MS },
    {
      ...common,
      configuredRoot: () => (trustRoot === undefined ? undefined : readRoot(trustRoot)),
      tools: tufTools(),
      isSignature,
    },
  );
  const gate = new MetadataTrustGate({ ...common, metadata });
  return { gate, watch: new TrustWatch({ ...common, gate, metadata }) };
}

function readRoot(path: string): Uint8Array {
  try {
    return new Uint8Array(readFileSync(path));
  } catch (error) {
    throw new CodedError<TrustRootErrorCode>(
      "trust-root-unusable",
      `trustRoot: ${messageOf(error)}`,
      {
        fields: { path },
        mend: "Let trustRoot name a file that the agent can read, or leave it out.",
      },
    );
  }
}
