import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign } from "node:crypto";
import { must } from "../kernel/assert.ts";
import type { SigningTools } from "../trust/ports.ts";
import {
  type Dated,
  type DelegatedRole,
  fileBytes,
  fileNameOf,
  type KeySet,
  rootSigned,
  type SigningKey,
  signatureOf,
  signedFile,
  snapshotSigned,
  targetsSigned,
  timestampSigned,
} from "../trust/publish.ts";
import type { MetadataKind, SignedOf, TargetCustom, TargetEntry } from "../trust/shapes.ts";
import type { OfferedFiles, Order, WantedFile } from "../trust/state.ts";

const DAY_MS = 86_400_000;
const PKCS8_ED25519 = Buffer.from("302e020100300506032b657004220420", "hex");

/** Roles of the repository that have keys of their own. */
export type KeyRole = "root" | "targets" | "releases" | "snapshot" | "timestamp";

/** An Ed25519 key made of its name: the same in every run. */
export function namedKey(name: string, tools: SigningTools): SigningKey {
  const seed = createHash("sha256").update(name).digest();
  const privateKey: KeyObject = createPrivateKey({
    key: Buffer.concat([PKCS8_ED25519, seed]),
    format: "der",
    type: "pkcs8",
  });
  const spki = createPublicKey(privateKey).export({ type: "spki", format: "der" });
  const key = {
    keytype: "ed25519",
    scheme: "ed25519",
    keyval: { public: spki.subarray(-32).toString("hex") },
  } as const;
  return {
    keyId: tools.keyIdOf(key),
    key,
    sign: (bytes) => sign(null, bytes, privateKey).toString("hex"),
  };
}

/** Files of a source: what it was never given is absent. */
export class SourceFiles extends Map<string, Uint8Array | "absent"> {
  override get(name: string): Uint8Array | "absent" {
    return super.get(name) ?? "absent";
  }
}

/** One file of a release. */
export interface ReleasedFile {
  readonly path: string;
  readonly content: string;
  readonly custom: TargetCustom;
}

interface Keys {
  readonly signers: readonly SigningKey[];
  readonly threshold: number;
}

/**
 * A repository of TUF metadata in memory, by the profile of docs/trust.md: root 2 of 3, targets 1 of 2, releases 1 of 2, one
 * key each for snapshot and timestamp. `publish` writes the next version of what has changed. A copy is what an attacker
 * knows: give him files of it, or some of its keys.
 */
export class TufRepository {
  readonly #tools: SigningTools;
  readonly #keys = new Map<KeyRole, Keys>();
  readonly #versions = new Map<string, number>();
  readonly #released = new Map<string, TargetEntry>();
  readonly #bytes = new Map<string, { readonly version: number; readonly bytes: Uint8Array }>();
  /** Everything that was ever published, by file name; the timestamp is the newest. */
  readonly files: SourceFiles = new SourceFiles();
  /** Time of the repository's clock. */
  nowMs: number;

  constructor(options: { readonly nowMs: number }, deps: { readonly tools: SigningTools }) {
    this.#tools = deps.tools;
    this.nowMs = options.nowMs;
    this.setKeys("root", ["root-a", "root-b", "root-c"], 2);
    this.setKeys("targets", ["targets-a", "targets-b"], 1);
    this.setKeys("releases", ["releases-a", "releases-b"], 1);
    this.setKeys("snapshot", ["snapshot-a"], 1);
    this.setKeys("timestamp", ["timestamp-a"], 1);
    this.publishRoot();
    this.publishTargets();
    this.publish();
  }

  /** Keys of a role from now on, by name. They take effect with the next version of whoever names them. */
  setKeys(role: KeyRole, names: readonly string[], threshold: number): void {
    this.#keys.set(role, {
      signers: names.map((name) => namedKey(name, this.#tools)),
      threshold,
    });
  }

  /** Keys of a role. */
  keysOf(role: KeyRole): readonly SigningKey[] {
    return this.#of(role).signers;
  }

  /** The next root, signed by its own keys and by those in `alsoBy`, which are the ones before. */
  publishRoot(alsoBy: readonly SigningKey[] = [], lifeDays = 365): Uint8Array {
    const signed = rootSigned(this.next("root", lifeDays), {
      root: this.#set("root"),
      targets: this.#set("targets"),
      snapshot: this.#set("snapshot"),
      timestamp: this.#set("timestamp"),
    });
    return this.put("root", "root", signed, distinct([...this.keysOf("root"), ...alsoBy]));
  }

  /** Other keys for a role of the root: the next root names them, signed by old and new. */
  rotate(role: Exclude<KeyRole, "releases">, names: readonly string[], threshold: number): void {
    const before = this.keysOf("root");
    this.setKeys(role, names, threshold);
    this.publishRoot(before);
  }

  /** The next top-level targets: nothing but the delegation to `releases`. */
  publishTargets(extra: readonly DelegatedRole[] = [], lifeDays = 365): void {
    const releases: DelegatedRole = {
      name: "releases",
      ...this.#set("releases"),
      paths: ["agent/*/*", "models/*/*/*"],
      isTerminating: true,
    };
    const signed = targetsSigned(this.next("targets", lifeDays), {}, [releases, ...extra]);
    this.put("targets", "targets", signed, this.keysOf("targets").slice(0, 1));
  }

