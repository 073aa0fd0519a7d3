import type { DeviceFacts, GpuRequest } from "../facts.ts";
import { alikeDevices } from "../gpu/choose-devices.ts";

/** Numbers for devices that no request can tell apart: odd ones are partitions of cards (MIG devices). */
export class DeviceClasses {
  readonly #byKey = new Map<string, number>();
  readonly #list: (DeviceFacts | undefined)[] = [];
  /** Grows with every class. */
  changes = 0;

  of(device: DeviceFacts): number {
    const key = JSON.stringify([device.model, device.memoryBytes, device.migProfile ?? ""]);
    const known = this.#byKey.get(key);
    if (known !== undefined) return known;
    const parity = device.migProfile === undefined ? 0 : 1;
    const number = this.#list.length + parity;
    this.#list.push(undefined, undefined);
    this.#list[number] = device;
    this.#byKey.set(key, number);
    this.changes++;
    return number;
  }

  /** 1 for each class that the request can use. */
  suiting(gpu: GpuRequest): Uint8Array {
    return Uint8Array.from(this.#list, (device) =>
      device !== undefined && alikeDevices([device], gpu).length === 1 ? 1 : 0,
    );
  }
}
