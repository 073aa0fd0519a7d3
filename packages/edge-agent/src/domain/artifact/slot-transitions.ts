import { assert, must } from "@flotilla/shared/kernel/assert";
import type { DesiredInstance } from "@flotilla/shared/model/desired-state";
import { healthWindowMs } from "./artifact-sets.ts";
import { SLOT_LIFECYCLE, type SlotReaction } from "./slot-lifecycle.ts";
import {
  currentContents,
  FAILED_SETS_MAX,
  type Failure,
  goodSlot,
  lastGood,
  otherSlot,
  type Reload,
  type SlotContents,
  type SlotName,
  type SlotPhase,
  type SlotRecord,
  type Trial,
} from "./slot-record.ts";

/** The record after each event. Pure: whoever acts writes what these return, before the deed where the event is an intent. */

/** How long an instance may take to become ready with a new set, beside the health window. */
export const ACTIVATION_READY_MS_MAX = 300_000;

/** Time of an event. */
export interface SlotNow {
  readonly bootMs: number;
  readonly wallMs: number;
  readonly bootId: string;
}

export type SlotEvent =
  | { readonly kind: "begin" }
  | { readonly kind: "made"; readonly contents: Omit<SlotContents, "isGood"> }
  | { readonly kind: "drop" }
  | { readonly kind: "intend" }
  | {
      readonly kind: "switched";
      /** What the slot is run with. */
      readonly desired: DesiredInstance;
      readonly failuresBefore: number;
      /** What a workload that runs on has to be told. */
      readonly reloads: readonly Reload[];
      readonly now: SlotNow;
    }
  | { readonly kind: "unswitched" }
  | { readonly kind: "proved"; readonly desired: DesiredInstance }
  | { readonly kind: "failed"; readonly failure: Failure; readonly now: SlotNow }
  | { readonly kind: "withdrawn" }
  | { readonly kind: "lost"; readonly slot: SlotName }
  | { readonly kind: "resumed"; readonly now: SlotNow }
  | { readonly kind: "told" }
  | { readonly kind: "respecified"; readonly desired: DesiredInstance }
  | { readonly kind: "retry" };

/** The record of an instance that nothing is known of yet. */
export function emptySlotRecord(id: string): SlotRecord {
  return { id, phase: "absent", reloads: [], failed: [] };
}

/** The slot in which another set can be made: neither current nor what would be gone back to. Undefined while a trial runs. */
export function freeSlot(record: SlotRecord): SlotName | undefined {
  const { current, phase, trial } = record;
  if (phase === "switching" || phase === "rolling-back") return undefined;
  if (current === undefined) return record.next ?? "a";
  if (phase === "trial" && trial?.failing === undefined) return undefined;
  return otherSlot(current);
}

/** The record after the event; the same object when nothing follows. */
export function afterSlotEvent(record: SlotRecord, event: SlotEvent): SlotRecord {
  const reaction = SLOT_LIFECYCLE[record.phase][event.kind];
  assert(
    reaction !== "impossible",
    `slots of ${record.id}: ${event.kind} cannot be while ${record.phase}`,
  );
  return REACTIONS[reaction](record, event);
}

type React = (record: SlotRecord, event: SlotEvent) => SlotRecord;

const REACTIONS: Readonly<Record<Exclude<SlotReaction, "impossible">, React>> = {
  nothing: (record) => record,
  prepare: (record) => {
    const next = must(freeSlot(record), `slots of ${record.id}: none is free`);
    return changed(record, { phase: "preparing", next, [next]: undefined });
  },
  keep: (record, event) => {
    if (event.kind !== "made" || record.next === undefined) return record;
    const contents: SlotContents = { ...event.contents, isGood: false };
    return changed(record, { phase: "prepared", [record.next]: contents });
  },
  rest: (record) => changed(record, { phase: restingPhase(record), next: undefined }),
  intend: (record) => changed(record, { phase: "switching" }),
  try: tried,
  untry: (record) => changed(record, { phase: "prepared" }),
  commit: (record, event) => {
    const contents = currentContents(record);
    // Beside a set that is being prepared only a set on trial can be proved.
    if (event.kind !== "proved" || contents === undefined || record.trial === undefined)
      return record;
    const good: SlotContents = { ...contents, desired: event.desired, isGood: true };
    return changed(record, {
      ...(record.phase === "trial" ? { phase: "committed" } : {}),
      [must(record.current, "it has contents")]: good,
      trial: undefined,
      damaged: undefined,
      failed: record.failed.filter((failure) => failure.set !== good.set),
    });
  },
  fail: failed,
  abandon: (record) => {
    const contents = currentContents(record);
    const isWay = contents !== undefined && canGoBack(record, contents);
    if (!isWay || goodSlot(record) === undefined) return record;
    return changed(record, { phase: "rolling-back", trial: undefined, reloads: [] });
  },
  return: returned,
  lose: lost,
  resume: (record, event) => {
    const contents = currentContents(record);
    if (event.kind !== "resumed" || record.trial === undefined || contents === undefined)
      return record;
    const boots = record.trial.boots + (record.trial.bootId === event.now.bootId ? 0 : 1);
    const trial = { ...record.trial, ...deadline(contents.desired, event.now), boots };
    return changed(record, { trial });
  },
  tell: (record) => (record.reloads.length === 0 ? record : changed(record, { reloads: [] })),
  respecify: (record, event) => {
    const contents = currentContents(record);
    if (event.kind !== "respecified" || contents?.isGood !== true) return record;
    const slot = must(record.current, "it has contents");
    return changed(record, { [slot]: { ...contents, desired: event.desired } });
  },
  forgive: (record) => (record.failed.length === 0 ? record : changed(record, { failed: [] })),
};

