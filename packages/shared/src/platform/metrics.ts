import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { assert, must } from "../kernel/assert.ts";
import type { MetricDefinition, Metrics } from "../kernel/service.ts";

export type { MetricDefinition } from "../kernel/service.ts";

/** Upper bounds in seconds of a duration histogram that names none: 1 ms to one minute. */
export const DURATION_BUCKETS_SECONDS: readonly number[] = [
  0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
];

/** Most combinations of label values of one metric; a further one is an AssertionError, for labels come from closed sets. */
export const METRIC_SERIES_MAX = 1_000;

const NAME = /^[a-z][a-z0-9_]{0,127}$/;
const MILLISECONDS = /_(?:ms|millis|milliseconds)$/;

type Labels = Readonly<Record<string, string>>;

interface Instrument {
  readonly definition: MetricDefinition;
  readonly series: Set<string>;
  readonly metric: Counter | Gauge | Histogram;
}

/** Metrics that can be printed for Prometheus. */
export type PrintableMetrics = Metrics & { text(): Promise<string>; readonly contentType: string };

/**
 * Metrics over prom-client with a registry of its own, so that many instances live in one process. A name or a label that
 * was not defined is a bug and thrown as an AssertionError, never a new series.
 */
export function createMetrics(definitions: readonly MetricDefinition[]): PrintableMetrics {
  const registry = new Registry();
  const instruments = new Map<string, Instrument>();
  for (const definition of definitions) {
    assert(!instruments.has(definition.name), `metric ${definition.name} is defined twice`);
    instruments.set(definition.name, makeInstrument(definition, registry));
  }
  return {
    count: (name, labels = {}, by = 1) => {
      const { metric } = instrumentOf(instruments, name, labels);
      assert(metric instanceof Counter, `metric ${name} is no counter`);
      metric.inc(labels, by);
    },
    set: (name, value, labels = {}) => {
      const { metric } = instrumentOf(instruments, name, labels);
      assert(metric instanceof Gauge, `metric ${name} is no gauge`);
      metric.set(labels, value);
    },
    observe: (name, value, labels = {}) => {
      const { metric } = instrumentOf(instruments, name, labels);
      assert(metric instanceof Histogram, `metric ${name} is no histogram`);
      metric.observe(labels, value);
    },
    text: () => registry.metrics(),
    contentType: registry.contentType,
  };
}

function makeInstrument(definition: MetricDefinition, registry: Registry): Instrument {
  const { name, kind, help } = definition;
  assert(NAME.test(name), `metric ${name}: lower case, digits and underscores only`);
  assert(!MILLISECONDS.test(name), `metric ${name}: durations are in seconds, name it _seconds`);
  const options = { name, help, labelNames: [...(definition.labels ?? [])], registers: [registry] };
  const buckets = [...(definition.buckets ?? DURATION_BUCKETS_SECONDS)];
  const metric =
    kind === "counter"
      ? new Counter(options)
      : kind === "gauge"
        ? new Gauge(options)
        : new Histogram({ ...options, buckets });
  return { definition, series: new Set(), metric };
}

function instrumentOf(
  instruments: ReadonlyMap<string, Instrument>,
  name: string,
  labels: Labels,
): Instrument {
  const instrument = must(instruments.get(name), `metric ${name} is not defined`);
  const expected = instrument.definition.labels ?? [];
  const given = Object.keys(labels);
  assert(
    given.length === expected.length && expected.every((label) => labels[label] !== undefined),
    `metric ${name} has the labels [${expected.join(", ")}], got [${given.join(", ")}]`,
  );
  instrument.series.add(JSON.stringify(expected.map((label) => labels[label])));
  assert(
    instrument.series.size <= METRIC_SERIES_MAX,
    `metric ${name} has more than ${METRIC_SERIES_MAX} series`,
  );
  return instrument;
}
