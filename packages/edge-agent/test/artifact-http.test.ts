import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ManualClock } from "@flotilla/shared/testing/manual-clock";
import { RecordingMetrics } from "@flotilla/shared/testing/recording-metrics";
import { silentLog } from "@flotilla/shared/testing/silent-log";
import { RETRIEVAL_WINDOW_MS } from "@flotilla/shared/trust/limits";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import {
  HttpSources,
  HUB_ANSWER_TIMEOUT_MS,
  PEER_PACE,
  RANGE_BYTES_MAX,
} from "../src/adapters/artifact-http/http-sources.ts";
import { FilePayloadShelf } from "../src/adapters/artifact-http/payload-shelf.ts";
import {
  PEER_REQUESTS_PER_NODE_MAX,
  PeerServer,
} from "../src/adapters/artifact-http/peer-server.ts";
import type { Credentials } from "../src/app/link/ports.ts";
import { ArtifactHub, type Misbehaviour, noise, sha256Of } from "./support/artifact-hub.ts";
import { makeTestCa, type TestCa } from "./support/pki.ts";
import { failureOf, pump } from "./support/pump.ts";

const FILE = noise(3 * RANGE_BYTES_MAX);
const PATH = `payloads/${sha256Of(FILE)}`;
const LENGTH = 100_000;

let ca: TestCa;
let hub: ArtifactHub;
let own: Credentials;
let clock: ManualClock;
let sources: HttpSources;
const signal = new AbortController().signal;

beforeAll(async () => {
  ca = await makeTestCa();
});

beforeEach(async () => {
  hub = await ArtifactHub.start(ca);
  hub.files.set(PATH, FILE);
  own = await hub.credentialsOf("n1");
  clock = new ManualClock();
  sources = new HttpSources({}, { credentials: { load: () => own }, clock });
});

afterEach(() => {
  sources.close();
  hub.close();
});

function read(offset = 0, length = LENGTH): Promise<Uint8Array> {
  return sources.hub(hub.url).read({ path: PATH, offset, length, signal });
}

/** Answers a range with these headers and this body. */
function answering(
  status: number,
  headers: Readonly<Record<string, string | number>>,
  body: Uint8Array = new Uint8Array(0),
): Misbehaviour {
  return (_request, response) => {
    response.writeHead(status, headers).end(body);
    return true;
  };
}

const RANGE = { "content-range": `bytes 0-${LENGTH - 1}/${FILE.length}` };

