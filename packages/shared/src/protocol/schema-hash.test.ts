import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { canonicalJson } from "../kernel/json.ts";
import { DesiredState } from "../model/desired-state.ts";
import { DOWN_SCHEMAS } from "./down.ts";
import { DownEnvelope, UpEnvelope } from "./envelope.ts";
import { HubState } from "./hub-state.ts";
import { DOWN_KINDS, UP_KINDS } from "./topics.ts";
import { UP_SCHEMAS } from "./up.ts";
import { PROTOCOL_VERSION } from "./version.ts";

test("the schemas of this protocol version are the ones that were agreed on", () => {
  const all = JSON.parse(
    JSON.stringify({
      UpEnvelope,
      DownEnvelope,
      up: UP_SCHEMAS,
      down: DOWN_SCHEMAS,
      HubState,
      DesiredState,
    }),
  );
  const hash = createHash("sha256").update(canonicalJson(all)).digest("hex").slice(0, 16);
  expect({ version: PROTOCOL_VERSION, hash }).toEqual({ version: 1, hash: "01ec070db050d6ed" });
});

test("every kind has a schema and every schema a kind", () => {
  expect(Object.keys(UP_SCHEMAS).sort()).toEqual([...UP_KINDS].sort());
  expect(Object.keys(DOWN_SCHEMAS).sort()).toEqual([...DOWN_KINDS].sort());
});
