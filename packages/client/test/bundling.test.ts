import { assert, type NarsesError, type SigningKey } from "@narses/core";
import { decodePayload } from "@narses/wire";
import { describe, expect, it } from "vitest";
import { verifyReceipt } from "../src/receipt.ts";
import { keyOf, type FakeCluster } from "./support/fake-cluster.ts";
import { turn } from "./support/fake-timers.ts";
import { isSettled, open, rejectionOf } from "./support/open.ts";

/** The operations of each bundle sent, in order. */
const sentOperations = (cluster: FakeCluster): unknown[][] =>
  cluster.bundles().map(({ operations }) =>
    operations.map(({ payload }) => {
      const decoded = decodePayload(payload);
      return decoded.ok ? decoded.value : undefined;
    }),
  );

const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);

describe("bundles", () => {
  it("hold everything submitted in one turn, under one signature", async () => {
    let signatures = 0;
    const key: SigningKey = { publicKey: keyOf("client").publicKey, sign: (message) => (signatures++, keyOf("client").sign(message)) };
    const { cluster, client } = await open({}, { key });
    const answers = await Promise.all(range(1, 20).map((n) => client.submit(n)));
    expect(answers.map(({ result }) => result)).toEqual(range(1, 20));
    expect(sentOperations(cluster)).toEqual([range(1, 20)]);
    expect(signatures).toBe(1);
    expect(answers.map(({ receipt }) => verifyReceipt(receipt, cluster.config).rid)).toEqual(range(1, 20));
  });

  it("are at most bundlesInFlight; what comes meanwhile shares the next one", async () => {
    const { cluster, client } = await open({}, { limits: { bundlesInFlight: 2 } });
    cluster.holding = true;
    const answers: Promise<unknown>[] = [];
    for (const n of range(1, 6)) {
      answers.push(client.submit(n));
      await turn();
    }
    expect(sentOperations(cluster)).toEqual([[1], [2]]);
    expect(client.status()).toMatchObject({ bundlesInFlight: 2, operationsInFlight: 2, queuedOperations: 4 });
    cluster.release();
    await Promise.all(answers);
    expect(sentOperations(cluster)).toEqual([[1], [2], [3, 4, 5, 6]]);
  });

  it("respect the cap on operations", async () => {
    const { cluster, client } = await open({ parameters: { bundleOperationsMax: 4 } });
    await Promise.all(range(1, 10).map((n) => client.submit(n)));
    expect(sentOperations(cluster)).toEqual([range(1, 4), range(5, 8), range(9, 10)]);
  });

  it("respect the cap on bytes, to the byte", async () => {
    // 128 bytes of overhead, then 5 + 3 + 90 for each operation: nine make 1010, ten would make 1108.
    const { cluster, client } = await open({ parameters: { bundleBytesMax: 128 + 9 * 97 } });
    await Promise.all(range(1, 10).map(() => client.submit(new Uint8Array(90))));
    expect(cluster.bundles().map(({ operations }) => operations.length)).toEqual([9, 1]);
    expect(cluster.bundles()[0]?.bytes).toHaveLength(128 + 9 * 97);
  });

  it("number their operations without gaps and acknowledge the longest answered prefix", async () => {
    const { cluster, client } = await open({}, { limits: { bundlesInFlight: 3 } });
    const held: Promise<unknown>[] = [];
    cluster.holding = true;
    for (const group of [[1, 2], [3], [4, 5, 6]]) {
      held.push(...group.map((n) => client.submit(n)));
      await turn();
    }
    const bundles = cluster.bundles();
    expect(bundles.map(({ ridFirst, ackLow }) => [ridFirst, ackLow])).toEqual([[1, 0], [3, 0], [4, 0]]);
    // The second is answered first.
    cluster.order(bundles.slice(1, 2));
    await turn();
    expect(client.status()).toMatchObject({ nextRid: 7, ackLow: 0 });
    cluster.order(bundles.slice(0, 1));
    await turn();
    expect(client.status().ackLow).toBe(3);
    cluster.order(bundles.slice(2, 3));
    await Promise.all(held);
    cluster.holding = false;
    await client.submit(7);
    expect(cluster.bundles().at(-1)).toMatchObject({ ridFirst: 7, ackLow: 6 });
  });

  it("use no request id when the key cannot sign", async () => {
    let fails = true;
    const key: SigningKey = {
      publicKey: keyOf("client").publicKey,
      sign: (message) => {
        if (fails) throw new TypeError("the token was removed");
        return keyOf("client").sign(message);
      },
    };
    const { cluster, client } = await open({}, { key });
    expect(await rejectionOf(client.submit(1))).toMatchObject({ message: "the token was removed" });
    fails = false;
    await client.submit(2);
    expect(cluster.bundles().map(({ ridFirst }) => ridFirst)).toEqual([1]);
  });
});