describe("the hub's server", () => {
  test("ranges and whole files come as they are, over one connection", async () => {
    expect(await read(5, 10)).toEqual(Buffer.from(FILE.subarray(5, 15)));
    expect(await read(2 * RANGE_BYTES_MAX, RANGE_BYTES_MAX)).toEqual(
      Buffer.from(FILE.subarray(2 * RANGE_BYTES_MAX)),
    );
    const source = sources.hub(hub.url);
    const whole = { path: PATH, bytesMax: FILE.length, signal };
    expect(await source.readWhole(whole)).toEqual(Buffer.from(FILE));
    expect(await source.readWhole({ ...whole, path: `payloads/${"0".repeat(64)}` })).toBe("absent");
    expect(await failureOf(source.readWhole({ ...whole, bytesMax: FILE.length - 1 }))).toBe(
      "source-misbehaves",
    );
  });

  test.each<readonly [string, Misbehaviour, string]>([
    ["answers 200 to a range", answering(200, {}, FILE.subarray(0, LENGTH)), "source-misbehaves"],
    [
      "answers another range",
      answering(
        206,
        { "content-range": `bytes 1-${LENGTH}/${FILE.length}` },
        FILE.subarray(1, LENGTH + 1),
      ),
      "source-misbehaves",
    ],
    ["names no range", answering(206, {}, FILE.subarray(0, LENGTH)), "source-misbehaves"],
    ["sends too much", answering(206, RANGE, FILE.subarray(0, LENGTH + 1)), "source-misbehaves"],
    ["sends too little", answering(206, RANGE, FILE.subarray(0, LENGTH - 1)), "source-misbehaves"],
    [
      "encodes the body",
      answering(206, { ...RANGE, "content-encoding": "br" }, FILE.subarray(0, LENGTH)),
      "source-misbehaves",
    ],
    ["says the range is beyond the end", answering(416, {}), "source-misbehaves"],
    ["redirects", answering(302, { location: "https://127.0.0.1:1/else" }), "source-misbehaves"],
    ["has nothing", answering(404, {}), "source-absent"],
    ["is asked too much", answering(503, { "retry-after": "1" }), "source-busy"],
    ["fails", answering(500, {}), "source-unreachable"],
    [
      "closes in the middle",
      (_request, response, file) => {
        response.writeHead(206, { ...RANGE, "content-length": LENGTH });
        response.write(file.subarray(0, 1_000), () => response.destroy());
        return true;
      },
      "source-unreachable",
    ],
  ])("that %s is told apart", async (_name, misbehave, code) => {
    hub.misbehave = misbehave;
    expect(await failureOf(read())).toBe(code);
    // It is used again when it behaves.
    hub.misbehave = () => false;
    expect((await read()).length).toBe(LENGTH);
  });

  test("that changes the file between two ranges is told apart", async () => {
    await read(0, 10);
    const other = noise(FILE.length, 2);
    hub.files.set(PATH, other);
    expect(await failureOf(read(10, 10))).toBe("source-misbehaves");
    // Whoever asks begins anew; digests say whether this is the right one.
    expect(await read(20, 10)).toEqual(Buffer.from(other.subarray(20, 30)));
  });

  test("that drips a byte a second is left after a window", async () => {
    let sent = 0;
    let drip: (() => void) | undefined;
    hub.misbehave = (_request, response) => {
      response.writeHead(206, { ...RANGE, "content-length": LENGTH });
      response.flushHeaders();
      drip = () => {
        sent += 1;
        response.write(Buffer.of(1));
      };
      return true;
    };
    const startMs = clock.bootMs();
    const reading = failureOf(read());
    const dripping = (async () => {
      for (let turn = 0; turn < 10_000; turn++) {
        drip?.();
        const done = await Promise.race([reading, clock.advance(1_000).then(() => undefined)]);
        if (done !== undefined) return;
        await new Promise((resolve) => {
          setTimeout(resolve, 1);
        });
      }
    })();
    await dripping;
    expect(await reading).toBe("source-too-slow");
    expect(clock.bootMs() - startMs).toBeLessThanOrEqual(
      HUB_ANSWER_TIMEOUT_MS + RETRIEVAL_WINDOW_MS + 5_000,
    );
    expect(sent).toBeGreaterThan(50);
  });

  test("that accepts and says nothing is left in time", async () => {
    hub.misbehave = () => true;
    const startMs = clock.bootMs();
    expect(await pump(clock, failureOf(read()), { stepMs: 500 })).toBe("source-unreachable");
    expect(clock.bootMs() - startMs).toBeLessThan(HUB_ANSWER_TIMEOUT_MS + 5_000);
  });

  test("with a certificate of another CA gets no request", async () => {
    const stranger = await ArtifactHub.start(await makeTestCa("stranger"));
    stranger.files.set(PATH, FILE);
    const source = sources.hub(stranger.url);
    expect(await failureOf(source.read({ path: PATH, offset: 0, length: 10, signal }))).toBe(
      "source-unreachable",
    );
    expect(stranger.requests).toEqual([]);
    stranger.close();
  });

  test("is asked with a renewed certificate after a renewal", async () => {
    const subjects: string[] = [];
    hub.misbehave = (request) => {
      subjects.push(String(request.socket.remotePort));
      return false;
    };
    await read(0, 1);
    await read(1, 1);
    own = await hub.credentialsOf("n1");
    await read(2, 1);
    expect(new Set(subjects).size).toBe(2);
  });

  test("a read that is aborted ends with the reason", async () => {
    hub.misbehave = () => true;
    const abort = new AbortController();
    const reading = sources
      .hub(hub.url)
      .read({ path: PATH, offset: 0, length: 10, signal: abort.signal });
    abort.abort(new Error("stop here"));
    await expect(reading).rejects.toThrow("stop here");
  });
});

