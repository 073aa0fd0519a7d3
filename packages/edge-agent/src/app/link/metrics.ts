import type { MetricDefinition } from "@flotilla/shared/kernel/service";

export const LINK_METRICS: readonly MetricDefinition[] = [
  {
    name: "flotilla_agent_link_sessions_total",
    kind: "counter",
    help: "Tries to open a session with the hub, by outcome.",
    labels: ["outcome"],
  },
  {
    name: "flotilla_agent_link_online",
    kind: "gauge",
    help: "1 while the hub has acknowledged this session's birth, else 0.",
  },
  {
    name: "flotilla_agent_link_sent_total",
    kind: "counter",
    help: "Messages that the hub acknowledged, by kind.",
    labels: ["kind"],
  },
  {
    name: "flotilla_agent_link_received_total",
    kind: "counter",
    help: "Messages of the hub, by kind.",
    labels: ["kind"],
  },
  {
    name: "flotilla_agent_link_ignored_total",
    kind: "counter",
    help: "What came from the hub and was not acted upon, by reason.",
    labels: ["reason"],
  },
  {
    name: "flotilla_agent_link_unsendable_total",
    kind: "counter",
    help: "Messages dropped because they are larger than a packet may be, by kind.",
    labels: ["kind"],
  },
  {
    name: "flotilla_agent_desired_total",
    kind: "counter",
    help: "Desired states that came in, by outcome and reason.",
    labels: ["outcome", "reason"],
  },
  {
    name: "flotilla_agent_outbox_messages",
    kind: "gauge",
    help: "Messages that wait for the hub.",
  },
];
