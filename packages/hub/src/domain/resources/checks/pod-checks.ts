import { parseQuantity } from "@flotilla/shared/kernel/quantity";
import type { Container, EnvVar, PodTemplate, Probe } from "@flotilla/shared/model/workload";
import type { Cause } from "../api-error.ts";
import {
  duplicates,
  forbiddenValue,
  invalidValue,
  requiredValue,
  unsupportedValue,
} from "../causes.ts";
import { dnsLabelCauses, labelsCauses, qualifiedNameCauses } from "../names.ts";
import { tolerationCauses } from "./selector-checks.ts";

/** What a workload's restart policy may be: a Deployment runs for ever, a Job comes to an end. */
const RESTART_POLICIES = {
  Deployment: ["Always"],
  Job: ["OnFailure", "Never"],
} as const;

/** What is wrong with a pod template beyond its types; `field` is where it stands. */
export function podTemplateCauses(
  field: string,
  template: PodTemplate,
  type: "Deployment" | "Job",
): Cause[] {
  const { containers, nodeSelector, tolerations } = template.spec;
  const at = `${field}.spec.containers`;
  return [
    ...labelsCauses(`${field}.metadata.labels`, template.metadata?.labels ?? {}),
    ...labelsCauses(`${field}.spec.nodeSelector`, nodeSelector ?? {}),
    ...tolerationCauses(`${field}.spec.tolerations`, tolerations),
    ...restartPolicyCauses(field, template, type),
    ...duplicates(
      containers,
      (c) => c.name,
      (index) => `${at}[${index}].name`,
    ),
    ...containers.flatMap((container, index) => containerCauses(`${at}[${index}]`, container)),
  ];
}

/** The policy may stand on the template or on its spec; in both places it must be the same. */
function restartPolicyCauses(
  field: string,
  template: PodTemplate,
  type: "Deployment" | "Job",
): Cause[] {
  const beside = template.restartPolicy;
  const inside = template.spec.restartPolicy;
  const at = inside === undefined ? `${field}.restartPolicy` : `${field}.spec.restartPolicy`;
  const policy = inside ?? beside;
  if (policy === undefined) return [];
  if (beside !== undefined && inside !== undefined && beside !== inside)
    return [invalidValue(`${field}.restartPolicy`, beside, `differs from spec.restartPolicy`)];
  const supported: readonly string[] = RESTART_POLICIES[type];
  return supported.includes(policy) ? [] : [unsupportedValue(at, policy, supported)];
}

function containerCauses(field: string, container: Container): Cause[] {
  const { name, image, command, ports = [], env = [] } = container;
  return [
    ...dnsLabelCauses(`${field}.name`, name),
    ...((image === undefined || image === "") && command === undefined
      ? [requiredValue(`${field}.image`, "name an image, or a command to run on the host")]
      : []),
    ...duplicates(
      ports,
      // No name of a port begins with "#": ports without one are never the same.
      (p, index) => p.name ?? `#${index}`,
      (index) => `${field}.ports[${index}].name`,
    ),
    ...env.flatMap((variable, index) => envCauses(`${field}.env[${index}]`, variable)),
    ...resourceCauses(`${field}.resources`, container.resources),
    ...(["livenessProbe", "readinessProbe", "startupProbe"] as const).flatMap((probe) =>
      probeCauses(`${field}.${probe}`, container[probe], container),
    ),
  ];
}

function envCauses(field: string, variable: EnvVar): Cause[] {
  const { value, valueFrom } = variable;
  if (valueFrom === undefined) return [];
  const sources = Object.keys(valueFrom);
  return [
    ...(value === undefined || value === ""
      ? []
      : [invalidValue(`${field}.valueFrom`, "", "may not be specified when `value` is not empty")]),
    ...(sources.length === 1
      ? []
      : [
          invalidValue(
            `${field}.valueFrom`,
            sources,
            "must name exactly one of configMapKeyRef, secretKeyRef",
          ),
        ]),
  ];
}

function resourceCauses(field: string, resources: Container["resources"]): Cause[] {
  const { requests = {}, limits = {} } = resources ?? {};
  const names = (["requests", "limits"] as const).flatMap((part) =>
    Object.entries(resources?.[part] ?? {}).flatMap(([name, quantity]) => [
      ...qualifiedNameCauses(`${field}.${part}`, name),
      ...wholeCauses(`${field}.${part}[${name}]`, name, quantity),
    ]),
  );
  const overLimit = Object.entries(requests).flatMap(([name, request]) => {
    const limit = Object.hasOwn(limits, name) ? limits[name] : undefined;
    if (limit === undefined) return [];
    return (parseQuantity(request) ?? 0) <= (parseQuantity(limit) ?? 0)
      ? []
      : [
          invalidValue(
            `${field}.requests[${name}]`,
            String(request),
            `must be less than or equal to ${name} limit of ${String(limit)}`,
          ),
        ];
  });
  return [...names, ...overLimit];
}

/** Devices such as nvidia.com/gpu are counted; half of one cannot be had. */
function wholeCauses(field: string, name: string, quantity: string | number): Cause[] {
  if (!name.includes("/") || Number.isInteger(parseQuantity(quantity))) return [];
  return [invalidValue(field, quantity, "must be an integer")];
}

function probeCauses(field: string, probe: Probe | undefined, container: Container): Cause[] {
  if (probe === undefined) return [];
  const handlers = (["exec", "httpGet", "tcpSocket"] as const).filter(
    (h) => probe[h] !== undefined,
  );
  if (handlers.length === 0)
    return [requiredValue(field, "must specify a handler type: one of exec, httpGet, tcpSocket")];
  const more = handlers
    .slice(1)
    .map((h) => forbiddenValue(`${field}.${h}`, "may not specify more than 1 handler type"));
  const ports = (["httpGet", "tcpSocket"] as const).flatMap((handler) => {
    const port = probe[handler]?.port;
    if (typeof port !== "string") return [];
    const named = (container.ports ?? []).some((p) => p.name === port);
    return named
      ? []
      : [
          invalidValue(
            `${field}.${handler}.port`,
            port,
            "must be a port number, or the name of one of the container's ports",
          ),
        ];
  });
  return [...more, ...ports];
}
