import type { ServedKind, WriteOptions } from "@flotilla/hub/app/resources/ports";
import type { Auditor } from "../check/auditor.ts";
import type { HubHost } from "../hub/hub.ts";
import type { HubState } from "../hub/hub-state.ts";
import { keyText } from "../hub/hub-state.ts";
import type { Dice } from "../world/seeds.ts";
import type { Trace } from "../world/trace.ts";
import {
  type AppDraft,
  CLASSES,
  drawQueue,
  drawWish,
  editWish,
  NO_WISH,
  QUEUES,
  specOf,
} from "./draft.ts";
import type { Publisher } from "./publisher.ts";

/** Few names, so that a deleted Application comes again under its name. */
const NAMES = ["amber", "beryl", "coral", "dune", "elm"] as const;
const OPTIONS: WriteOptions = {
  user: { name: "operator", groups: [] },
  fieldValidation: "Strict",
};
const ABSENT = "absent";
/** Share of the deeds that are about queues and priorities. */
const QUEUE_SHARE = 0.15;

/** Share of the deeds of the publisher that make a release; the others pin some. */
const RELEASE_SHARE = 0.35;
/** Share of the deeds without queues, priorities and nodes where there are releases. */
const QUIET_SHARE = 0.85;

type Kind = "Application" | "EdgeNode" | "Queue" | "PriorityClass" | "Release";

/** What an operator may find under a name: the last write that was acknowledged, or one whose answer never came. */
interface Known {
  certain: string;
  possible: string[];
  isBusy: boolean;
}

/** A person who edits, scales, deletes and cordons, through the hub's real resource API, and remembers what was promised. */
export class Operator {
  readonly #hub: HubHost;
  readonly #dice: Dice;
  readonly #trace: Trace;
  readonly #auditor: Auditor;
  readonly #nodes: readonly string[];
  readonly #publisher: Publisher | undefined;
  readonly #known = new Map<string, Known>();
  readonly #specs = new Map<string, AppDraft>();
  #version = 0;

  constructor(deps: {
    readonly hub: HubHost;
    readonly dice: Dice;
    readonly trace: Trace;
    readonly auditor: Auditor;
    readonly nodes: readonly string[];
    /** Absent: nobody in this world has artifacts. */
    readonly publisher: Publisher | undefined;
  }) {
    this.#hub = deps.hub;
    this.#dice = deps.dice;
    this.#trace = deps.trace;
    this.#auditor = deps.auditor;
    this.#nodes = deps.nodes;
    this.#publisher = deps.publisher;
  }

  /** One deed, drawn. */
  act(): void {
    const name = this.#dice.pick(NAMES) ?? NAMES[0];
    const draft = this.#specs.get(name);
    const draw = this.#isQuiet() ? this.#dice.between(0.2, 1) : this.#dice.between(0, 1);
    if (!this.#isQuiet() && this.#dice.chance(QUEUE_SHARE)) this.#editQueues();
    else if (draw < 0.1) this.#editNode(this.#dice.chance(0.5) ? "cordon" : "drain");
    else if (draw < 0.2) this.#editNode("open");
    else if (draft === undefined) this.#create(name);
    else if (draw < 0.32) this.#delete(name);
    else if (draw < 0.6) this.#put(name, { ...draft, replicas: this.#dice.whole(0, 4) });
    else if (draw < 0.64) this.#put(name, { ...draft, wish: editWish(draft.wish, this.#dice) });
    else if (draw < 0.7) this.#put(name, { ...draft, program: "missing" });
    else this.#put(name, { ...draft, program: this.#program(), version: ++this.#version });
  }

  /** Applications to begin with. */
  begin(): void {
    for (const name of NAMES.slice(0, 2)) this.#create(name);
  }

  /** Where artifacts are what is looked at, most deeds and Applications have nothing to do with scheduling. */
  #isQuiet(): boolean {
    return this.#publisher !== undefined && this.#dice.chance(QUIET_SHARE);
  }

