import { must } from "@flotilla/shared/kernel/assert";
import type { Clock } from "@flotilla/shared/kernel/clock";
import { messageOf } from "@flotilla/shared/kernel/errors";
import { isDnsLabel } from "@flotilla/shared/kernel/ids";
import { isoTime } from "@flotilla/shared/kernel/iso-time";
import { formatJoinString, splitJoinToken } from "@flotilla/shared/kernel/join-string";
import { type Random, uuid } from "@flotilla/shared/kernel/random";
import type { Log, Metrics } from "@flotilla/shared/kernel/service";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { certificateUse, withNextInUse } from "../../domain/enrolment/certificate-use.ts";
import { EnrolmentError } from "../../domain/enrolment/enrolment-error.ts";
import {
  GUESSES_PER_ADDRESS_MAX,
  GUESSES_PER_TOKEN_MAX,
  GuessLimiter,
} from "../../domain/enrolment/guess-limiter.ts";
import {
  checkTakeover,
  checkToken,
  type Joining,
  joinedNode,
  newSite,
  usedToken,
} from "../../domain/enrolment/join.ts";
import type { DesiredSigner } from "../desired/ports.ts";
import type { Change, ResourceStore } from "../resources/ports.ts";
import type {
  CertificateAuthority,
  EnrolmentAnswer,
  EnrolmentApi,
  EnrolmentCrypto,
  EnrolmentEvents,
  IssuedCertificate,
  JoinRequest,
  RenewRequest,
} from "./ports.ts";

/** How often a change is tried again when others change the same objects; then `conflict`. */
const COMMIT_TRIES_MAX = 5;

export interface EnrolmentOptions {
  /** `mqtts://host:port` that nodes connect to. */
  readonly mqttUrl: string;
  /** `host:port` of the hub's API, for join strings. */
  readonly apiAddress: string;
  readonly shard: string;
}

export interface EnrolmentDeps {
  readonly ca: CertificateAuthority;
  readonly signer: Pick<DesiredSigner, "publicKey">;
  readonly store: ResourceStore;
  readonly crypto: EnrolmentCrypto;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly events?: EnrolmentEvents;
}

/**
 * Lets nodes in: a join token becomes a client certificate, once; a certificate becomes its successor as long as its key
 * proves who asks. What was signed is worth nothing until its serial is committed to the EdgeNode.
 */
export class EnrolmentService implements EnrolmentApi {
  readonly #options: EnrolmentOptions;
  readonly #deps: EnrolmentDeps;
  readonly #guesses = new GuessLimiter();
  /** What an unknown token is compared with, so that it takes as long as a known one. */
  readonly #noHash: string;

  constructor(options: EnrolmentOptions, deps: EnrolmentDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#noHash = deps.crypto.sha256Hex(deps.crypto.randomSecret());
  }

  mintSecret(): { readonly secret: string; readonly secretHash: string } {
    const secret = this.#deps.crypto.randomSecret();
    return { secret, secretHash: this.#deps.crypto.sha256Hex(secret) };
  }

  joinString(tokenName: string, secret: string): string {
    return formatJoinString({
      apiAddress: this.#options.apiAddress,
      tokenName,
      secret,
      caFingerprint: this.#deps.ca.fingerprint,
    });
  }

  async join(request: JoinRequest, remoteAddress: string): Promise<EnrolmentAnswer> {
    return this.#counted("join", { nodeName: request.nodeName, remoteAddress }, async () => {
      if (!isDnsLabel(request.nodeName))
        throw new EnrolmentError("bad-request", "nodeName is no DNS label", {
          mend: "Use 1 to 63 lower-case letters, digits and inner hyphens.",
        });
      const token = this.#provenToken(request.token, remoteAddress);
      checkToken(token, request.nodeName, this.#deps.clock.wallMs());
      this.#existingFor(token, request.nodeName);
      const issued = await this.#issue(request.csr, request.nodeName);
      await this.#commitJoin(token.metadata.name, request.nodeName, issued);
      return this.#answer(request.nodeName, issued);
    });
  }

