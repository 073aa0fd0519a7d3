import { readFileSync } from "node:fs";
import { get } from "node:http";
import { join } from "node:path";
import { type DemoNode, NODES, PEER_PORT } from "./fleet.ts";
import { killIfThere, processesWithEnvironment } from "./processes.ts";

/** Ports of examples/hello. */
export const WEB_PORT = 18080;
export const GREETER_PORT = 18081;

/** Port of examples/motor. */
export const MODEL_PORT = 18082;

/** Every address that a workload or an agent of the demo may listen on. */
export function placesOfWorkloads(): { readonly host: string; readonly port: number }[] {
  return NODES.flatMap(({ address: host }) =>
    [WEB_PORT, GREETER_PORT, MODEL_PORT, PEER_PORT].map((port) => ({ host, port })),
  );
}

/** What the example service answers. */
export interface Answer {
  readonly greeting: string;
  readonly instance: string;
  readonly node: string;
  readonly pid: number;
}

/** One real request to a workload. */
export function ask(node: DemoNode, port: number): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = get({ host: node.address, port, path: "/", timeout: 2_000 }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
      response.on("end", () => {
        try {
          resolve(JSON.parse(text));
        } catch (error) {
          reject(error);
        }
      });
    });
    request.on("timeout", () => request.destroy(new Error("no answer")));
    request.on("error", reject);
  });
}

/** Processes of the workloads of a node; they outlive the agent on purpose, so nothing but their environment ties them to it. */
export function workloadPids(stateDir: string): number[] {
  let agentId: string;
  try {
    agentId = readFileSync(join(stateDir, "agent-id"), "utf8").trim();
  } catch {
    return [];
  }
  return processesWithEnvironment(`FLOTILLA_AGENT=${agentId}`);
}

/** kill -9 to every workload of an agent. */
export function killWorkloads(stateDir: string): void {
  for (const pid of workloadPids(stateDir)) killIfThere(pid);
}
