import { must } from "../kernel/assert.ts";
import { METADATA_VERSION_MAX, TIMESTAMP_BYTES_MAX, WANTED_TARGETS_MAX } from "../trust/limits.ts";
import {
  rootSigned,
  type SigningKey,
  snapshotSigned,
  targetsSigned,
  timestampSigned,
} from "../trust/publish.ts";
import { checkTarget, type Verdict } from "../trust/receipt.ts";
import type { TrustErrorCode } from "../trust/refusal.ts";
import { judgeRetrieval } from "../trust/retrieval.ts";
import type { Decision, OfferedFiles, TrustedTarget, WantedFile } from "../trust/state.ts";
import type { TrustLab } from "./trust-lab.ts";
import { namedKey, releaseOf } from "./tuf-repository.ts";

/** What came of each step of an attack, in order. */
export type Outcome = Decision | Verdict;

/** One attack, as its list names it, and how every step of it has to end. */
export interface AttackCase {
  readonly list: "TUF" | "Uptane";
  readonly attack: string;
  readonly expects: readonly (TrustErrorCode | "accepted")[];
  readonly run: (lab: TrustLab) => readonly Outcome[];
}

/** The ten of TUF 1.0.34 §1.5.2, and those of Uptane's standard that are aimed at a decision; to eavesdrop is not. */
export const ATTACKS: readonly AttackCase[] = [
  {
    list: "TUF",
    attack: "arbitrary software installation",
    expects: ["metadata-unsigned", "target-altered"],
    run: (lab) => {
      const [target] = accepted(lab.node(honest(lab, 2)));
      const malware = { length: must(target, "a target").length, sha256: "e".repeat(64) };
      return [lab.node(forgedRelease(lab)), checkTarget(must(target, "a target"), malware)];
    },
  },
  {
    list: "TUF",
    attack: "endless data",
    expects: ["metadata-too-large", "metadata-too-large", "target-too-long"],
    run: (lab) => {
      const [target] = accepted(lab.node(honest(lab, 2)));
      lab.repository.publish();
      const endless = new Uint8Array(TIMESTAMP_BYTES_MAX + 1).fill(32);
      const longer = new Uint8Array([...lab.repository.newest("snapshot"), 32]);
      const { path, length } = must(target, "a target");
      return [
        lab.node(altered(honest(lab, 2), "timestamp.json", endless)),
        lab.node(altered(honest(lab, 2), nameOfNewest(lab, "snapshot"), longer)),
        judgeRetrieval({
          subject: path,
          bytesMax: length,
          bytes: length + 1,
          windowStartBytes: 0,
          windowMs: 1,
        }),
      ];
    },
  },
  {
    list: "TUF",
    attack: "extraneous dependencies",
    expects: ["target-not-released"],
    run: (lab) => [lab.node(ordered(lab, [...lab.wanted(2), file("models/detector/2/miner.so")]))],
  },
  {
    list: "TUF",
    attack: "fast-forward",
    expects: ["accepted", "metadata-rolled-back", "accepted"],
    run: fastForward,
  },
  {
    list: "TUF",
    attack: "indefinite freeze",
    expects: ["metadata-expired"],
    run: (lab) => {
      lab.pass(2);
      return [lab.node(honest(lab, 2))];
    },
  },
  {
    list: "TUF",
    attack: "malicious mirrors preventing updates",
    expects: ["metadata-missing", "metadata-mixed", "metadata-malformed", "accepted"],
    run: (lab) => {
      lab.repository.publish();
      const garbage = new TextEncoder().encode("<html>no such bucket</html>");
      return [
        lab.node(altered(honest(lab, 2), nameOfNewest(lab, "releases"), "absent")),
        lab.node(altered(honest(lab, 2), nameOfNewest(lab, "releases"), garbage)),
        lab.node(altered(honest(lab, 2), "timestamp.json", garbage)),
        lab.node(honest(lab, 2)),
      ];
    },
  },
  {
    list: "TUF",
    attack: "mix-and-match",
    expects: ["metadata-mixed", "metadata-mixed"],
    run: (lab) => {
      const before = {
        snapshot: lab.repository.newest("snapshot"),
        releases: lab.repository.newest("releases"),
      };
      lab.repository.publish();
      return [
        lab.node(altered(honest(lab, 2), nameOfNewest(lab, "snapshot"), before.snapshot)),
        lab.node(altered(honest(lab, 2), nameOfNewest(lab, "releases"), before.releases)),
      ];
    },
  },
  {
    list: "TUF",
    attack: "rollback",
    expects: ["metadata-rolled-back", "metadata-rolled-back"],
    run: (lab) => {
      const old = lab.repository.newest("timestamp");
      lab.repository.publish();
      const steps = [lab.node(honest(lab, 2))];
      steps.push(lab.node(altered(honest(lab, 2), "timestamp.json", old)));
      return [...steps.slice(1), lab.node(snapshotOfOldReleases(lab))];
    },
  },
  {
    list: "TUF",
    attack: "vulnerability to key compromises",
    expects: ["metadata-unsigned", "key-duplicated", "metadata-unsigned", "target-not-released"],
    run: keyCompromises,
  },
  {
    list: "TUF",
    attack: "wrong software installation",
    expects: ["target-wrong-hardware", "order-for-other-node", "target-disagrees"],
    run: (lab) => {
      lab.repository.release(releaseOf("cutter", 1, { hardwareIds: ["rk3588"] }));
      lab.repository.publish();
      const cutter = releaseOf("cutter", 1).map(({ path }) => lab.repository.wanted(path));
      const others = lab.wanted(2).map((wanted) => ({ ...wanted, sha256: "d".repeat(64) }));
      const revision = lab.nextRevision;
      return [
        lab.node(ordered(lab, cutter)),
        lab.node(lab.repository.offer(lab.wanted(2), { revision, nodeId: "press-2" })),
        lab.node(ordered(lab, others)),
      ];
    },
  },
  {
    list: "Uptane",
    attack: "drop-request",
    expects: ["metadata-missing"],
    run: (lab) => [lab.node(altered(honest(lab, 2), "timestamp.json", "absent"))],
  },
  {
    list: "Uptane",
    attack: "slow retrieval",
    expects: ["target-too-slow"],
    run: () => [
      judgeRetrieval({
        subject: "m",
        bytesMax: 50_000_000,
        bytes: 60,
        windowStartBytes: 0,
        windowMs: 60_000,
      }),
    ],
  },
  {
    list: "Uptane",
    attack: "freeze",
    expects: ["order-rolled-back", "metadata-expired"],
    run: (lab) => {
      const frozen = lab.repository.newest("timestamp");
      lab.install(2);
      const old = lab.repository.offer(lab.wanted(2), { revision: lab.state.orderRevision - 1 });
      const steps = [lab.node(old)];
      lab.pass(3);
      lab.repository.publishOnline();
      return [...steps, lab.node(altered(honest(lab, 2), "timestamp.json", frozen))];
    },
  },
  {
    list: "Uptane",
    attack: "partial bundle installation",
    expects: ["release-partial"],
    run: (lab) => [lab.node(ordered(lab, lab.wanted(2).slice(0, 1)))],
  },
  {
    list: "Uptane",
    attack: "rollback",
    expects: ["release-rolled-back"],
    run: (lab) => {
      lab.install(2);
      return [lab.node(honest(lab, 1))];
    },
  },
  {
    list: "Uptane",
    attack: "endless data",
    expects: ["target-too-long", "order-too-large"],
    run: (lab) => {
      const target = must(accepted(lab.node(honest(lab, 2)))[0], "a target");
      const many = Array.from({ length: WANTED_TARGETS_MAX + 1 }, (_, i) =>
        file(`models/x/${i}/f`),
      );
      return [
        checkTarget(target, { length: target.length + 1, sha256: target.sha256 }),
        lab.node(ordered(lab, many)),
      ];
    },
  },
  {
    list: "Uptane",
    attack: "mixed-bundles",
    expects: ["release-mixed"],
    run: (lab) => {
      const [model] = lab.wanted(2);
      const [, labels] = lab.wanted(1);
      return [lab.node(ordered(lab, [must(model, "a model"), must(labels, "labels")]))];
    },
  },
  {
    list: "Uptane",
    attack: "mix-and-match",
    expects: ["metadata-rolled-back", "release-mixed"],
    run: (lab) => {
      const steps = [lab.node(snapshotOfOldReleases(lab))];
      const [model] = lab.wanted(2);
      lab.repository.publish();
      return [...steps, lab.node(ordered(lab, [...lab.wanted(1), must(model, "a model")]))];
    },
  },
  {
    list: "Uptane",
    attack: "arbitrary software",
    expects: ["target-not-released", "target-disagrees", "metadata-unsigned"],
    run: (lab) => {
      const [model, labels] = lab.wanted(2);
      const trojan = { ...must(model, "a model"), sha256: "c".repeat(64) };
      return [
        lab.node(ordered(lab, [file("models/detector/3/model.onnx")])),
        lab.node(ordered(lab, [trojan, must(labels, "labels")])),
        lab.node(forgedRelease(lab)),
      ];
    },
  },
];