  /** Adds files to what is released, or replaces them. They are there with the next `publish`. */
  release(files: readonly ReleasedFile[]): void {
    for (const file of files) this.#released.set(file.path, entryOf(file, this.#tools));
  }

  /** Takes a file out of what is released. */
  withdraw(path: string): void {
    this.#released.delete(path);
  }

  /** Publishes releases, a snapshot over everything, and the timestamp. */
  publish(): void {
    const signed = targetsSigned(this.next("releases", 90), Object.fromEntries(this.#released));
    this.put("targets", "releases", signed, this.keysOf("releases").slice(0, 1));
    this.publishOnline();
  }

  /** A new snapshot and timestamp over what is there, as the hub makes them. */
  publishOnline(): void {
    const named = new Map([...this.#bytes].filter(([role]) => !ONLINE_OR_ROOT.has(role)));
    const snapshot = snapshotSigned(this.next("snapshot", 7), named, this.#tools);
    this.put("snapshot", "snapshot", snapshot, this.keysOf("snapshot"));
    this.publishTimestamp();
  }

  /** A new timestamp for the snapshot that is there. */
  publishTimestamp(): void {
    const snapshot = must(this.#bytes.get("snapshot"), "a timestamp needs a snapshot");
    const signed = timestampSigned(this.next("timestamp", 1), snapshot, this.#tools);
    this.put("timestamp", "timestamp", signed, this.keysOf("timestamp"));
  }

  /** Signs and stores a file, whatever it says. An attacker who holds the keys uses it too. */
  put<K extends MetadataKind>(
    kind: K,
    role: string,
    signed: SignedOf[K],
    signers: readonly SigningKey[],
  ): Uint8Array {
    const bytes = signedFile(kind, signed, signers, this.#tools);
    this.#versions.set(role, signed.version);
    this.#bytes.set(role, { version: signed.version, bytes });
    this.files.set(fileNameOf(role, signed.version), bytes);
    return bytes;
  }

  /** The version after the last one of a role. */
  next(role: string, lifeDays: number): Dated {
    const version = (this.#versions.get(role) ?? 0) + 1;
    return { version, expiresMs: this.nowMs + lifeDays * DAY_MS };
  }

  /** Next version numbers begin after this one. */
  skipTo(role: string, version: number): void {
    this.#versions.set(role, version);
  }

  /** The newest file of a role. */
  newest(role: string): Uint8Array {
    return must(this.#bytes.get(role), `no file of ${role}`).bytes;
  }

  /** Signs a signed part as text that no honest writer makes, for the tests of readers. */
  signText(
    kind: MetadataKind,
    signed: SignedOf[MetadataKind],
    signers: readonly SigningKey[],
  ): Uint8Array {
    return fileBytes(
      signed,
      signers.map((key) => signatureOf(kind, signed, key, this.#tools)),
    );
  }

  /** What a released file's entry says, as an order wants it. */
  wanted(path: string): WantedFile {
    const entry = must(this.#released.get(path), `not released: ${path}`);
    return { path, length: entry.length, sha256: entry.hashes.sha256 };
  }

  /** Everything that is published now, with an order for these files. */
  offer(wanted?: readonly WantedFile[], over: Partial<Order> = {}): OfferedFiles {
    const metadata = new SourceFiles(this.files);
    if (wanted === undefined) return { metadata };
    return {
      metadata,
      order: {
        wanted: { nodeId: "press-1", revision: 1, files: wanted, ...over },
        self: { nodeId: "press-1", hardwareId: "orin" },
      },
    };
  }

  #of(role: KeyRole): Keys {
    return must(this.#keys.get(role), `keys of ${role}`);
  }

  #set(role: KeyRole): KeySet {
    const { signers, threshold } = this.#of(role);
    return { keys: signers, threshold };
  }
}

const ONLINE_OR_ROOT: ReadonlySet<string> = new Set(["root", "snapshot", "timestamp"]);

function distinct(keys: readonly SigningKey[]): readonly SigningKey[] {
  return [...new Map(keys.map((key) => [key.keyId, key])).values()];
}

function entryOf({ content, custom }: ReleasedFile, tools: SigningTools): TargetEntry {
  const bytes = new TextEncoder().encode(content);
  return { length: bytes.byteLength, hashes: { sha256: tools.sha256(bytes) }, custom };
}

/** The two files of one release of an artifact. */
export function releaseOf(
  artifact: string,
  releaseCounter: number,
  over: Partial<TargetCustom> = {},
): readonly ReleasedFile[] {
  const custom: TargetCustom = { artifact, releaseCounter, ...over };
  return ["model.onnx", "labels.json"].map((name) => ({
    path: `models/${artifact}/${releaseCounter}/${name}`,
    content: `${artifact} ${releaseCounter} ${name}`,
    custom,
  }));
}
