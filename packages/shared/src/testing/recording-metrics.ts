import type { Metrics } from "../kernel/service.ts";

type Labels = Readonly<Record<string, string>>;

interface Sample {
  readonly kind: "count" | "set" | "observe";
  readonly name: string;
  readonly labels: Labels;
  readonly value: number;
}

/** Keeps every sample. Labels given to a question need only be some of the sample's labels. */
export class RecordingMetrics implements Metrics {
  readonly #samples: Sample[] = [];

  count(name: string, labels: Labels = {}, by = 1): void {
    this.#samples.push({ kind: "count", name, labels, value: by });
  }

  set(name: string, value: number, labels: Labels = {}): void {
    this.#samples.push({ kind: "set", name, labels, value });
  }

  observe(name: string, value: number, labels: Labels = {}): void {
    this.#samples.push({ kind: "observe", name, labels, value });
  }

  /** Sum of what a counter counted; 0 when it never did. */
  total(name: string, labels: Labels = {}): number {
    return this.#matching("count", name, labels).reduce((sum, s) => sum + s.value, 0);
  }

  /** What a gauge was last set to; undefined when it never was. */
  value(name: string, labels: Labels = {}): number | undefined {
    return this.#matching("set", name, labels).at(-1)?.value;
  }

  /** What a histogram observed, oldest first. */
  observations(name: string, labels: Labels = {}): readonly number[] {
    return this.#matching("observe", name, labels).map((s) => s.value);
  }

  #matching(kind: Sample["kind"], name: string, labels: Labels): readonly Sample[] {
    return this.#samples.filter(
      (s) =>
        s.kind === kind &&
        s.name === name &&
        Object.entries(labels).every(([label, value]) => s.labels[label] === value),
    );
  }
}
