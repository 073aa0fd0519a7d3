import { must } from "../kernel/assert.ts";
import { firstState } from "../trust/decide.ts";
import { type FinalDecision, type GatherQuestion, gather } from "../trust/gather.ts";
import type { SigningTools } from "../trust/ports.ts";
import {
  type DelegatedRole,
  fileBytes,
  fileNameOf,
  rootSigned,
  type SigningKey,
  signatureOf,
  snapshotSigned,
  targetsSigned,
  timestampSigned,
} from "../trust/publish.ts";
import { checkTarget } from "../trust/receipt.ts";
import type { MetadataKind, SignedOf, TargetEntry } from "../trust/shapes.ts";
import type { TrustState, WantedFile } from "../trust/state.ts";
import { LAB_START_MS } from "./trust-lab.ts";
import { namedKey } from "./tuf-repository.ts";

const DAY_MS = 86_400_000;
const TOP_ROLES: ReadonlySet<string> = new Set(["root", "timestamp", "snapshot", "targets"]);

/** Keys that a role is to be signed by, and those that do sign; they differ when somebody gets it wrong. */
interface RoleKeys {
  listed: readonly SigningKey[];
  signers: readonly SigningKey[];
  threshold: number;
}

/** What is altered of a signed part before it is signed. */
type Edits = { [K in MetadataKind]?: (signed: SignedOf[K]) => SignedOf[K] };

/**
 * A repository that can be got wrong in every way: one key a role, and everything that it publishes can be altered before it is
 * signed, or after. Roles are published one by one.
 */
export class TufSimulator {
  readonly #tools: SigningTools;
  readonly #keys = new Map<string, RoleKeys>();
  readonly #versions = new Map<string, number>();
  readonly #newest = new Map<string, { readonly version: number; readonly bytes: Uint8Array }>();
  readonly #delegations = new Map<string, DelegatedRole[]>();
  readonly #targets = new Map<string, Record<string, TargetEntry>>();
  /** Names that the snapshot leaves out. */
  readonly unlisted = new Set<string>();
  /** Days from LAB_START_MS until a role's next versions expire; 30 unless said. */
  readonly lifeDays = new Map<string, number>();
  /** By role: applied to what is signed next. */
  readonly edits = new Map<string, Edits>();
  /** What is served, by name. */
  readonly files = new Map<string, Uint8Array>();
  /** Contents by path. */
  readonly contents = new Map<string, string>();

  constructor(deps: { readonly tools: SigningTools }) {
    this.#tools = deps.tools;
    for (const role of TOP_ROLES) this.setKeys(role, [`${role}-1`]);
    this.#targets.set("targets", {});
    this.publish("root", "targets", "snapshot", "timestamp");
  }

