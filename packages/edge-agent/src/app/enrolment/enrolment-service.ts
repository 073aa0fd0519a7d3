import type { Clock } from "@flotilla/shared/kernel/clock";
import { CodedError } from "@flotilla/shared/kernel/errors";
import { parseJoinString } from "@flotilla/shared/kernel/join-string";
import type { Random } from "@flotilla/shared/kernel/random";
import { fullJitterMs, type RetrySchedule } from "@flotilla/shared/kernel/retry";
import type { Log, Metrics, Service } from "@flotilla/shared/kernel/service";
import { renewalAtMs } from "../../domain/enrolment/renewal.ts";
import type { CredentialStore, Credentials } from "../link/ports.ts";
import type { EnrolmentAnswer, EnrolmentClient, EnrolmentErrorCode, KeyMaker } from "./ports.ts";

/** Wait after the n-th renewal in a row that failed. */
export const RENEWAL_RETRY: RetrySchedule = { baseMs: 30_000, capMs: 3_600_000 };
/** The wall clock is looked at this often at least: it may jump by years when it is set for the first time. */
export const RENEWAL_CHECK_MS = 3_600_000;
/** After a renewal, the hub's refusals lead to the next one no sooner than this. */
export const RENEWAL_INTERVAL_MIN_MS = 600_000;

export interface EnrolmentServiceDeps {
  readonly client: EnrolmentClient;
  readonly keys: KeyMaker;
  readonly credentials: CredentialStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: Metrics;
  /** New credentials are stored: the link takes them from there. */
  readonly onRenewed: () => void;
}

/** Gets this node its certificate, once by a join string and then by renewal. Nothing here stops a workload. */
export class EnrolmentService implements Service {
  readonly name = "enrolment";
  readonly #retry: RetrySchedule;
  readonly #deps: EnrolmentServiceDeps;
  /** Of which certificate the jitter is. */
  #planned: { readonly certificate: string; readonly jitter: number } | undefined;
  #isAsked = false;
  #failures = 0;
  /** The last renewal by this process. */
  #renewed: { readonly certificate: string; readonly bootMs: number } | undefined;
  #sleeping: AbortController | undefined;

  constructor(options: { readonly retry?: RetrySchedule }, deps: EnrolmentServiceDeps) {
    this.#retry = options.retry ?? RENEWAL_RETRY;
    this.#deps = deps;
  }

  /**
   * Joins the fleet, once: with credentials already there the join string is not used. Throws CodedError with an
   * EnrolmentErrorCode.
   */
  async join(request: {
    readonly joinString: string;
    readonly nodeName: string;
  }): Promise<Credentials> {
    const { credentials, client, keys, log } = this.#deps;
    const present = credentials.load();
    if (present !== undefined) return present;
    const join = parseJoinString(request.joinString);
    if ("error" in join)
      throw new CodedError<EnrolmentErrorCode>("bad-join-string", join.error, {
        mend: "Make one with `flotilla node join-token` and copy it whole.",
      });
    const { nodeName } = request;
    const { privateKey, csr } = await keys.makeKeyAndCsr(nodeName);
    const answer = await client.join({ join, nodeName, csr });
    const joined = this.#accept(answer, { privateKey, nodeId: nodeName, apiUrl: join.apiUrl });
    log.info({ nodeId: joined.nodeId, apiUrl: joined.apiUrl }, "joined");
    return joined;
  }

