/** order "fifo": bundles that the cluster orders too early are refused, and sent again when it is their turn. */
import { describe, expect, it } from "vitest";
import { turn } from "./support/fake-timers.ts";
import { isSettled, open, type Opened } from "./support/open.ts";

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

it("is off by default, and an unknown order is refused", async () => {
  const { cluster, client } = await open();
  await client.submit("a");
  expect(cluster.bundles()[0]?.fifo).toBe(false);
  await expect(open({}, { order: "lifo" as never })).rejects.toThrow('order must be "any" or "fifo", got "lifo"');
});