  /** Keys of a role by name; `signers` when others than those that are listed sign. */
  setKeys(
    role: string,
    listed: readonly string[],
    options: { readonly threshold?: number; readonly signers?: readonly string[] } = {},
  ): void {
    this.#keys.set(role, {
      listed: listed.map((name) => this.key(name)),
      signers: (options.signers ?? listed).map((name) => this.key(name)),
      threshold: options.threshold ?? 1,
    });
  }

  /** The same with keys of another form. */
  setKeysOf(role: string, keys: readonly SigningKey[]): void {
    this.#keys.set(role, { listed: keys, signers: keys, threshold: 1 });
  }

  /** The key of a name; with fields that nobody knows it is another one, by another id. */
  key(name: string, unknownFields: object = {}): SigningKey {
    const { key, sign } = namedKey(name, this.#tools);
    const whole = { ...key, ...unknownFields };
    return { keyId: this.#tools.keyIdOf(whole), key: whole, sign };
  }

  /** One role delegates to another, which gets a key of its own for each delegator. */
  delegate(
    by: string,
    to: string,
    options: { readonly paths?: readonly string[]; readonly terminating?: boolean } = {},
  ): void {
    const key = this.key(`${to} by ${by}`);
    const before = this.#keys.get(to)?.signers ?? [];
    this.#keys.set(to, { listed: [key], signers: [...before, key], threshold: 1 });
    const role: DelegatedRole = {
      name: to,
      keys: [key],
      threshold: 1,
      paths: options.paths ?? ["*"],
      isTerminating: options.terminating === true,
    };
    this.#delegations.set(by, [...(this.#delegations.get(by) ?? []), role]);
    if (!this.#targets.has(to)) this.#targets.set(to, {});
  }

  /** From now on the role is signed for one of its delegators only. */
  signOnlyFor(role: string, by: string): void {
    const keys = must(this.#keys.get(role), `keys of ${role}`);
    this.#keys.set(role, { ...keys, signers: [this.key(`${role} by ${by}`)] });
  }

  /** A role lists a target; each is an artifact of its own. */
  addTarget(role: string, path: string, content: string): void {
    const bytes = new TextEncoder().encode(content);
    const artifact = path.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-");
    this.#entriesOf(role)[path] = {
      length: bytes.byteLength,
      hashes: { sha256: this.#tools.sha256(bytes) },
      custom: { artifact, releaseCounter: 1 },
    };
    this.contents.set(path, content);
  }

  /** The entry of a target, to be got wrong. */
  editTarget(role: string, path: string, edit: (entry: TargetEntry) => object): void {
    const entries = this.#entriesOf(role);
    entries[path] = edit(must(entries[path], path)) as TargetEntry;
  }

  /** What a hub would want of a path: the first entry for it, or something that nobody has listed. */
  wanted(path: string): WantedFile {
    const entry = [...this.#targets.values()].find((entries) => path in entries)?.[path];
    return { path, length: entry?.length ?? 1, sha256: entry?.hashes.sha256 ?? "0".repeat(64) };
  }

  /** The next publication of a role has this number. */
  setNextVersion(role: string, version: number): void {
    this.#versions.set(role, version - 1);
  }

  version(role: string): number {
    return this.#versions.get(role) ?? 0;
  }

  /** Signs and serves the next version of each of these roles, in this order. */
  publish(...roles: readonly string[]): void {
    for (const role of roles) this.#publish(role);
  }

  /** Serves other bytes under the newest name of a role. */
  replace(role: string, edit: (bytes: Uint8Array) => Uint8Array): void {
    const { version, bytes } = must(this.#newest.get(role), `no file of ${role}`);
    this.files.set(fileNameOf(role, version), edit(bytes));
  }

  /** Serves the newest file of a role with its JSON altered, without signing it anew. */
  editServed<T>(role: string, edit: (document: T) => void): void {
    this.replace(role, (bytes) => {
      const document: T = JSON.parse(new TextDecoder().decode(bytes));
      edit(document);
      return new TextEncoder().encode(JSON.stringify(document));
    });
  }

  /** The newest file of a role. */
  newest(role: string): Uint8Array {
    return must(this.#newest.get(role), `no file of ${role}`).bytes;
  }

  #publish(role: string): void {
    const version = this.version(role) + 1;
    this.#versions.set(role, version);
    const dated = {
      version,
      expiresMs: LAB_START_MS + (this.lifeDays.get(role) ?? 30) * DAY_MS,
    };
    const { signers } = must(this.#keys.get(role), `keys of ${role}`);
    const distinct = [...new Map(signers.map((key) => [key.keyId, key])).values()];
    const kind = kindOf(role);
    const signed = this.#edited(role, kind, this.#signedOf(role, dated));
    const signatures = distinct.map((key) => signatureOf(kind, signed, key, this.#tools));
    const bytes = fileBytes(signed, signatures);
    this.#newest.set(role, { version, bytes });
    this.files.set(fileNameOf(role, version), bytes);
  }

  #edited<K extends MetadataKind>(role: string, kind: K, signed: SignedOf[K]): SignedOf[K] {
    const edit: ((signed: SignedOf[K]) => SignedOf[K]) | undefined = this.edits.get(role)?.[kind];
    return edit?.(signed) ?? signed;
  }

  #signedOf(
    role: string,
    dated: { readonly version: number; readonly expiresMs: number },
  ): SignedOf[MetadataKind] {
    const set = (name: string): { keys: readonly SigningKey[]; threshold: number } => {
      const { listed, threshold } = must(this.#keys.get(name), `keys of ${name}`);
      return { keys: listed, threshold };
    };
    switch (role) {
      case "root":
        return rootSigned(dated, {
          root: set("root"),
          targets: set("targets"),
          snapshot: set("snapshot"),
          timestamp: set("timestamp"),
        });
      case "timestamp":
        return timestampSigned(
          dated,
          must(this.#newest.get("snapshot"), "a snapshot"),
          this.#tools,
        );
      case "snapshot":
        return snapshotSigned(dated, this.#named(), this.#tools);
      default:
        return targetsSigned(dated, this.#entriesOf(role), this.#delegations.get(role));
    }
  }

  #named(): ReadonlyMap<string, { readonly version: number; readonly bytes: Uint8Array }> {
    return new Map(
      [...this.#newest].filter(([role]) => kindOf(role) === "targets" && !this.unlisted.has(role)),
    );
  }

  #entriesOf(role: string): Record<string, TargetEntry> {
    return must(this.#targets.get(role), `no role ${role}`);
  }
}

/** A client of a simulator: what it trusts, and what it asked for. */
export class SimulatorClient {
  readonly #tools: SigningTools;
  readonly #repository: TufSimulator;
  #state: TrustState | undefined;
  #revision = 0;
  /** Names of files that were asked for, in order. */
  readonly asked: string[] = [];
  /** What was downloaded and found good, by path. */
  readonly downloads = new Map<string, string>();

  constructor(deps: { readonly repository: TufSimulator; readonly tools: SigningTools }) {
    this.#repository = deps.repository;
    this.#tools = deps.tools;
  }

  /** Takes a first root; default: version 1 of the repository. Returns how that ended. */
  init(root?: Uint8Array): string {
    const bytes = root ?? must(this.#repository.files.get("1.root.json"), "a first root");
    const first = firstState(bytes, LAB_START_MS, this.#tools);
    if (first.kind === "refused") return first.code;
    this.#state = first.state;
    return first.kind;
  }

  /** Looks at everything, so many days after the start. Returns how it ended: `accepted` or the code of the refusal. */
  async refresh(days = 0): Promise<string> {
    return endOf(await this.#gather(days));
  }

  /** Looks a path up and downloads it, if it may. */
  async download(path: string): Promise<string> {
    this.#revision += 1;
    const files = [this.#repository.wanted(path)];
    const wanted = { nodeId: "n", revision: this.#revision, files };
    const decision = await this.#gather(0, { wanted, self: { nodeId: "n", hardwareId: "any" } });
    const target = decision.kind === "accepted" ? decision.install[0] : undefined;
    if (target === undefined) return endOf(decision);
    const content = this.#repository.contents.get(path) ?? "";
    const bytes = new TextEncoder().encode(content);
    const found = { length: bytes.byteLength, sha256: this.#tools.sha256(bytes) };
    const verdict = checkTarget(target, found);
    if (verdict.kind === "refused") return verdict.code;
    this.downloads.set(path, content);
    return "accepted";
  }

  /** Version of a role that is trusted; undefined: none. */
  version(role: string): number | undefined {
    const bytes = this.#state?.trusted.get(role);
    if (bytes === undefined) return undefined;
    const { signed }: { signed: { version: number } } = JSON.parse(new TextDecoder().decode(bytes));
    return signed.version;
  }

  /** Versions of everything that is trusted. */
  versions(): Readonly<Record<string, number | undefined>> {
    const roles = [...(this.#state?.trusted.keys() ?? [])].toSorted();
    return Object.fromEntries(roles.map((role) => [role, this.version(role)]));
  }

  /** The file of a role that is trusted. */
  file(role: string): Uint8Array | undefined {
    return this.#state?.trusted.get(role);
  }

  /** What was asked for since the last call. */
  takeAsked(): readonly string[] {
    return this.asked.splice(0);
  }

  async #gather(days: number, order?: GatherQuestion["order"]): Promise<FinalDecision> {
    const decision = await gather(
      {
        stored: must(this.#state, "a client that was initialised"),
        nowMs: LAB_START_MS + days * DAY_MS,
        ...(order === undefined ? {} : { order }),
      },
      {
        fetch: (file) => {
          this.asked.push(file);
          return Promise.resolve(this.#repository.files.get(file) ?? "absent");
        },
      },
      this.#tools,
    );
    this.#state = decision.state;
    return decision;
  }
}

function endOf(decision: FinalDecision): string {
  return decision.kind === "refused" ? decision.code : decision.kind;
}

function kindOf(role: string): MetadataKind {
  return role === "root" || role === "snapshot" || role === "timestamp" ? role : "targets";
}
