import { Agent, get } from "node:https";

/** What the process of the nodes is told. */
export interface LoadSetup {
  readonly port: number;
  readonly path: string;
  readonly caCertificate: string;
  readonly keys: readonly { readonly certificate: string; readonly privateKey: string }[];
  readonly payloadBytes: number;
  readonly rangeBytes: number;
}

export interface LoadResult {
  readonly wallMs: number;
  readonly cpuMs: number;
  readonly slowestMs: number;
}

process.once("message", (setup: LoadSetup) => {
  void run(setup).then((result) => process.send?.(result, () => process.disconnect()));
});

async function run(setup: LoadSetup): Promise<LoadResult> {
  const agents = setup.keys.map(
    ({ certificate, privateKey }) =>
      new Agent({
        keepAlive: true,
        maxSockets: 1,
        ca: setup.caCertificate,
        cert: certificate,
        key: privateKey,
      }),
  );
  // Handshakes are not what is measured.
  await Promise.all(agents.map((agent) => range(setup, agent, 0)));
  const before = process.cpuUsage();
  const startMs = performance.now();
  const slowest = await Promise.all(agents.map((agent) => takeAll(setup, agent)));
  const wallMs = performance.now() - startMs;
  const { user, system } = process.cpuUsage(before);
  for (const agent of agents) agent.destroy();
  return { wallMs, cpuMs: (user + system) / 1_000, slowestMs: Math.max(...slowest) };
}

/** Returns how long the slowest range took. */
async function takeAll(setup: LoadSetup, agent: Agent): Promise<number> {
  let slowestMs = 0;
  for (let offset = 0; offset < setup.payloadBytes; offset += setup.rangeBytes) {
    const startMs = performance.now();
    await range(setup, agent, offset);
    slowestMs = Math.max(slowestMs, performance.now() - startMs);
  }
  return slowestMs;
}

function range(setup: LoadSetup, agent: Agent, offset: number): Promise<void> {
  const { port, path, payloadBytes, rangeBytes } = setup;
  const end = Math.min(offset + rangeBytes, payloadBytes) - 1;
  const headers = { range: `bytes=${offset}-${end}` };
  return new Promise((resolve, reject) => {
    get({ host: "127.0.0.1", port, path, agent, headers }, (response) => {
      let received = 0;
      response.on("data", (piece: Buffer) => (received += piece.length));
      response.on("error", reject);
      response.on("end", () => {
        const isRight = response.statusCode === 206 && received === end - offset + 1;
        if (isRight) resolve();
        else reject(new Error(`${response.statusCode} with ${received} bytes`));
      });
    }).on("error", reject);
  });
}
