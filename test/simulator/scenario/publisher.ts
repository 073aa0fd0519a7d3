import type { ArtifactPin } from "@flotilla/shared/model/artifact";
import { releaseName } from "@flotilla/shared/model/resources/artifact";
import type { Depot, SimRelease } from "../artifact/depot.ts";
import { type EventLoop, WORLD } from "../world/event-loop.ts";
import type { Dice } from "../world/seeds.ts";

/** Artifacts that are there when the world begins, each with a release. */
export const ARTIFACTS = ["lens", "maps"] as const;
/** Mean time until a release that is not stored, or not signed, at once is. */
const STORED_MS = 10_000;
const SIGNED_MS = 60_000;
const RELOADS = ["restart", "restart", "signal", "http", "none"] as const;
/** Longer than failed probes take to be told, also after a sleep of the machine, of which five seconds count. */
const HEALTH_WINDOWS = ["8s", "12s"] as const;

/** Makes an object through the hub's API; true when the hub said that it is there. */
export type MakeRelease = (name: string, spec: object) => Promise<boolean>;

/** What the hub is told of a release. */
export function releaseSpec({ artifact, counter, files, version }: SimRelease) {
  return { artifact, version, counter, files: [...files] };
}

/** A person who releases models and says which versions Applications are to have. */
export class Publisher {
  readonly #depot: Depot;
  readonly #dice: Dice;
  readonly #loop: EventLoop;
  readonly #known: SimRelease[];

  constructor(deps: {
    readonly depot: Depot;
    readonly dice: Dice;
    readonly loop: EventLoop;
    /** Releases that are there. */
    readonly known: SimRelease[];
  }) {
    this.#depot = deps.depot;
    this.#dice = deps.dice;
    this.#loop = deps.loop;
    this.#known = deps.known;
  }

  /** A new release. */
  async release(make: MakeRelease): Promise<void> {
    const artifact = this.#dice.pick(ARTIFACTS) ?? ARTIFACTS[0];
    const release = this.#depot.make(artifact, this.#dice);
    const { version } = release;
    const prestage = this.#dice.chance(0.3) ? { prestage: {} } : {};
    const spec = { ...releaseSpec(release), ...prestage };
    const storedMs = this.#dice.chance(0.5) ? this.#dice.exponential(STORED_MS) : 0;
    const signedMs = this.#dice.chance(0.5) ? this.#dice.exponential(SIGNED_MS) : 0;
    if (!(await make(releaseName(artifact, version), spec))) return;
    this.#known.push(release);
    this.#loop.trace.say(`publisher: ${artifact} ${version} is ${release.flaw ?? "fine"}`);
    this.#loop.schedule(storedMs, WORLD, "publisher", () => this.#depot.store(release));
    this.#loop.schedule(signedMs, WORLD, "publisher", () => this.#depot.sign(release));
  }

  /** What an Application is to have: mostly the newest, none while there are none. */
  pins(): readonly ArtifactPin[] {
    const count = this.#dice.chance(0.3) ? 2 : 1;
    return ARTIFACTS.slice(0, count).flatMap((name) => {
      const known = this.#known.filter((r) => r.artifact === name);
      const release = this.#dice.chance(0.7) ? known.at(-1) : this.#dice.pick(known);
      if (release === undefined) return [];
      const { version } = release;
      const reload = this.#dice.pick(RELOADS) ?? "restart";
      const healthWindow = this.#dice.pick(HEALTH_WINDOWS) ?? "10s";
      const http = { port: 8080, path: `/reload/${releaseName(name, version)}` };
      return [{ name, version, reload, healthWindow, ...(reload === "http" ? { http } : {}) }];
    });
  }
}