  /** A new release, or an Application that gets other ones; `dice` are the publisher's. */
  publish(dice: Dice): void {
    const name = dice.pick([...this.#specs.keys()]);
    const draft = name === undefined ? undefined : this.#specs.get(name);
    if (name !== undefined && draft !== undefined && !dice.chance(RELEASE_SHARE)) {
      this.#put(name, { ...draft, pins: this.#publisher?.pins() ?? [] });
      return;
    }
    const head = { apiVersion: "artifacts.kurator.dev/v1alpha1", kind: "Release" };
    this.#publisher
      ?.release((release, spec) =>
        this.#do("Release", release, spec, (api) =>
          api.create("Release", "", { ...head, metadata: { name: release }, spec }, OPTIONS),
        ),
      )
      .catch(() => undefined);
  }

  /** Everything that a person can have broken is put right. */
  mend(): void {
    for (const node of this.#nodes) this.#node(node, { unschedulable: false, drain: false });
    for (const [name, draft] of this.#specs)
      this.#put(name, draft.program === "missing" ? { ...draft, program: "service" } : draft);
  }

  /** True when no answer is outstanding. */
  get isIdle(): boolean {
    return [...this.#known.values()].every((k) => !k.isBusy);
  }

  /** The hub died: what was asked and not answered may or may not have been done. */
  hubDied(): void {
    for (const known of this.#known.values()) known.isBusy = false;
  }

  /** Invariant 16: what was acknowledged is there. */
  look(state: HubState): void {
    for (const [key, known] of this.#known) {
      const object = state.objects.get(key);
      const isGone = object === undefined || object.metadata.deletionTimestamp !== undefined;
      const found = isGone ? ABSENT : valueOf(object);
      if (found !== known.certain && !known.possible.includes(found))
        this.#auditor.broken(
          "invariant 16",
          `${key} is ${found}; the operator was promised ${known.certain}`,
        );
    }
  }

  #program(): string {
    return this.#dice.chance(0.2) ? "stubborn" : "service";
  }

  #create(name: string): void {
    const draft: AppDraft = {
      replicas: this.#dice.whole(1, 3),
      program: this.#program(),
      version: ++this.#version,
      milliCpu: this.#dice.whole(2, 15) * 100,
      isDouble: this.#dice.chance(0.25),
      hasProbes: this.#dice.chance(0.5),
      job: this.#dice.chance(0.4)
        ? {
            completions: this.#dice.whole(1, 3),
            runsMs: this.#dice.whole(500, 20_000),
            failureRatio: this.#dice.chance(0.5) ? 0.3 : 0,
          }
        : undefined,
      wish: this.#isQuiet() ? NO_WISH : drawWish(this.#dice),
      pins: this.#publisher?.pins() ?? [],
    };
    const spec = specOf(draft);
    const body = {
      apiVersion: "apps.kurator.dev/v1alpha1",
      kind: "Application",
      metadata: { name, namespace: "default" },
      spec,
    };
    this.#do("Application", name, spec, (api) =>
      api.create("Application", "default", body, OPTIONS),
    ).then(
      (done) => done && void this.#specs.set(name, draft),
      () => undefined,
    );
  }

  #put(name: string, draft: AppDraft): void {
    const spec = specOf(draft);
    const target = { kind: "Application", namespace: "default", name } satisfies Target;
    this.#do("Application", name, spec, (api) => api.mergePatch(target, { spec }, OPTIONS)).then(
      (done) => done && void this.#specs.set(name, draft),
      () => undefined,
    );
  }

  #delete(name: string): void {
    this.#do("Application", name, undefined, (api) =>
      api.remove("Application", "default", name, { user: OPTIONS.user }),
    ).then(
      (done) => done && void this.#specs.delete(name),
      () => undefined,
    );
  }

  /** Makes, edits or deletes a queue or a PriorityClass. */
  #editQueues(): void {
    const running = this.#hub.running;
    if (running === undefined) return;
    if (this.#dice.chance(0.25)) {
      const name = this.#dice.chance(0.5) ? "low" : "high";
      this.#swap("PriorityClass", name, { value: CLASSES[name] });
      return;
    }
    const name = this.#dice.pick(QUEUES) ?? QUEUES[0];
    const spec = drawQueue(this.#dice);
    const isThere = running.store.get("Queue", "", name) !== undefined;
    if (!isThere || this.#dice.chance(0.2)) {
      this.#swap("Queue", name, { spec });
      return;
    }
    const target = { kind: "Queue", namespace: "", name } satisfies Target;
    this.#do("Queue", name, spec, (api) => api.mergePatch(target, { spec }, OPTIONS)).catch(
      () => undefined,
    );
  }

  /** Deletes what is there, makes what is not. */
  #swap(kind: "Queue" | "PriorityClass", name: string, body: Wanted): void {
    const isThere = this.#hub.running?.store.get(kind, "", name) !== undefined;
    const apiVersion =
      kind === "Queue" ? "scheduling.kurator.dev/v1alpha1" : "scheduling.k8s.io/v1";
    const object = { apiVersion, kind, metadata: { name }, ...body };
    const asked = kind === "Queue" ? body.spec : { value: body.value };
    this.#do(kind, name, isThere ? undefined : asked, (api) =>
      isThere
        ? api.remove(kind, "", name, { user: OPTIONS.user })
        : api.create(kind, "", object, OPTIONS),
    ).catch(() => undefined);
  }

  #editNode(what: "cordon" | "drain" | "open"): void {
    const name = this.#dice.pick(this.#nodes);
    if (name === undefined) return;
    this.#node(name, { unschedulable: what === "cordon", drain: what === "drain" });
  }

  #node(name: string, change: { readonly unschedulable: boolean; readonly drain: boolean }): void {
    const current = this.#hub.running?.store.get("EdgeNode", "", name);
    if (current === undefined) return;
    const spec = { ...current.spec, ...change };
    const target = { kind: "EdgeNode", namespace: "", name } satisfies Target;
    this.#do("EdgeNode", name, spec, (api) => api.mergePatch(target, { spec }, OPTIONS)).catch(
      () => undefined,
    );
  }

  /** True when the hub said that it is done. */
  async #do(
    kind: Kind,
    name: string,
    spec: unknown,
    deed: (api: NonNullable<HubHost["running"]>["api"]) => Promise<unknown>,
  ): Promise<boolean> {
    const { running } = this.#hub;
    if (running === undefined) return false;
    const known = this.#knownOf(kind, name, running.store);
    if (known.isBusy) return false;
    const asked = spec === undefined ? ABSENT : sortedJson(spec);
    known.isBusy = true;
    known.possible.push(asked);
    this.#trace.say(
      `operator: ${kind} ${name} ${asked === ABSENT ? "deleted" : asked.slice(0, 150)}`,
    );
    try {
      await deed(running.api);
      known.certain = asked;
      known.possible = [];
      known.isBusy = false;
      this.#trace.say(`operator: ${kind} ${name} acknowledged`);
      return true;
    } catch (error) {
      known.isBusy = false;
      const last = known.possible.lastIndexOf(asked);
      known.possible.splice(last, 1);
      this.#trace.say(`operator: ${kind} ${name} refused: ${String(error).slice(0, 200)}`);
      return false;
    }
  }

  #knownOf(kind: Kind, name: string, store: NonNullable<HubHost["running"]>["store"]): Known {
    const namespace = kind === "Application" ? "default" : "";
    const key = keyText({ kind, namespace, name });
    const found = this.#known.get(key);
    if (found !== undefined) return found;
    const object = store.get(kind, namespace, name);
    const known: Known = {
      certain: object === undefined ? ABSENT : valueOf(object),
      possible: [],
      isBusy: false,
    };
    this.#known.set(key, known);
    return known;
  }
}

interface Target {
  readonly kind: ServedKind;
  readonly namespace: string;
  readonly name: string;
}

/** Body of an object without its metadata: a PriorityClass has a value, all others a spec. */
interface Wanted {
  readonly spec?: object;
  readonly value?: number;
}

function valueOf(object: object): string {
  if ("spec" in object) return sortedJson(object.spec);
  return sortedJson("value" in object ? { value: object.value } : {});
}

function sortedJson(value: unknown): string {
  return JSON.stringify(value, (_key, member: unknown) =>
    typeof member === "object" && member !== null && !Array.isArray(member)
      ? Object.fromEntries(Object.entries(member).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : member,
  );
}
