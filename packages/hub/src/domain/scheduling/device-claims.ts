/** What a node says it has. */
export interface DeviceClaim {
  readonly node: string;
  /** When the node was enrolled, ISO 8601. */
  readonly createdAt: string;
  readonly uuids: readonly string[];
}

/**
 * Who has a device that several nodes report: a copied disk image, a card that was moved, or a lie. The node that was
 * enrolled first has it; but where another one already has it in use, it is given to nobody anew. So a device is never given
 * away twice, and no later node can take another's.
 */
export class DeviceClaims {
  readonly #claims = new Map<string, DeviceClaim>();
  readonly #claimants = new Map<string, Set<string>>();

  /** Replaces what the node says. Answers the other nodes for which that may change something. */
  put(claim: DeviceClaim): readonly string[] {
    const before = this.drop(claim.node);
    this.#claims.set(claim.node, claim);
    for (const uuid of claim.uuids) {
      const claimants = this.#claimants.get(uuid);
      if (claimants === undefined) this.#claimants.set(uuid, new Set([claim.node]));
      else claimants.add(claim.node);
    }
    return [...new Set([...before, ...this.rivalsOf(claim.node)])];
  }

  /** The node says nothing any more. Answers the other nodes for which that may change something. */
  drop(node: string): readonly string[] {
    const rivals = this.rivalsOf(node);
    for (const uuid of this.#claims.get(node)?.uuids ?? []) {
      const claimants = this.#claimants.get(uuid);
      claimants?.delete(node);
      if (claimants?.size === 0) this.#claimants.delete(uuid);
    }
    this.#claims.delete(node);
    return rivals;
  }

  /** Other nodes that report a device of this one. */
  rivalsOf(node: string): readonly string[] {
    const rivals = new Set<string>();
    for (const uuid of this.#claims.get(node)?.uuids ?? [])
      for (const other of this.#claimants.get(uuid) ?? []) if (other !== node) rivals.add(other);
    return [...rivals];
  }

  /** Devices that this node reports and may not be given anew, each with the node that stands in the way. */
  withheldFrom(
    node: string,
    isInUse: (node: string, uuid: string) => boolean,
  ): ReadonlyMap<string, string> {
    const withheld = new Map<string, string>();
    for (const uuid of this.#claims.get(node)?.uuids ?? [])
      for (const other of this.#claimants.get(uuid) ?? [])
        if (other !== node && (this.#isBefore(other, node) || isInUse(other, uuid)))
          withheld.set(uuid, other);
    return withheld;
  }

  #isBefore(a: string, b: string): boolean {
    const [one, other] = [
      this.#claims.get(a)?.createdAt ?? "",
      this.#claims.get(b)?.createdAt ?? "",
    ];
    return one === other ? a < b : one < other;
  }
}