describe("nodes of the site", () => {
  const manifest = sha256Of(FILE);
  let folder: string;
  let shelf: FilePayloadShelf;
  let stop: AbortController;
  let running: Promise<void>;
  let server: PeerServer;
  let metrics: RecordingMetrics;
  let other: Credentials;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "flotilla-peer-"));
    shelf = new FilePayloadShelf(
      { folder, quotaBytes: 2 * FILE.length },
      { clock, log: silentLog() },
    );
    other = await hub.credentialsOf("n2");
    metrics = new RecordingMetrics();
    server = new PeerServer(
      { host: "127.0.0.1", port: 0 },
      {
        payloads: shelf,
        serving: { share: () => Promise.resolve(), served: () => undefined },
        credentials: { load: () => other },
        clock,
        log: silentLog(),
        metrics,
      },
    );
    stop = new AbortController();
    running = server.run(stop.signal);
    while (server.port === 0)
      await new Promise((resolve) => {
        setTimeout(resolve, 2);
      });
  });

  afterEach(async () => {
    stop.abort();
    await clock.advance(0);
    await running;
    rmSync(folder, { recursive: true });
  });

  function peer(node = "n2", port = server.port) {
    return sources.peer({ node, host: "127.0.0.1", port });
  }

  const keepAll = () => Promise.resolve(0);
  const request = { path: PATH, offset: 0, length: 1_000, signal };

  test("give what they have, and say how far they are with the rest", async () => {
    expect(await peer().progress(PATH, signal)).toBe("absent");
    expect(await failureOf(peer().read(request))).toBe("source-absent");
    const kept = await shelf.open({ manifestSha256: manifest, lengthBytes: FILE.length }, keepAll);
    await kept?.append(FILE.subarray(0, 1_000));
    kept?.received(1_500);
    expect(await peer().read(request)).toEqual(Buffer.from(FILE.subarray(0, 1_000)));
    expect(await failureOf(peer().read({ ...request, offset: 500 }))).toBe("source-not-yet");
    expect(await peer().progress(PATH, signal)).toEqual({
      availableBytes: 1_000,
      receivedBytes: 1_500,
    });
    // Who waits there gets it as soon as it has come.
    const waiting = peer().readWhenThere({ ...request, offset: 1_000 }, 10_000);
    await new Promise((resolve) => {
      setTimeout(resolve, 50);
    });
    await kept?.append(FILE.subarray(1_000, 2_000));
    expect(await waiting).toEqual(Buffer.from(FILE.subarray(1_000, 2_000)));
    // And not for ever.
    const late = failureOf(peer().readWhenThere({ ...request, offset: 5_000 }, 3_000));
    expect(await pump(clock, late)).toBe("source-not-yet");
    await kept?.append(FILE.subarray(2_000));
    await kept?.close();
    expect(await peer().read({ ...request, offset: FILE.length - 1_000 })).toEqual(
      Buffer.from(FILE.subarray(FILE.length - 1_000)),
    );
    expect(
      metrics.total("flotilla_agent_peer_requests_total", { outcome: "served" }),
    ).toBeGreaterThan(2);
  });

  test("give manifests that they kept, whole", async () => {
    const bytes = new TextEncoder().encode("a manifest");
    await shelf.keepManifest(sha256Of(bytes), bytes);
    const path = `manifests/${sha256Of(bytes)}`;
    expect(await peer().readWhole({ path, bytesMax: 100, signal })).toEqual(Buffer.from(bytes));
    expect(
      await peer().readWhole({ path: `manifests/${"0".repeat(64)}`, bytesMax: 100, signal }),
    ).toBe("absent");
  });

  test("list nothing and give nothing else", async () => {
    for (const path of [
      "",
      "payloads/",
      "metadata/root.json",
      "payloads/../manifests/x",
      `blobs/${manifest}`,
    ])
      expect(await failureOf(peer().read({ ...request, path }))).toBe("source-absent");
  });

  test("serve no one without a certificate of the CA, nor the hub's", async () => {
    const stranger = await (await makeTestCa("stranger")).client("n1");
    const asHub = await ca.server();
    for (const pair of [stranger, asHub]) {
      const with_ = new HttpSources(
        {},
        { credentials: { load: () => ({ ...own, ...pair }) }, clock },
      );
      const from = with_.peer({ node: "n2", host: "127.0.0.1", port: server.port });
      expect(await failureOf(from.read(request))).toBe("source-unreachable");
      with_.close();
    }
    expect(metrics.total("flotilla_agent_peer_requests_total", { outcome: "absent" })).toBe(0);
  });

  test("are only asked when they are who they should be, by a certificate of the CA that is valid", async () => {
    const kept = await shelf.open({ manifestSha256: manifest, lengthBytes: FILE.length }, keepAll);
    await kept?.append(FILE.subarray(0, 2_000));
    expect(await failureOf(peer("n3").read(request))).toBe("source-misbehaves");
    const requests: string[] = [];
    const impostors = [
      // Another CA, of the same name; the hub's own server; one that has expired; one that is not valid yet.
      await (await makeTestCa()).client("n2"),
      await ca.server(["n2", "127.0.0.1"]),
      await ca.client("n2", { notBeforeMs: 0, notAfterMs: clock.wallMs() - 1 }),
      await ca.client("n2", {
        notBeforeMs: clock.wallMs() + 60_000,
        notAfterMs: clock.wallMs() + 120_000,
      }),
    ];
    for (const { certificate, privateKey } of impostors) {
      const impostor = createServer(
        { cert: certificate, key: privateKey, minVersion: "TLSv1.3" },
        (req, res) => {
          requests.push(req.url ?? "");
          res.writeHead(404).end();
        },
      );
      const port = await listening(impostor);
      expect(await failureOf(peer("n2", port).read(request))).toBe("source-misbehaves");
      impostor.close();
    }
    expect(requests).toEqual([]);
    await kept?.close();
  });

  test("answer one node so many requests at a time", async () => {
    const kept = await shelf.open({ manifestSha256: manifest, lengthBytes: FILE.length }, keepAll);
    const from = Array.from(
      { length: PEER_REQUESTS_PER_NODE_MAX + 1 },
      () => new HttpSources({}, { credentials: { load: () => own }, clock }),
    );
    const codes = from.map((s) =>
      failureOf(
        s.peer({ node: "n2", host: "127.0.0.1", port: server.port }).readWhenThere(request, 5_000),
      ),
    );
    expect(await pump(clock, Promise.race(codes), { stepMs: 1 })).toBe("source-busy");
    await kept?.append(FILE.subarray(0, 1_000));
    expect((await Promise.all(codes)).filter((code) => code === "none").length).toBe(
      PEER_REQUESTS_PER_NODE_MAX,
    );
    await kept?.close();
    for (const s of from) s.close();
  });

  test("that are not there, or drip, are told apart quickly", async () => {
    stop.abort();
    await clock.advance(0);
    await running;
    const { certificate, privateKey } = other;
    const dripping = createServer({ cert: certificate, key: privateKey }, (_req, res) => {
      res.writeHead(206, { "content-range": "bytes 0-999/*", "content-length": 1_000 });
      res.write(Buffer.of(1));
    });
    const port = await listening(dripping);
    const startMs = clock.bootMs();
    expect(await pump(clock, failureOf(peer("n2", port).read(request)), { stepMs: 500 })).toBe(
      "source-too-slow",
    );
    expect(clock.bootMs() - startMs).toBeLessThan(3 * PEER_PACE.windowMs);
    dripping.closeAllConnections();
    dripping.close();
    expect(await failureOf(peer("n2", 1).read(request))).toBe("source-unreachable");
  });
});

