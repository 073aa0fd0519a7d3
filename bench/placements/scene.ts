import { must } from "@flotilla/shared/kernel/assert";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { BenchHub } from "./hub.ts";

const GIB = 2 ** 30;
const NODES_PER_SITE = 100;
const USER = { name: "bench", groups: [] };

/** Ready nodes of 32 cores and 128 GiB, every fourth with four GPUs, a hundred a site. */
export async function addNodes(hub: BenchHub, count: number): Promise<void> {
  const siteCount = Math.ceil(count / NODES_PER_SITE);
  const objects = [
    ...Array.from({ length: siteCount }, (_, i) => siteObject(i)),
    ...Array.from({ length: count }, (_, i) => nodeObject(i)),
  ];
  const results = await Promise.all(
    objects.map((object) =>
      hub.store.commit({
        changes: [
          {
            key: { kind: object.kind, namespace: "", name: object.metadata.name },
            expect: "absent",
            object,
          },
        ],
      }),
    ),
  );
  for (const { ok } of results) must(ok ? ok : undefined, "an empty store refused a node");
}

function siteObject(index: number): ObjectOf<"Site"> & { kind: "Site" } {
  const name = `site-${index}`;
  return {
    apiVersion: "edge.kurator.dev/v1alpha1",
    kind: "Site",
    metadata: { name, uid: name, generation: 1 },
    spec: { latencyMs: 5 + (index % 20) * 5, pricePerNodeHour: 0.5 + (index % 7) * 0.1 },
  };
}

function nodeObject(index: number): ObjectOf<"EdgeNode"> & { kind: "EdgeNode" } {
  const name = `node-${String(index).padStart(6, "0")}`;
  const cards = index % 4 === 0 ? 4 : 0;
  return {
    apiVersion: "edge.kurator.dev/v1alpha1",
    kind: "EdgeNode",
    metadata: { name, uid: name, generation: 1 },
    spec: { site: `site-${Math.floor(index / NODES_PER_SITE)}` },
    status: {
      life: "ready",
      inventory: {
        architecture: "x64",
        operatingSystem: "linux",
        kernelVersion: "6.1",
        cpuModel: "cpu",
        manufacturer: "maker",
        machineModel: "machine",
        runtimes: ["process"],
        gpus: Array.from({ length: cards }, (_, card) => ({
          uuid: `GPU-${name}-${card}`,
          index: card,
          vendor: "nvidia" as const,
          model: "NVIDIA A100-SXM4-80GB",
          memoryBytes: 80 * GIB,
        })),
      },
      capacity: {
        milliCpu: 32_000,
        memoryBytes: 128 * GIB,
        diskBytes: 1_000 * GIB,
        gpuCount: cards,
      },
    },
  };
}

/** Asks the API for Applications of one Deployment each, of twenty sizes. */
export async function addApplications(
  hub: BenchHub,
  { applications, replicas }: { readonly applications: number; readonly replicas: number },
): Promise<void> {
  const make = (i: number) =>
    hub.resources.create("Application", "default", manifest(i, replicas), {
      user: USER,
      fieldValidation: "Strict",
    });
  await Promise.all(Array.from({ length: applications }, (_, i) => make(i)));
}

function manifest(index: number, replicas: number): object {
  const size = index % 20;
  return {
    apiVersion: "apps.kurator.dev/v1alpha1",
    kind: "Application",
    metadata: { name: `app-${String(index).padStart(6, "0")}`, namespace: "default" },
    spec: {
      components: [
        {
          name: "main",
          type: "Deployment",
          template: {
            spec: {
              replicas,
              template: {
                spec: {
                  containers: [
                    {
                      name: "main",
                      command: ["/bin/serve", `--size=${size}`],
                      resources: {
                        requests: { cpu: `${100 + size * 20}m`, memory: `${64 + size * 16}Mi` },
                      },
                    },
                  ],
                },
              },
            },
          },
        },
      ],
    },
  };
}
