import type { ArtifactPin } from "@flotilla/shared/model/artifact";
import type { Dice } from "../world/seeds.ts";

/** Queues that an Application may name; each is there or not. */
export const QUEUES = ["day", "night"] as const;
/** PriorityClasses, with their values. */
export const CLASSES = { low: 10, high: 100 } as const;
type ClassName = keyof typeof CLASSES;
const CLASS_NAMES: readonly ClassName[] = ["low", "high"];

/** An Application as the operator has it in mind. */
export interface AppDraft {
  readonly replicas: number;
  readonly program: string;
  readonly version: number;
  readonly milliCpu: number;
  readonly isDouble: boolean;
  readonly hasProbes: boolean;
  readonly job:
    | { readonly completions: number; readonly runsMs: number; readonly failureRatio: number }
    | undefined;
  readonly wish: Wish;
  readonly pins: readonly ArtifactPin[];
}

/** What it asks of the scheduler. */
export interface Wish {
  readonly queue: string | undefined;
  readonly priorityClassName: ClassName | undefined;
  /** Below 2: each on its own. */
  readonly minMember: number;
  readonly maxUnavailable: number | undefined;
  readonly isMovable: boolean | undefined;
  readonly gpu:
    | { readonly cards: number }
    | { readonly milli: number; readonly model: string | undefined }
    | undefined;
  /** Its instances must be on different nodes. */
  readonly isApart: boolean;
}

/** Nothing is asked of the scheduler. */
export const NO_WISH: Wish = {
  queue: undefined,
  priorityClassName: undefined,
  minMember: 0,
  maxUnavailable: undefined,
  isMovable: undefined,
  gpu: undefined,
  isApart: false,
};

/** A wish; plain Applications are as many as others. */
export function drawWish(dice: Dice): Wish {
  const isGang = dice.chance(0.35);
  return {
    queue: dice.chance(0.45) ? dice.pick(QUEUES) : undefined,
    priorityClassName: dice.chance(0.3) ? dice.pick(CLASS_NAMES) : undefined,
    minMember: isGang ? dice.whole(2, 3) : 0,
    maxUnavailable: dice.chance(0.2) ? dice.whole(0, 1) : undefined,
    isMovable: dice.chance(0.2) ? dice.chance(0.5) : undefined,
    gpu: dice.chance(0.45) ? drawGpu(dice) : undefined,
    isApart: dice.chance(0.15),
  };
}

function drawGpu(dice: Dice): Wish["gpu"] {
  if (dice.chance(0.4)) return { cards: dice.whole(1, 2) };
  const model = dice.chance(0.2) ? dice.pick(["A100-SXM4-40GB", "L4"]) : undefined;
  return { milli: dice.pick([250, 300, 500, 700]) ?? 250, model };
}

/** Edited in what does not decide whether a gang is whole: its queue, its size and its place stay. */
export function editWish(wish: Wish, dice: Dice): Wish {
  const { maxUnavailable, isMovable, priorityClassName } = drawWish(dice);
  return { ...wish, maxUnavailable, isMovable, priorityClassName };
}

/** A queue: every limit is written, so that an edit leaves nothing of the one before. */
export function drawQueue(dice: Dice): object {
  const guarantee = { cpu: String(dice.whole(0, 4)), "nvidia.com/gpu": String(dice.whole(0, 2)) };
  const cpu = Number(guarantee.cpu) + dice.whole(1, 6);
  const deserved = { cpu: String(cpu), "nvidia.com/gpu": String(dice.whole(2, 3)) };
  const capability = { cpu: String(cpu + dice.whole(0, 8)), "nvidia.com/gpu": "8" };
  return {
    guarantee: { resource: guarantee },
    deserved,
    capability,
    reclaimable: dice.chance(0.8),
  };
}

/** The spec of the Application. */
export function specOf(draft: AppDraft): object {
  const { pins, wish } = draft;
  const env = [{ name: "VERSION", value: String(draft.version) }];
  const requests = { cpu: `${draft.milliCpu}m`, memory: "128Mi", ...gpuRequests(wish) };
  // What artifacts do to a program is seen within their health window.
  const periodSeconds = pins.length > 0 ? 1 : 3;
  const probe = { httpGet: { path: "/", port: 8080 }, periodSeconds, failureThreshold: 2 };
  const main = {
    name: "main",
    command: [draft.program],
    env,
    resources: { requests },
    ...(draft.hasProbes || pins.length > 0 ? { readinessProbe: probe, livenessProbe: probe } : {}),
  };
  const side = { name: "side", command: ["service"] };
  const pod = {
    terminationGracePeriodSeconds: 3,
    containers: draft.isDouble ? [main, side] : [main],
  };
  const web = {
    name: "web",
    type: "Deployment",
    ...wishes(wish),
    // Written always, so that an edit leaves none of those before.
    artifacts: pins,
    template: { spec: { replicas: draft.replicas, template: { spec: pod } } },
  };
  return { components: draft.job === undefined ? [web] : [web, jobOf(draft.job, wish)] };
}

function gpuRequests({ gpu }: Wish): object {
  if (gpu === undefined) return {};
  return "cards" in gpu
    ? { "nvidia.com/gpu": String(gpu.cards) }
    : { "edge.kurator.dev/gpu-milli": String(gpu.milli) };
}

function wishes(wish: Wish): object {
  const { queue, priorityClassName, minMember, maxUnavailable, isMovable, gpu, isApart } = wish;
  const volcano = {
    ...(queue === undefined ? {} : { queue }),
    ...(priorityClassName === undefined ? {} : { priorityClassName }),
    ...(minMember < 2 ? {} : { minMember }),
  };
  const scheduling = {
    ...(isMovable === undefined ? {} : { movable: isMovable }),
    ...(maxUnavailable === undefined ? {} : { disruptionBudget: { maxUnavailable } }),
  };
  const model = gpu !== undefined && "model" in gpu ? gpu.model : undefined;
  const apart = { required: [{ component: "web", topologyKey: "node" }] };
  const placement = {
    ...(model === undefined ? {} : { gpu: { models: [model] } }),
    ...(isApart ? { antiAffinity: apart } : {}),
  };
  const parts = Object.entries({ volcano, scheduling, placement });
  return Object.fromEntries(parts.filter(([, part]) => Object.keys(part).length > 0));
}

/** A Job beside it, in the same queue: a gang when the Application is one and the Job is large enough. */
function jobOf(job: NonNullable<AppDraft["job"]>, wish: Wish): object {
  const command = ["job", String(job.runsMs), String(job.failureRatio)];
  const requests = { cpu: "300m", memory: "128Mi", ...gpuRequests(wish) };
  const pod = {
    restartPolicy: "OnFailure",
    containers: [{ name: "main", command, resources: { requests } }],
  };
  const { completions } = job;
  const isGang = wish.minMember > 1 && completions >= wish.minMember;
  const template = {
    spec: {
      completions,
      parallelism: isGang ? completions : 1,
      backoffLimit: 2,
      template: { spec: pod },
    },
  };
  const own = { ...wish, isApart: false, minMember: isGang ? wish.minMember : 0 };
  return { name: "batch", type: "Job", ...wishes(own), template };
}