function listening(server: Server): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      resolve(typeof address === "object" ? (address?.port ?? 0) : 0);
    });
  });
}

describe("kept payloads", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "flotilla-shelf-"));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const open = (quotaBytes: number) =>
    new FilePayloadShelf({ folder, quotaBytes }, { clock, log: silentLog() });
  const [a, b, c] = ["a", "b", "c"].map((letter) => letter.repeat(64)) as [string, string, string];

  async function keep(
    shelf: FilePayloadShelf,
    manifestSha256: string,
    lengthBytes: number,
  ): Promise<void> {
    const kept = await shelf.open({ manifestSha256, lengthBytes }, () => Promise.resolve(0));
    await kept?.append(new Uint8Array(lengthBytes));
    await kept?.close();
  }

  test("stay within their quota: what was used least recently goes first, what is in use stays", async () => {
    const shelf = open(300);
    await keep(shelf, a, 100);
    await keep(shelf, b, 100);
    await shelf.read(a, 0, 1);
    const used = await shelf.open({ manifestSha256: c, lengthBytes: 200 }, () =>
      Promise.resolve(0),
    );
    expect(shelf.find(b)).toBeUndefined();
    expect(shelf.find(a)?.availableBytes).toBe(100);
    expect(shelf.usedBytes).toBe(300);
    // Too large beside what is in use: nothing is removed for it.
    expect(
      await shelf.open({ manifestSha256: b, lengthBytes: 101 }, () => Promise.resolve(0)),
    ).toBeUndefined();
    expect(shelf.find(a)).toBeDefined();
    await used?.close();
    expect(await shelf.release(50)).toBe(100);
    expect(shelf.find(a)).toBeUndefined();
  });

  test("go on after a restart with what is right, and serve what is whole", async () => {
    const first = open(1_000);
    await keep(first, a, 100);
    const part = await first.open({ manifestSha256: b, lengthBytes: 100 }, () =>
      Promise.resolve(0),
    );
    await part?.append(new Uint8Array(60));
    const second = open(1_000);
    expect(second.find(a)).toEqual({ availableBytes: 100, receivedBytes: 100, isGrowing: false });
    expect(second.find(b)).toBeUndefined();
    const again = await second.open({ manifestSha256: b, lengthBytes: 100 }, (available) => {
      expect(available).toBe(60);
      return Promise.resolve(40);
    });
    expect(again?.availableBytes).toBe(40);
    await again?.append(new Uint8Array(60).fill(7));
    expect(await second.read(b, 39, 2)).toEqual(Uint8Array.of(0, 7));
    await again?.close();
    // One that was whole and is not right any more is begun anew.
    const anew = await second.open({ manifestSha256: a, lengthBytes: 100 }, () =>
      Promise.resolve(0),
    );
    expect(anew?.availableBytes).toBe(0);
    await anew?.close();
  });

  test("are read while they get their last name", async () => {
    const shelf = open(1_000_000);
    for (let turn = 0; turn < 20; turn++) {
      const manifestSha256 = turn.toString(16).padStart(64, "0");
      const kept = await shelf.open({ manifestSha256, lengthBytes: 20 }, () => Promise.resolve(0));
      await kept?.append(new Uint8Array(10));
      const last = kept?.append(new Uint8Array(10));
      const reads = Array.from({ length: 20 }, () => shelf.read(manifestSha256, 0, 10));
      expect((await Promise.all(reads)).every((bytes) => bytes.length === 10)).toBe(true);
      await last;
      await kept?.close();
    }
  });
});