  /**
   * The message binds the proof to one CSR, so its age does not matter (a device's clock may say 1970): a replay makes
   * another certificate for the same key, which the replayer does not have.
   */
  async renew(request: RenewRequest, remoteAddress: string): Promise<EnrolmentAnswer> {
    return this.#counted("renew", { remoteAddress }, async () => {
      // Counted apart from joins: a device that asks in vain must not keep others at its address from joining.
      this.#refuseLocked(`renewal:${remoteAddress}`, GUESSES_PER_ADDRESS_MAX);
      const proof = await this.#deps.ca.verifyPossession(request);
      if (!proof.ok) {
        this.#countWrong("renewal", remoteAddress, GUESSES_PER_ADDRESS_MAX);
        throw new EnrolmentError("not-proven", proof.reason);
      }
      const { nodeId, serial } = proof;
      const [verb, forNode, , csrHash, ...rest] = request.message.split("\n");
      const bound = csrHash === this.#deps.crypto.sha256Hex(request.csr) && rest.length === 0;
      if (verb !== "renew" || forNode !== nodeId || !bound)
        throw new EnrolmentError("not-proven", "message is not about this node and this csr");
      this.#usable(nodeId, serial);
      const issued = await this.#issue(request.csr, nodeId);
      await this.#commitRenewal(nodeId, serial, issued);
      return this.#answer(nodeId, issued);
    });
  }

  /** The token whose secret this is. Wrong ones are counted; unknown name and wrong secret look the same. */
  #provenToken(text: string, remoteAddress: string): ObjectOf<"JoinToken"> {
    this.#refuseLocked(`address:${remoteAddress}`, GUESSES_PER_ADDRESS_MAX);
    const parts = splitJoinToken(text);
    if (parts === undefined) {
      this.#countWrong("address", remoteAddress, GUESSES_PER_ADDRESS_MAX);
      throw invalidToken();
    }
    this.#refuseLocked(`token:${parts.name}`, GUESSES_PER_TOKEN_MAX);
    const { crypto, store } = this.#deps;
    const token = store.get("JoinToken", "", parts.name);
    const isRight = crypto.equal(
      crypto.sha256Hex(parts.secret),
      token?.status?.secretHash ?? this.#noHash,
    );
    if (token !== undefined && isRight) return token;
    this.#countWrong("address", remoteAddress, GUESSES_PER_ADDRESS_MAX);
    this.#countWrong("token", parts.name, GUESSES_PER_TOKEN_MAX);
    throw invalidToken();
  }

  #refuseLocked(key: string, guessesMax: number): void {
    if (this.#guesses.isLocked(key, guessesMax, this.#deps.clock.bootMs()))
      throw new EnrolmentError("locked-out", "too many wrong tokens or proofs", {
        mend: "Wait a quarter of an hour, then try again with the right join string or certificate.",
      });
  }

  #countWrong(by: "token" | "address" | "renewal", value: string, guessesMax: number): void {
    const guesses = this.#guesses.countWrong(`${by}:${value}`, this.#deps.clock.bootMs());
    if (guesses !== guessesMax) return;
    this.#deps.metrics.count("flotilla_hub_enrolment_lockouts_total", { by });
    this.#deps.log.warn({ by, value, guesses }, "enrolment locked for wrong guesses");
  }

  #issue(csr: string, nodeId: string): Promise<IssuedCertificate> {
    return this.#deps.ca.issueNodeCertificate({ csr, nodeId, nowMs: this.#deps.clock.wallMs() });
  }

  /** Spends the token, makes the node and, when missing, its site: all or nothing, judged again at each try. */
  async #commitJoin(tokenName: string, nodeName: string, issued: IssuedCertificate): Promise<void> {
    const { store, clock, random, events } = this.#deps;
    for (let tries = 0; tries < COMMIT_TRIES_MAX; tries++) {
      const token = store.get("JoinToken", "", tokenName);
      if (token === undefined) throw invalidToken();
      const nowMs = clock.wallMs();
      checkToken(token, nodeName, nowMs);
      const existing = this.#existingFor(token, nodeName);
      const joining: Joining = {
        token,
        nodeName,
        serial: issued.serial,
        expiresAtMs: issued.expiresAtMs,
        nowMs,
        uid: uuid(random, "enrolment.node"),
      };
      const node = joinedNode(joining, existing);
      const { site } = token.spec;
      const changes: Change[] = [
        put(usedToken(joining), revisionOf(token)),
        put(node, existing === undefined ? "absent" : revisionOf(existing)),
      ];
      if (store.get("Site", "", site) === undefined)
        changes.push(put(newSite(site, uuid(random, "enrolment.site"), nowMs), "absent"));
      const result = await store.commit({ changes });
      if (!result.ok) continue;
      events?.record({
        about: node,
        type: "Normal",
        reason: existing === undefined ? "Enrolled" : "EnrolledAgain",
        message: `enrolled at site ${site} with token ${tokenName}`,
      });
      return;
    }
    throw conflict(nodeName);
  }

  /** Records the successor's serial. The asking certificate is the current one from here on: it has been used. */
  async #commitRenewal(nodeId: string, serial: string, issued: IssuedCertificate): Promise<void> {
    for (let tries = 0; tries < COMMIT_TRIES_MAX; tries++) {
      const node = this.#usable(nodeId, serial);
      const asking = serial === node.status?.nextCertificateSerial ? withNextInUse(node) : node;
      const renewed: ObjectOf<"EdgeNode"> = {
        ...asking,
        status: {
          ...asking.status,
          nextCertificateSerial: issued.serial,
          certificateExpiresAt: isoTime(issued.expiresAtMs),
        },
      };
      const result = await this.#deps.store.commit({ changes: [put(renewed, revisionOf(node))] });
      if (result.ok) return;
    }
    throw conflict(nodeId);
  }

  #existingFor(token: ObjectOf<"JoinToken">, nodeName: string): ObjectOf<"EdgeNode"> | undefined {
    const existing = this.#deps.store.get("EdgeNode", "", nodeName);
    if (existing !== undefined) checkTakeover(token, existing);
    return existing;
  }

  /** The node, when this certificate may still be renewed. */
  #usable(nodeId: string, serial: string): ObjectOf<"EdgeNode"> {
    const node = this.#deps.store.get("EdgeNode", "", nodeId);
    const use = certificateUse(node, serial);
    if (node !== undefined && (use === "current" || use === "next")) return node;
    const code = use === "superseded" || use === "revoked" ? use : "unknown-node";
    throw new EnrolmentError(code, `the certificate of node ${nodeId} is not renewed: ${code}`, {
      mend:
        code === "revoked"
          ? "Set spec.revoked of the EdgeNode to false, or enrol the device under another name."
          : "Enrol the device again with a join token that names the node.",
    });
  }

  #answer(nodeId: string, issued: IssuedCertificate): EnrolmentAnswer {
    return {
      nodeId,
      shard: this.#options.shard,
      certificate: issued.certificate,
      caCertificate: this.#deps.ca.caCertificate,
      signingKey: this.#deps.signer.publicKey,
      mqttUrl: this.#options.mqttUrl,
    };
  }

  async #counted(
    operation: "join" | "renew",
    fields: Readonly<Record<string, unknown>>,
    work: () => Promise<EnrolmentAnswer>,
  ): Promise<EnrolmentAnswer> {
    const { log, metrics } = this.#deps;
    const name = "flotilla_hub_enrolments_total";
    try {
      const answer = await work();
      metrics.count(name, { operation, outcome: "ok" });
      log.info({ ...fields, operation, nodeId: answer.nodeId }, "certificate issued");
      return answer;
    } catch (error) {
      const outcome = error instanceof EnrolmentError ? error.code : "failed";
      metrics.count(name, { operation, outcome });
      const told = { ...fields, operation, outcome, error: messageOf(error) };
      if (outcome === "failed") log.error(told, "enrolment failed");
      else log.info(told, "enrolment refused");
      throw error;
    }
  }
}

function put(object: Extract<Change["object"], object>, expect: Change["expect"]): Change {
  return {
    key: { kind: kindOf(object), namespace: "", name: object.metadata.name },
    expect,
    object,
  };
}

function kindOf(object: { readonly kind: string }): "EdgeNode" | "JoinToken" | "Site" {
  const { kind } = object;
  const known = kind === "EdgeNode" || kind === "JoinToken" || kind === "Site" ? kind : undefined;
  return must(known, `enrolment writes no ${kind}`);
}

function revisionOf(object: { readonly metadata: { readonly resourceVersion?: string } }): number {
  return Number(must(object.metadata.resourceVersion, "a stored object has a resourceVersion"));
}

function invalidToken(): EnrolmentError {
  return new EnrolmentError("invalid-token", "the token is unknown or its secret is wrong", {
    mend: "Copy the join string whole; make a new one with `flotilla node join-token`.",
  });
}

function conflict(nodeName: string): EnrolmentError {
  return new EnrolmentError("conflict", `node ${nodeName} kept changing while it was enrolled`, {
    mend: "Send the request again.",
  });
}