  /** The hub does not accept the certificate: renew it now, or as soon as it may be tried again. */
  renewSoon(): void {
    this.#isAsked = true;
    if (this.#failures === 0) this.#sleeping?.abort();
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const current = this.#deps.credentials.load();
      const waitMs = current === undefined ? RENEWAL_CHECK_MS : this.#waitMs(current);
      if (current !== undefined && waitMs <= 0) await this.#renew(current);
      else await this.#sleep(Math.min(waitMs, RENEWAL_CHECK_MS), signal);
      if (this.#failures > 0) await this.#sleep(this.#retryMs(), signal);
    }
  }

  /** Milliseconds until the renewal; 0 or less when it is due. */
  #waitMs(current: Credentials): number {
    const { clock, random, metrics } = this.#deps;
    metrics.set(
      "flotilla_agent_certificate_expires_timestamp_seconds",
      Math.floor(current.certificateExpiresMs / 1000),
    );
    if (this.#isAsked) {
      const freeAtMs = (this.#renewed?.bootMs ?? -Infinity) + RENEWAL_INTERVAL_MIN_MS;
      return freeAtMs - clock.bootMs();
    }
    if (this.#planned?.certificate !== current.certificate)
      this.#planned = {
        certificate: current.certificate,
        jitter: random.unit("enrolment.renewal"),
      };
    const times = {
      notBeforeMs: current.certificateNotBeforeMs,
      notAfterMs: current.certificateExpiresMs,
    };
    return renewalAtMs(times, this.#planned.jitter) - this.#nowMs(current);
  }

  /**
   * The time that certificates are dated by. One that the hub issued a moment ago tells it better than the wall clock: with that
   * years ahead every new certificate would be due for renewal at once.
   */
  #nowMs(current: Credentials): number {
    const { clock } = this.#deps;
    const renewed = this.#renewed;
    return renewed?.certificate === current.certificate
      ? current.certificateNotBeforeMs + (clock.bootMs() - renewed.bootMs)
      : clock.wallMs();
  }

  async #renew(current: Credentials): Promise<void> {
    const { client, keys, clock, log, metrics, onRenewed } = this.#deps;
    const { nodeId, apiUrl, caCertificate, certificate } = current;
    try {
      const { privateKey, csr } = await keys.makeKeyAndCsr(nodeId);
      const message = `renew\n${nodeId}\n${Math.trunc(clock.wallMs())}\n${keys.sha256Hex(csr)}`;
      const signature = keys.sign(current.privateKey, message);
      const proof = { certificate, csr, message, signature };
      const answer = await client.renew({ apiUrl, caCertificate, ...proof });
      const renewed = this.#accept(answer, { privateKey, nodeId, apiUrl });
      this.#failures = 0;
      this.#isAsked = false;
      this.#renewed = { certificate: renewed.certificate, bootMs: clock.bootMs() };
      metrics.count("flotilla_agent_certificate_renewals_total", { outcome: "ok" });
      log.info({ nodeId, expiresMs: renewed.certificateExpiresMs }, "certificate renewed");
      onRenewed();
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      this.#failures += 1;
      const { code, message, fields, mend } = error;
      metrics.count("flotilla_agent_certificate_renewals_total", { outcome: code });
      log.warn({ code, reason: message, ...fields, mend }, "the certificate could not be renewed");
    }
  }

  /** Checks that what the hub issued can be used before it takes the place of what works. */
  #accept(
    answer: EnrolmentAnswer,
    own: { readonly privateKey: string; readonly nodeId: string; readonly apiUrl: string },
  ): Credentials {
    const { keys, credentials } = this.#deps;
    const { privateKey, nodeId, apiUrl } = own;
    const { certificate, caCertificate } = answer;
    const isOurs = answer.nodeId === nodeId;
    if (!isOurs || !keys.isUsable({ certificate, caCertificate, privateKey, nodeId }))
      throw new CodedError<EnrolmentErrorCode>(
        "bad-answer",
        "the hub's certificate is not for this node and this key",
        { fields: { nodeId }, mend: "Look at the hub's log; then join the node again." },
      );
    const times = keys.certificateTimes(certificate);
    const accepted: Credentials = {
      nodeId,
      apiUrl,
      privateKey,
      certificate,
      caCertificate,
      shard: answer.shard,
      signingKey: answer.signingKey,
      mqttUrl: answer.mqttUrl,
      certificateNotBeforeMs: times.notBeforeMs,
      certificateExpiresMs: times.notAfterMs,
    };
    credentials.save(accepted);
    return accepted;
  }

  #retryMs(): number {
    const { random } = this.#deps;
    return Math.max(this.#retry.baseMs / 10, fullJitterMs(this.#retry, this.#failures - 1, random));
  }

  async #sleep(ms: number, signal: AbortSignal): Promise<void> {
    const sleeping = new AbortController();
    const onAbort = (): void => sleeping.abort();
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) sleeping.abort();
    this.#sleeping = sleeping;
    await this.#deps.clock.sleep(ms, sleeping.signal).catch(() => undefined);
    this.#sleeping = undefined;
    signal.removeEventListener("abort", onAbort);
  }
}