/** What the honest repository offers, with an order for a release of `detector`. */
function honest(lab: TrustLab, releaseCounter: number): OfferedFiles {
  return ordered(lab, lab.wanted(releaseCounter));
}

function ordered(lab: TrustLab, wanted: readonly WantedFile[]): OfferedFiles {
  return lab.repository.offer(wanted, { revision: lab.nextRevision });
}

function altered(files: OfferedFiles, name: string, bytes: Uint8Array | "absent"): OfferedFiles {
  return {
    ...files,
    metadata: new Map([...files.metadata, ["2.root.json", "absent"], [name, bytes]]),
  };
}

function nameOfNewest(lab: TrustLab, role: string): string {
  const name = [...lab.repository.files.keys()].findLast((n) => n.endsWith(`.${role}.json`));
  return must(name, `a file of ${role}`);
}

function file(path: string): WantedFile {
  return { path, length: 3, sha256: "b".repeat(64) };
}

function accepted(decision: Decision): readonly TrustedTarget[] {
  return must(decision.kind === "accepted" ? decision.install : undefined, "an honest offer");
}

/** With the hub's keys stolen: releases signed by a key of the attacker's own, named by a genuine snapshot. */
function forgedRelease(lab: TrustLab): OfferedFiles {
  const { repository, tools } = lab;
  const path = "models/detector/3/model.onnx";
  const entry = {
    length: 3,
    hashes: { sha256: "b".repeat(64) },
    custom: { artifact: "detector", releaseCounter: 3 },
  };
  const signed = targetsSigned(repository.next("releases", 90), { [path]: entry });
  repository.put("targets", "releases", signed, [namedKey("attacker", tools)]);
  repository.publishOnline();
  return ordered(lab, [file(path)]);
}

