import { AssertionError } from "@flotilla/shared/kernel/assert";
import type { Log } from "@flotilla/shared/kernel/service";
import { isIdleSlot, type SlotName, type SlotRecord } from "../../domain/artifact/slot-record.ts";
import type { HalfDisk } from "./ports.ts";

const SLOTS: readonly SlotName[] = ["a", "b"];

interface Deps {
  readonly disk: HalfDisk;
  readonly log: Log;
}

/**
 * Removes halves of slots that nobody goes on with: what was dropped, and what failed. Until another set is made there they only take
 * room, and the contents that they are links to cannot give it back. What cannot be removed is said.
 */
export function discardIdleHalves(slots: readonly SlotRecord[], deps: Deps): void {
  for (const record of slots)
    for (const slot of SLOTS) if (isIdleSlot(record, slot)) discard(record.id, slot, deps);
}

function discard(instance: string, slot: SlotName, { disk, log }: Deps): void {
  try {
    disk.discard(instance, slot);
  } catch (error) {
    if (error instanceof AssertionError) throw error;
    log.warn({ err: error, instance, slot }, "files of a slot stay behind");
  }
}