describe("the session window", () => {
  it("bounds the ids above the lowest unanswered one; more operations wait", async () => {
    const { cluster, client } = await open({ parameters: { bundleOperationsMax: 4, sessionWindow: 8 } }, { limits: { bundlesInFlight: 10 } });
    cluster.holding = true;
    const answers = range(1, 20).map((n) => client.submit(n));
    await turn();
    expect(sentOperations(cluster)).toEqual([range(1, 4), range(5, 8)]);
    expect(client.status()).toMatchObject({ operationsInFlight: 8, queuedOperations: 12 });
    // The second bundle is answered: ids 1 … 4 still hold the window.
    const [first, second] = cluster.bundles();
    assert(first !== undefined && second !== undefined, "two bundles");
    cluster.order([second]);
    await turn();
    expect(cluster.bundles()).toHaveLength(2);
    cluster.holding = false;
    cluster.order([first]);
    expect(await Promise.all(answers.map(async (answer) => (await answer).result))).toEqual(range(1, 20));
    for (const { ridFirst, operations, ackLow } of cluster.bundles()) expect(ridFirst + operations.length - 1).toBeLessThanOrEqual(ackLow + 8);
  });

  it("refuses with OVERLOADED when the queue is full, by operations", async () => {
    const { cluster, client } = await open({}, { limits: { bundlesInFlight: 1, outstanding: 2 } });
    cluster.holding = true;
    const first = client.submit(0);
    await turn();
    const waiting = range(1, 20).map((n) => client.submit(n));
    const reason = (await rejectionOf(client.submit(21))) as NarsesError;
    expect(reason.code).toBe("OVERLOADED");
    expect(reason.message).toContain("20 operations");
    cluster.release();
    expect((await first).result).toBe(0);
    expect(await Promise.all(waiting.map(async (answer) => (await answer).result))).toEqual(range(1, 20));
  });

  it("refuses with OVERLOADED when the queue is full, by bytes", async () => {
    const { cluster, client } = await open({}, { limits: { bundlesInFlight: 1, queuedBytes: 100 } });
    cluster.holding = true;
    const answers = [client.submit(0)];
    await turn();
    answers.push(client.submit(new Uint8Array(60)));
    expect(await rejectionOf(client.submit(new Uint8Array(60)))).toMatchObject({ code: "OVERLOADED" });
    cluster.release();
    await Promise.all(answers);
    expect(client.status()).toMatchObject({ queuedOperations: 0, queuedBytes: 0 });
  });
});

describe("submitMany", () => {
  it("executes in order, one full bundle after the other, and answers in order", async () => {
    const { cluster, client } = await open({ parameters: { bundleOperationsMax: 4 } }, { limits: { bundlesInFlight: 4 } });
    cluster.holding = true;
    const answer = client.submitMany(range(1, 10));
    expect(await isSettled(answer)).toBe(false);
    expect(sentOperations(cluster)).toEqual([range(1, 4)]);
    cluster.release();
    const settled = await answer;
    expect(settled.map((one) => (one.status === "fulfilled" ? one.value.result : one.reason))).toEqual(range(1, 10));
    expect(cluster.executed).toEqual(range(1, 10));
    expect(cluster.bundles()).toHaveLength(3);
  });

  it("judges each operation alone", async () => {
    const { cluster, client } = await open();
    cluster.apply = (operation) => {
      if (operation === 2) throw { code: "NO", message: "two" };
      return operation;
    };
    const settled = await client.submitMany([1, 2, 3]);
    expect(settled.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect((settled[1] as PromiseRejectedResult).reason).toMatchObject({ code: "APP_REJECTED", data: { code: "NO" } });
  });

  it("goes on after a refusal, and stops after a bundle whose fate is unknown", async () => {
    const { cluster, timers, client } = await open({ parameters: { bundleOperationsMax: 2 } });
    cluster.apply = (operation) => {
      if (operation === 1) throw { code: "NO", message: "one" };
      if (operation === 3) cluster.holding = true;
      return operation;
    };
    const answer = client.submitMany(range(1, 8), { timeoutMs: 200 });
    await timers.advance(200);
    const settled = await answer;
    expect(settled.map(({ status }) => status)).toEqual(["rejected", ...Array<string>(3).fill("fulfilled"), ...Array<string>(4).fill("rejected")]);
    for (const one of settled.slice(4)) expect((one as PromiseRejectedResult).reason).toMatchObject({ code: "TIMEOUT" });
    expect(sentOperations(cluster)).toEqual([[1, 2], [3, 4], [5, 6]]);
  });

  it("sends nothing when one operation is too large", async () => {
    const { cluster, client } = await open({ parameters: { bundleBytesMax: 1_024 } });
    const reason = (await rejectionOf(client.submitMany([1, 2, new Uint8Array(1_000)]))) as NarsesError;
    expect(reason).toMatchObject({ code: "REQUEST_TOO_LARGE", data: { index: 2 } });
    expect(cluster.bundles()).toHaveLength(0);
  });

  it("of nothing is nothing", async () => {
    const { client } = await open();
    expect(await client.submitMany([])).toEqual([]);
  });
});