/** With the hub's keys stolen: a snapshot that names the first version of the releases again. */
function snapshotOfOldReleases(lab: TrustLab): OfferedFiles {
  const { repository, tools } = lab;
  const first = must(repository.files.get("1.releases.json"), "first releases") as Uint8Array;
  const named = new Map([
    ["targets", { version: 1, bytes: repository.newest("targets") }],
    ["releases", { version: 1, bytes: first }],
  ]);
  const signed = snapshotSigned(repository.next("snapshot", 7), named, tools);
  repository.put("snapshot", "snapshot", signed, repository.keysOf("snapshot"));
  repository.publishTimestamp();
  return honest(lab, 1);
}

/** With the hub's keys stolen, versions are driven to the last one. The owner gets out by other keys. */
function fastForward(lab: TrustLab): readonly Outcome[] {
  const { repository } = lab;
  const beforeThat = new Map(repository.files);
  repository.skipTo("snapshot", METADATA_VERSION_MAX - 1);
  repository.skipTo("timestamp", METADATA_VERSION_MAX - 1);
  repository.publishOnline();
  const steps = [lab.node(honest(lab, 2))];
  repository.skipTo("snapshot", 10);
  repository.skipTo("timestamp", 10);
  repository.files.clear();
  for (const [name, bytes] of beforeThat) repository.files.set(name, bytes);
  repository.publishOnline();
  steps.push(lab.node(honest(lab, 2)));
  repository.rotate("snapshot", ["snapshot-b"], 1);
  repository.rotate("timestamp", ["timestamp-b"], 1);
  repository.publishOnline();
  return [...steps, lab.node(honest(lab, 2))];
}

/** One of two root keys; one root key listed twice; keys that were rotated away; all keys of the hub. */
function keyCompromises(lab: TrustLab): readonly Outcome[] {
  const { repository } = lab;
  const [stolen, second] = repository.keysOf("root");
  const thief = must(stolen, "a root key");
  const byOne = rootOf(lab, [thief], 1);
  const steps = [lab.node(altered(honest(lab, 2), "2.root.json", byOne))];
  const twice = rootOf(lab, [thief, twin(lab, thief), must(second, "a root key")], 2);
  steps.push(lab.node(altered(honest(lab, 2), "2.root.json", twice)));
  const old = repository.keysOf("timestamp");
  repository.rotate("timestamp", ["timestamp-b"], 1);
  const snapshot = { version: 3, bytes: repository.newest("snapshot") };
  const stale = timestampSigned(repository.next("timestamp", 1), snapshot, lab.tools);
  repository.put("timestamp", "timestamp", stale, old);
  steps.push(lab.node(honest(lab, 2)));
  repository.publishOnline();
  return [...steps, lab.node(ordered(lab, [file("models/detector/9/model.onnx")]))];
}

/** A second root by these keys. */
function rootOf(lab: TrustLab, keys: readonly SigningKey[], threshold: number): Uint8Array {
  const set = { keys, threshold };
  const online = { keys: lab.repository.keysOf("timestamp"), threshold: 1 };
  const signed = rootSigned(
    { version: 2, expiresMs: lab.repository.nowMs + 86_400_000 },
    { root: set, targets: set, snapshot: online, timestamp: online },
  );
  return lab.repository.signText("root", signed, keys);
}

/** The same key under another id, which is its SHA-256 as well: TUF lets a key carry fields that nobody knows. */
export function twin(lab: TrustLab, { key, sign }: SigningKey): SigningKey {
  const other = { ...key, note: "spare" };
  return { keyId: lab.tools.keyIdOf(other), key: other, sign };
}
