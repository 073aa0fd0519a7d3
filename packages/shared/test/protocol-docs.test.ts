import { readFileSync } from "node:fs";
import { Value } from "typebox/value";
import { expect, test } from "vitest";
import { parseNodeId } from "../src/kernel/ids.ts";
import { JSON_DEPTH_MAX } from "../src/kernel/json.ts";
import { DesiredState } from "../src/model/desired-state.ts";
import * as lease from "../src/model/lease.ts";
import { Codec } from "../src/protocol/codec.ts";
import { DESIRED_SIGNATURE_CONTEXT } from "../src/protocol/down/desired.ts";
import { DOWN_SCHEMAS } from "../src/protocol/down.ts";
import { DownEnvelope, UpEnvelope } from "../src/protocol/envelope.ts";
import { HubState } from "../src/protocol/hub-state.ts";
import * as limits from "../src/protocol/limits.ts";
import {
  DEFAULT_SHARD,
  DOWN_KINDS,
  HUB_STATE_TOPIC,
  parseUpTopic,
  TOPIC_ROOT,
  UP_KINDS,
} from "../src/protocol/topics.ts";
import { UP_SCHEMAS } from "../src/protocol/up.ts";
import { PROTOCOL_VERSION, PROTOCOL_VERSION_MIN } from "../src/protocol/version.ts";

const DOCUMENT = readFileSync(new URL("../../../docs/protocol.md", import.meta.url), "utf8");

/** Text from a heading to the next one of the same or a higher level. */
function section(heading: string): string {
  const start = DOCUMENT.indexOf(`\n${heading}\n`);
  if (start < 0) throw new Error(`docs/protocol.md has no heading "${heading}"`);
  const level = heading.indexOf(" ");
  const rest = DOCUMENT.slice(start + heading.length + 2);
  const end = rest.search(new RegExp(`^#{1,${level}} `, "m"));
  return end < 0 ? rest : rest.slice(0, end);
}

/** Names that the section's table lists in its first column. */
function fieldsOf(text: string): string[] {
  return text
    .split("\n")
    .filter((line) => line.startsWith("| `"))
    .flatMap((line) => [...(line.split("|")[1] ?? "").matchAll(/`([^`]+)`/g)])
    .map((match) => match[1] ?? "");
}

function exampleOf(text: string): string {
  return /```json\n([\s\S]*?)```/.exec(text)?.[1] ?? "";
}

/** Names of all properties of a schema, at any depth; containers have a document of their own. */
function propertiesOf(schema: unknown): string[] {
  if (typeof schema !== "object" || schema === null) return [];
  return Object.entries(schema).flatMap(([name, part]: [string, unknown]) =>
    name === "properties" && typeof part === "object" && part !== null
      ? Object.entries(part).flatMap(([field, inner]) => [
          field,
          ...(field === "containers" ? [] : propertiesOf(inner)),
        ])
      : propertiesOf(part),
  );
}

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

test.each([...UP_KINDS])("the up message %s is documented, and its example decodes", (kind) => {
  const text = section(`### \`${kind}\``);
  const decoded = new Codec().decodeUp(bytesOf(exampleOf(text)));
  expect(decoded).toMatchObject({ ok: true, message: { kind, v: PROTOCOL_VERSION } });
  expect(fieldsOf(text).toSorted()).toEqual(Object.keys(UP_SCHEMAS[kind].properties).toSorted());
});

test.each([...DOWN_KINDS])("the down message %s is documented, and its example decodes", (kind) => {
  const text = section(`### \`${kind}\``);
  const decoded = new Codec().decodeDown(bytesOf(exampleOf(text)));
  expect(decoded).toMatchObject({ ok: true, message: { kind, v: PROTOCOL_VERSION } });
  expect(fieldsOf(text).toSorted()).toEqual(Object.keys(DOWN_SCHEMAS[kind].properties).toSorted());
});

test("no kind is documented that does not exist", () => {
  const documented = [...DOCUMENT.matchAll(/^### `([^`]+)`$/gm)].map((m) => m[1] ?? "");
  expect(documented.toSorted()).toEqual([...UP_KINDS, ...DOWN_KINDS].toSorted());
});

test("the envelopes, the hub's state and the desired state are documented field by field", () => {
  const documented = (heading: string): string[] => fieldsOf(section(heading)).toSorted();
  expect(documented("### Envelope of an up message")).toEqual(
    Object.keys(UpEnvelope.properties).toSorted(),
  );
  expect(documented("### Envelope of a down message")).toEqual(
    Object.keys(DownEnvelope.properties).toSorted(),
  );
  expect(documented("## Hub state")).toEqual(Object.keys(HubState.properties).toSorted());
  expect(documented("### Desired state")).toEqual(
    [...new Set(propertiesOf(DesiredState))].toSorted(),
  );
});

test("every field of every part of a message is named", () => {
  const named = new Set(
    [...DOCUMENT.matchAll(/`([A-Za-z][A-Za-z0-9]*)`/g)].map((match) => match[1]),
  );
  const fields = propertiesOf([UP_SCHEMAS, DOWN_SCHEMAS, HubState]);
  expect(fields.filter((field) => !named.has(field))).toEqual([]);
});

test("the examples of the hub's state and of the signed payload are what their schemas ask for", () => {
  expect(Value.Check(HubState, JSON.parse(exampleOf(section("## Hub state"))))).toBe(true);
  const { body } = JSON.parse(exampleOf(section("### `desired`")));
  expect(Value.Check(DesiredState, JSON.parse(body.payload))).toBe(true);
});

test("every topic is documented, and those of a node are read back", () => {
  const topics = fieldsOf(section("## Topics"));
  const down = `${TOPIC_ROOT}/<shard>/<node>/down`;
  const up = UP_KINDS.map((kind) => `${TOPIC_ROOT}/<shard>/<node>/up/${kind}`);
  expect(topics).toEqual([...up, down, HUB_STATE_TOPIC]);
  const real = up.map((topic) => topic.replace("<shard>", DEFAULT_SHARD).replace("<node>", "n1"));
  expect(real.map(parseUpTopic)).toEqual(
    UP_KINDS.map((kind) => ({ shard: DEFAULT_SHARD, nodeId: parseNodeId("n1"), kind })),
  );
});

test("every limit and every deadline is documented with its value", () => {
  const rows = (heading: string): Record<string, number> =>
    Object.fromEntries(
      section(heading)
        .split("\n")
        .map((line) => /^\| `([A-Z_]+)` \| (\d+) \| \S/.exec(line))
        .flatMap((match) => (match === null ? [] : [[match[1], Number(match[2])]])),
    );
  expect(rows("## Limits")).toEqual({ ...limits, JSON_DEPTH_MAX });
  expect(rows("## Leases")).toEqual({ ...lease });
});

test("the versions and the signature's context are documented as they are", () => {
  expect(DOCUMENT).toContain(`**${PROTOCOL_VERSION}** (\`PROTOCOL_VERSION\`)`);
  expect(DOCUMENT).toContain(`**${PROTOCOL_VERSION_MIN}** (\`PROTOCOL_VERSION_MIN\`)`);
  expect(DOCUMENT).toContain(`\`${DESIRED_SIGNATURE_CONTEXT.trimEnd()}\` with its line feed`);
  expect(DESIRED_SIGNATURE_CONTEXT.endsWith("\n")).toBe(true);
});
