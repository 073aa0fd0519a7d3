import type { DownMessage } from "@flotilla/shared/protocol/down";
import { describe, expect, test } from "vitest";
import {
  LOG_ANSWER_TIMEOUT_MS,
  LOG_REQUESTS_MAX,
  LOG_REQUESTS_PER_NODE_MAX,
  LOG_TAIL_LINES_MAX,
} from "../src/app/logs/log-service.ts";
import { birthBody, hubCore, nodeIdOf, put, up } from "./support/hub-core.ts";
import { MemoryStore } from "./support/memory-store.ts";
import { assignment, edgeNode } from "./support/node-builders.ts";

const N1 = nodeIdOf("n1");
const REQUEST = { namespace: "shop", pod: "api-0", tailLines: 100 };

async function setUp() {
  const store = new MemoryStore();
  await put(store, edgeNode("n1"), edgeNode("n2"), assignment("api-0", "n1"));
  const hub = hubCore(store);
  hub.link.connected.add("n1");
  const asked = (): Extract<DownMessage, { kind: "log-get" }> | undefined => {
    const message = hub.link.sent.at(-1)?.message;
    return message?.kind === "log-get" ? message : undefined;
  };
  let seq = 1;
  const answer = async (
    node: string,
    body: { text?: string; truncated?: boolean; error?: string },
    replyTo = asked()?.id ?? "",
  ) => {
    const chunk = { instance: "shop.web.api-0", text: "", truncated: false, ...body };
    const id = nodeIdOf(node);
    const taken = [
      hub.ingest.receive(id, "birth", up("birth", { epoch: 1, seq: seq++ }, birthBody())),
      hub.ingest.receive(
        id,
        "log-chunk",
        up("log-chunk", { epoch: 1, seq: seq++, replyTo }, chunk),
      ),
    ];
    await hub.clock.advance(100);
    await Promise.all(taken);
  };
  return { ...hub, store, asked, answer };
}

/** What a promise is rejected with; undefined when it is not. */
const failureOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  );

describe("a log request", () => {
  test("asks the node of the pod for the instance, and answers with what it sends", async () => {
    const { logs, asked, answer } = await setUp();
    const tail = logs.tail({ ...REQUEST, container: "main", tailLines: 1e9 });
    expect(asked()?.body).toEqual({
      instance: "shop.web.api-0",
      container: "main",
      tailLines: LOG_TAIL_LINES_MAX,
    });
    await answer("n1", { text: "hello\n", truncated: true });
    expect(await tail).toEqual({ text: "hello\n", truncated: true });
  });

  test("is not answered by another node, nor by an answer to something else", async () => {
    const { logs, asked, answer, metrics, link } = await setUp();
    const tail = logs.tail(REQUEST);
    link.connected.add("n2");
    const id = asked()?.id;
    await answer("n2", { text: "forged" }, id);
    await answer("n1", { text: "other" }, "unknown");
    expect(metrics.total("flotilla_hub_log_chunks_unasked_total")).toBe(2);
    await answer("n1", { text: "true" }, id);
    expect((await tail).text).toBe("true");
  });

  test("of a pod that is not there is NotFound, of one without a node ServiceUnavailable", async () => {
    const { logs, store } = await setUp();
    await put(store, assignment("api-1", undefined));
    await expect(logs.tail({ ...REQUEST, pod: "nope" })).rejects.toMatchObject({
      statusCode: 404,
      message: 'pods "nope" not found',
    });
    await expect(logs.tail({ ...REQUEST, pod: "api-1" })).rejects.toMatchObject({
      statusCode: 503,
    });
    await expect(logs.tail({ ...REQUEST, container: "nope" })).rejects.toMatchObject({
      statusCode: 400,
    });
  });

  test("to a node that is away fails at once", async () => {
    const { logs, link } = await setUp();
    link.connected.clear();
    await expect(logs.tail(REQUEST)).rejects.toMatchObject({ statusCode: 503 });
  });

  test("that is not answered ends in a time-out", async () => {
    const { logs, clock } = await setUp();
    const [outcome] = await Promise.all([
      failureOf(logs.tail(REQUEST)),
      clock.advance(LOG_ANSWER_TIMEOUT_MS),
    ]);
    expect(outcome).toMatchObject({ statusCode: 504 });
  });

  test("fails when the session ends, or when the node has no such log", async () => {
    const { logs, ingest, answer } = await setUp();
    const cut = failureOf(logs.tail(REQUEST));
    ingest.sessionChanged(N1, false);
    expect(await cut).toMatchObject({ statusCode: 503 });
    const empty = failureOf(logs.tail(REQUEST));
    await answer("n1", { error: "no such file" });
    expect(await empty).toMatchObject({
      statusCode: 503,
      message: expect.stringContaining("no such file"),
    });
  });

  test("beyond the limits is refused, and a finished one makes room", async () => {
    const { logs, clock, store, link } = await setUp();
    for (let i = 2; i <= LOG_REQUESTS_MAX; i++) {
      await put(store, assignment(`api-${i}`, `n${i}`));
      link.connected.add(`n${i}`);
    }
    const waiting = Array.from({ length: LOG_REQUESTS_PER_NODE_MAX }, () => logs.tail(REQUEST));
    await expect(logs.tail(REQUEST)).rejects.toMatchObject({ statusCode: 429 });
    for (let i = 2; waiting.length < LOG_REQUESTS_MAX; i++)
      waiting.push(logs.tail({ ...REQUEST, pod: `api-${i}` }));
    await expect(logs.tail({ ...REQUEST, pod: `api-${LOG_REQUESTS_MAX}` })).rejects.toMatchObject({
      statusCode: 429,
    });
    const ended = Promise.allSettled(waiting);
    await clock.advance(LOG_ANSWER_TIMEOUT_MS);
    expect((await ended).every((o) => o.status === "rejected")).toBe(true);
    expect(clock.sleeperCount).toBe(0);
    const again = logs.tail(REQUEST).catch(() => {});
    expect(link.sent.at(-1)?.nodeId).toBe("n1");
    await clock.advance(LOG_ANSWER_TIMEOUT_MS);
    await again;
  });
});
