import { expect, test } from "vitest";
import { tufTools } from "../platform/tuf.ts";
import { ATTACKS, type Outcome } from "../testing/trust-attacks.ts";
import { TrustLab } from "../testing/trust-lab.ts";
import { mayRun, receiptOf } from "./receipt.ts";
import { ATTACK_OF } from "./refusal.ts";

const lab = (): TrustLab => new TrustLab({ tools: tufTools() });
const endOf = (outcome: Outcome): string =>
  outcome.kind === "refused" ? outcome.code : outcome.kind;

test.each(ATTACKS)("$list: $attack", ({ run, expects }) => {
  const world = lab();
  const running = world.install(1);
  const outcomes = run(world);
  expect(outcomes.map(endOf)).toEqual(expects);
  for (const refusal of outcomes.filter((o) => o.kind === "refused")) {
    expect(refusal.attack).toBe(ATTACK_OF[refusal.code]);
    expect([refusal.message, refusal.mend]).not.toContain("");
  }
  // What was installed before goes on running, whatever was served.
  const [target] = running.kind === "accepted" ? running.install : [];
  if (target === undefined) throw new Error("release 1 was not installed");
  expect(mayRun(receiptOf(target, 0), target)).toEqual({ kind: "ok" });
});

test("the lists are whole: ten attacks of TUF, and ten of Uptane with the one below", () => {
  const namesOf = (list: string): readonly string[] =>
    ATTACKS.filter((a) => a.list === list).map((a) => a.attack);
  expect(namesOf("TUF")).toHaveLength(10);
  expect(namesOf("Uptane")).toHaveLength(9);
});

test("Uptane: eavesdrop (what is published holds nothing but public keys, digests and names)", () => {
  const { repository } = lab();
  for (const bytes of repository.files.values()) {
    const text = bytes === "absent" ? "" : new TextDecoder().decode(bytes);
    expect(text).not.toMatch(/PRIVATE|"private"|"seed"|"secret"/);
    expect(text).not.toContain("detector 2 model.onnx");
  }
});