function tried(record: SlotRecord, event: SlotEvent): SlotRecord {
  const { next } = record;
  if (event.kind !== "switched" || next === undefined) return record;
  const contents = must(record[next], "what is switched to is whole");
  return changed(record, {
    phase: "trial",
    current: next,
    next: undefined,
    [next]: { ...contents, desired: event.desired, isGood: false },
    trial: {
      ...deadline(event.desired, event.now),
      boots: 0,
      failuresBefore: event.failuresBefore,
    },
    reloads: event.reloads,
  });
}

function failed(record: SlotRecord, event: SlotEvent): SlotRecord {
  const contents = currentContents(record);
  if (event.kind !== "failed" || contents === undefined || record.trial === undefined)
    return record;
  const { failure, now } = event;
  if (record.phase !== "trial" || !canGoBack(record, contents))
    return changed(record, { trial: { ...record.trial, failing: failure } });
  const releases = (contents.desired.artifacts ?? []).map(({ name, version }) => ({
    name,
    version,
  }));
  const entry = { set: contents.set, releases, ...failure, failedWallMs: now.wallMs };
  const others = record.failed.filter((f) => f.set !== contents.set);
  const isWhole = goodSlot(record) !== undefined;
  return changed(record, {
    phase: isWhole ? "rolling-back" : "absent",
    ...(isWhole ? {} : { [must(record.current, "it has contents")]: undefined }),
    trial: undefined,
    reloads: [],
    failed: [entry, ...others].slice(0, FAILED_SETS_MAX),
  });
}

/** A Job's earlier work is done and is not done again: what fails of it is tried as its own limits say. */
function canGoBack(record: SlotRecord, current: SlotContents): boolean {
  const good = lastGood(record);
  return good !== undefined && good.set !== current.set && good.desired.kind !== "Job";
}

function returned(record: SlotRecord, event: SlotEvent): SlotRecord {
  const good = goodSlot(record);
  if (event.kind !== "switched" || good === undefined) return record;
  return changed(record, {
    phase: "committed",
    current: good,
    [otherSlot(good)]: undefined,
    reloads: event.reloads,
  });
}

function lost(record: SlotRecord, event: SlotEvent): SlotRecord {
  const contents = event.kind === "lost" ? record[event.slot] : undefined;
  if (event.kind !== "lost" || contents === undefined) return record;
  const { slot } = event;
  const { current, next, phase } = record;
  const rest = changed(record, {
    [slot]: undefined,
    ...(slot === current ? { trial: undefined, reloads: [] } : {}),
    ...(contents.isGood ? { damaged: contents } : {}),
  });
  if (slot === next) return changed(rest, { phase: restingPhase(rest), next: undefined });
  if (phase === "preparing" || phase === "prepared" || phase === "switching") return rest;
  if (slot === current)
    return changed(rest, { phase: goodSlot(rest) === undefined ? "absent" : "rolling-back" });
  // What was to be gone back to: what failed is no way out, and what was good is made anew.
  return phase === "rolling-back" && current !== undefined
    ? changed(rest, { phase: "absent", [current]: undefined })
    : rest;
}

function restingPhase(record: SlotRecord): SlotPhase {
  const contents = currentContents(record);
  if (contents === undefined) return "absent";
  return contents.isGood ? "committed" : "trial";
}

function deadline(
  desired: DesiredInstance,
  now: SlotNow,
): Pick<Trial, "deadlineBootMs" | "bootId"> {
  return {
    deadlineBootMs: now.bootMs + healthWindowMs(desired) + ACTIVATION_READY_MS_MAX,
    bootId: now.bootId,
  };
}

type Change = { readonly [K in keyof SlotRecord]?: SlotRecord[K] | undefined };

/** The record with these members; what is given as undefined is left out. */
function changed(record: SlotRecord, change: Change): SlotRecord {
  const { a, b, current, next, trial, damaged, ...always } = { ...record, ...change };
  return {
    id: record.id,
    phase: always.phase ?? record.phase,
    reloads: always.reloads ?? record.reloads,
    failed: always.failed ?? record.failed,
    ...(a === undefined ? {} : { a }),
    ...(b === undefined ? {} : { b }),
    ...(current === undefined ? {} : { current }),
    ...(next === undefined ? {} : { next }),
    ...(trial === undefined ? {} : { trial }),
    ...(damaged === undefined ? {} : { damaged }),
  };
}
