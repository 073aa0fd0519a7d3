/** What carrying bytes to this node needs. The contracts with the rest of the agent are in app/artifact/ports.ts. */
import type { Transfer } from "../../domain/delivery/transfer.ts";
import type { CalendarRule } from "../../domain/delivery/window.ts";
import type { ByteSource, ByteSourceErrorCode } from "../artifact/ports.ts";

export type { ByteSourceErrorCode, CalendarRule, Transfer };

/** A source of which ranges are asked. */
export interface RangeSource extends ByteSource {
  /** Most bytes of one `read`. */
  readonly rangeBytesMax: number;
  /** Reads that may be under way at a time. */
  readonly rangesAtATime: number;
}

/** Another node of the site. */
export interface PeerAddress {
  readonly node: string;
  readonly host: string;
  readonly port: number;
}

export interface PeerProgress {
  /** From the payload's begin, checked: what it gives to others. */
  readonly availableBytes: number;
  /** What has come to it, also of a block that is not whole. */
  readonly receivedBytes: number;
}

export interface PeerSource extends RangeSource {
  readonly node: string;
  /** How far the peer is with a payload. "absent": it has none of it, and does not fetch it. */
  progress(path: string, signal: AbortSignal): Promise<PeerProgress | "absent">;
  /**
   * As `read`, but a peer that is fetching it may take so long until it has these bytes; `source-not-yet`, with the fields of
   * PeerProgress, when it does not have them then.
   */
  readWhenThere(request: Parameters<ByteSource["read"]>[0], waitMs: number): Promise<Uint8Array>;
}

/** Makes sources; one for the same place each time, so that connections are used again. */
export interface SourceMaker {
  /** The hub's artifact server at `https://host:port`. */
  hub(server: string): RangeSource;
  peer(address: PeerAddress): PeerSource;
}

/**
 * Payloads and manifests that are kept for the nodes of the site, with a quota: what was used least recently goes first. A cache:
 * what is lost of it is fetched again.
 */
export interface PayloadShelf {
  /** Undefined when it is not kept, or not what its name says. */
  manifest(sha256: string): Promise<Uint8Array | undefined>;
  /** Durable when it resolves. */
  keepManifest(sha256: string, bytes: Uint8Array): Promise<void>;
  /**
   * Begins to keep a payload, or goes on with one of which a part is there. `check` reads what is there and says how many bytes from
   * the begin are what was signed; the rest goes. Undefined when the quota has no room for it.
   */
  open(
    payload: { readonly manifestSha256: string; readonly lengthBytes: number },
    check: PayloadCheck,
  ): Promise<KeptPayload | undefined>;
  /** Removes payloads that no transfer uses, the least recently used first, until so many bytes are gone; returns how many are. */
  release(bytes: number): Promise<number>;
}

export type PayloadCheck = (availableBytes: number, read: KeptPayload["read"]) => Promise<number>;

/** A payload that grows block by block. Others may read what is there. */
export interface KeptPayload {
  readonly availableBytes: number;
  read(offset: number, length: number): Promise<Uint8Array>;
  /** Tells others that so many bytes have come, of which the last are not checked yet. */
  received(bytes: number): void;
  /** Durable when it resolves, and then there for others. Rejects with `disk-full`. */
  append(bytes: Uint8Array): Promise<void>;
  /** The transfer is over, for now or for good. */
  close(): Promise<void>;
}

/** What the server for other nodes of the site reads. */
export interface ServedPayloads extends Pick<PayloadShelf, "manifest"> {
  /** Undefined: not here, and not being fetched. */
  find(manifestSha256: string): (PeerProgress & { readonly isGrowing: boolean }) | undefined;
  /** Bytes below `availableBytes`. */
  read(manifestSha256: string, offset: number, length: number): Promise<Uint8Array>;
  /** Resolves when so many bytes are there, the payload grows no more, the time is over or the signal aborted. Never rejects. */
  grown(
    manifestSha256: string,
    until: { readonly bytes: number; readonly waitMs: number; readonly signal: AbortSignal },
  ): Promise<void>;
}

/** How much of this node's link others may have. */
export interface PeerServing {
  /** Resolves when so many bytes may be sent. Rejects with the signal's reason. */
  share(bytes: number, signal: AbortSignal): Promise<void>;
  served(bytes: number): void;
}

/** Transfers of files, over restarts. Each call is one durable transaction unless it runs inside the store's. */
export interface TransferTable {
  get(target: string): Transfer | undefined;
  /** Those that are not complete. */
  all(): readonly Transfer[];
  put(transfer: Transfer): void;
  remove(target: string): void;
}

/** Checks the hub's signature over a manifest. */
export interface ManifestVerifier {
  /** True when `signature` (base64) is the hub's over MANIFEST_SIGNATURE_CONTEXT and the digest. `keyId` must be the known key's. */
  verifyManifest(manifest: {
    readonly sha256: string;
    readonly signature: string;
    readonly keyId: string;
  }): boolean;
}

/** Reads calendar rules. */
export interface Calendar {
  /** Undefined when `start` is no rule of five fields, or the zone is unknown. Without a zone: the device's. */
  rule(window: { readonly start: string; readonly timeZone?: string }): CalendarRule | undefined;
}

/** Why a file could not be had. What came of it stays for the next try. */
export type DeliveryErrorCode =
  /** The hub has no such file. */
  | "artifact-unknown"
  /** The hub makes it and does not come to an end. */
  | "artifact-pending"
  /** What was offered is not signed by the hub, is not what it says, or does not make the file. */
  | "artifact-offer-refused"
  /** Every offer failed to give the file that was signed for. */
  | "artifact-apply-failed"
  /** There is no room for it without the reserve. */
  | "disk-reserve";
