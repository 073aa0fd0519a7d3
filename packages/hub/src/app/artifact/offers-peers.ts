import { type NodeId, parseNodeId } from "@flotilla/shared/kernel/ids";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { type ArtifactOffer } from "@flotilla/shared/protocol/down/artifact-offer";
import { OFFER_PEERS_MAX } from "@flotilla/shared/protocol/limits";
import type { NodeLink } from "../link/ports.ts";
import type { ResourceStore } from "../resources/ports.ts";
import type { ReleaseFiles } from "./offers-files.ts";

/** Most nodes of a site that are looked at for one offer. */
const PEERS_SEEN_MAX = 512;

type Peer = NonNullable<ArtifactOffer["peers"]>[number];

interface Deps {
  readonly store: Pick<ResourceStore, "get" | "list" | "desired" | "subscribe">;
  readonly files: ReleaseFiles;
  readonly link: Pick<NodeLink, "isConnected">;
}

/** Nodes of the same site that have a file, or are to have it and serve what they have so far. */
export class SitePeers {
  readonly #deps: Deps;
  #bySite: ReadonlyMap<string, readonly string[]> | undefined;

  constructor(deps: Deps) {
    this.#deps = deps;
    deps.store.subscribe((entries) => {
      const isOther = entries.some(
        ({ key, object, previous }) =>
          key.kind === "EdgeNode" && siteOf(object) !== (previous && siteOf(previous)),
      );
      const isGone = entries.some((e) => e.key.kind === "EdgeNode" && e.type === "DELETED");
      if (isOther || isGone) this.#bySite = undefined;
    });
  }

  /**
   * At most OFFER_PEERS_MAX others of this node's site, those that hold the file first. Every node begins elsewhere in the list, so
   * that they do not all ask the same one. None where the site forbids it.
   */
  of(nodeId: string, target: string): readonly Peer[] {
    const { store } = this.#deps;
    const node = store.get("EdgeNode", "", nodeId);
    if (node === undefined) return [];
    const { site } = node.spec;
    if (store.get("Site", "", site)?.spec.delivery?.peers === false) return [];
    const held = this.#deps.files.of(target).map(({ release: { spec } }) => spec);
    const [holders, others]: [Peer[], Peer[]] = [[], []];
    for (const name of turned(this.#namesOf(site), nodeId).slice(0, PEERS_SEEN_MAX)) {
      const peer = name === nodeId ? undefined : this.#peerOf(name);
      if (peer === undefined) continue;
      const holds = peer.status.held.some((h) =>
        held.some((r) => r.artifact === h.name && r.counter === h.counter),
      );
      if (holds) holders.push(peer.address);
      else if (store.desired(name)?.payload.includes(target) === true) others.push(peer.address);
    }
    return [...holders, ...others].slice(0, OFFER_PEERS_MAX);
  }

  /** A node that serves others and is there now. */
  #peerOf(name: string) {
    const nodeId: NodeId | undefined = parseNodeId(name);
    const status = this.#deps.store.get("EdgeNode", "", name)?.status?.artifacts;
    if (nodeId === undefined || status?.peer === undefined) return undefined;
    if (!this.#deps.link.isConnected(nodeId)) return undefined;
    return { status, address: { node: name, ...status.peer } };
  }

  #namesOf(site: string): readonly string[] {
    this.#bySite ??= new Map(
      [...Map.groupBy(this.#deps.store.list("EdgeNode"), (n) => n.spec.site)].map(
        ([name, nodes]) => [name, nodes.map((n) => n.metadata.name)] as const,
      ),
    );
    return this.#bySite.get(site) ?? [];
  }
}

function siteOf(object: { readonly kind: string; readonly spec?: unknown }): string | undefined {
  return object.kind === "EdgeNode" ? (object as ObjectOf<"EdgeNode">).spec.site : undefined;
}

/** The list begun at a place that follows from the name. */
function turned<T>(list: readonly T[], name: string): readonly T[] {
  if (list.length === 0) return list;
  let sum = 0;
  for (let i = 0; i < name.length; i++) sum = (sum * 31 + name.charCodeAt(i)) % 65_521;
  const at = sum % list.length;
  return [...list.slice(at), ...list.slice(0, at)];
}
