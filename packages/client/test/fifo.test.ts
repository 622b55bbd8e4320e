/** order "fifo": bundles that the cluster orders too early are refused, and sent again when it is their turn. */
import type { Digest } from "@narses/core";
import { describe, expect, it } from "vitest";
import { turn } from "./support/fake-timers.ts";
import { isSettled, open, rejectionOf, type Opened } from "./support/open.ts";

async function fifoClient(): Promise<Opened> {
  const opened = await open({}, { order: "fifo" });
  const { cluster } = opened;
  cluster.early = ({ fifo, ridFirst }) => fifo && cluster.executed.length < ridFirst - 1;
  return opened;
}

describe("a bundle that was ordered too early", () => {
  it("is sent again when the one before it has its answer, and gives the result then", async () => {
    const { cluster, client } = await fifoClient();
    cluster.holding = true;
    const answers: Promise<{ readonly result: unknown }>[] = [];
    for (const operation of ["a", "b", "c"]) {
      answers.push(client.submit(operation));
      await turn();
    }
    const bundles = cluster.bundles();
    expect(bundles.map(({ ridFirst, fifo }) => [ridFirst, fifo])).toEqual([[1, true], [2, true], [3, true]]);
    for (const bundle of [...bundles].reverse().slice(0, 2)) cluster.order([bundle]);
    for (const answer of answers) expect(await isSettled(answer)).toBe(false);
    cluster.holding = false;
    cluster.order(bundles.slice(0, 1));
    expect((await Promise.all(answers)).map(({ result }) => result)).toEqual(["a", "b", "c"]);
    expect(cluster.executed).toEqual(["a", "b", "c"]);
    expect(client.status().retransmissions).toBe(2);
  });

  it("is sent again at once when the one before it was answered meanwhile", async () => {
    const { cluster, client } = await fifoClient();
    await client.submit("a");
    cluster.early = ({ ridFirst }) => ridFirst === 2 && cluster.blocks.length === 2;
    expect((await client.submit("b")).result).toBe("b");
    expect(client.status().retransmissions).toBe(1);
  });

  it("whose turn never comes is sent with patience, not in a loop", async () => {
    const { cluster, client, timers } = await fifoClient();
    cluster.early = () => true;
    const answer = client.submit("a", { timeoutMs: 60_000 });
    expect(await isSettled(answer)).toBe(false);
    expect(client.status().retransmissions).toBe(1);
    await timers.advance(timers.nextInMs ?? 0);
    expect(client.status().retransmissions).toBe(2);
    cluster.early = () => false;
    await timers.advance(timers.nextInMs ?? 0);
    expect((await answer).result).toBe("a");
  });

  it("one liar who says so delays nothing", async () => {
    const { cluster, client } = await fifoClient();
    cluster.lies.set(1, (reply) => ({ ...reply, results: [new Uint8Array([3])] }));
    expect((await client.submit("a")).result).toBe("a");
    expect(client.status().retransmissions).toBe(0);
  });
});

describe("behind a bundle that is refused for good", () => {
  const submitted = async ({ cluster, client }: Opened, ...operations: readonly string[]): Promise<Promise<unknown>[]> => {
    cluster.holding = true;
    const answers: Promise<unknown>[] = [];
    for (const operation of operations) {
      answers.push(client.submit(operation, { timeoutMs: Infinity }));
      await turn();
    }
    return answers;
  };

  it("and whose ids were not used up, it cannot be executed: that is said at once, whether it was ordered too early or not at all, and a later one goes on", async () => {
    const opened = await fifoClient();
    const { cluster, client } = opened;
    const [first, second, third] = await submitted(opened, "a", "b", "c");
    const bundles = cluster.bundles();
    cluster.order(bundles.slice(1, 2));
    cluster.refusing = ({ ridFirst }) => (ridFirst === 1 ? "SESSION_FULL" : undefined);
    cluster.order(bundles.slice(0, 1));
    expect(await rejectionOf(first as Promise<unknown>)).toMatchObject({ code: "NOT_EXECUTED", data: { code: "SESSION_FULL" } });
    for (const [answer, rid] of [[second, 2], [third, 3]] as const) {
      expect(await rejectionOf(answer as Promise<unknown>)).toMatchObject({
        code: "NOT_EXECUTED", data: { code: "SESSION_FULL", behind: 1 },
        message: `requests ${rid} to ${rid} are kept in order behind requests 1 to 1, which were refused (SESSION_FULL) and will not be executed: so these were not executed either. ` +
          "Submit them again when the reason of the refusal is gone",
      });
    }
    expect(client.status()).toMatchObject({ bundlesInFlight: 0, ackLow: 3 });
    cluster.early = () => false;
    cluster.holding = false;
    expect((await client.submit("d")).result).toBe("d");
    expect(cluster.bundles().at(-1)).toMatchObject({ ridFirst: 4, ackLow: 3 });
  });

  it("by W replicas before it was ordered: likewise", async () => {
    const opened = await fifoClient();
    const [first, second] = await submitted(opened, "a", "b");
    const digest = opened.cluster.bundles()[0]?.digest as Digest;
    for (const replica of [1, 2]) opened.cluster.refuse(replica, digest, "REQUEST_INVALID", "wrong");
    expect(await rejectionOf(first as Promise<unknown>)).toMatchObject({ code: "NOT_EXECUTED", data: { code: "REQUEST_INVALID" } });
    expect(await rejectionOf(second as Promise<unknown>)).toMatchObject({ code: "NOT_EXECUTED", data: { code: "REQUEST_INVALID", behind: 1 } });
  });

  it("and whose ids were used up, it is executed in its turn", async () => {
    const opened = await fifoClient();
    const { cluster } = opened;
    const [first, second] = await submitted(opened, "a", "b");
    const bundles = cluster.bundles();
    cluster.refusing = ({ ridFirst }) => (ridFirst === 1 ? "STATE_FULL" : undefined);
    cluster.order(bundles.slice(0, 1));
    cluster.early = () => false;
    cluster.order(bundles.slice(1, 2));
    expect(await rejectionOf(first as Promise<unknown>)).toMatchObject({ code: "NOT_EXECUTED", data: { code: "STATE_FULL" } });
    expect(await second).toMatchObject({ result: "b" });
  });

  it("where no order is kept, nobody waits and nobody is refused for it", async () => {
    const opened = await open();
    const { cluster } = opened;
    const [first, second] = await submitted(opened, "a", "b");
    const bundles = cluster.bundles();
    cluster.refusing = ({ ridFirst }) => (ridFirst === 1 ? "OUT_OF_WINDOW" : undefined);
    cluster.order(bundles.slice(0, 1));
    expect(await rejectionOf(first as Promise<unknown>)).toMatchObject({ code: "NOT_EXECUTED" });
    cluster.order(bundles.slice(1, 2));
    expect(await second).toMatchObject({ result: "b" });
  });
});

it("is off by default, and an unknown order is refused", async () => {
  const { cluster, client } = await open();
  await client.submit("a");
  expect(cluster.bundles()[0]?.fifo).toBe(false);
  await expect(open({}, { order: "lifo" as never })).rejects.toThrow('order must be "any" or "fifo", got "lifo"');
});
