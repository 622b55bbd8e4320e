/** How many replicas must answer before a result is believed: W, or Q in a cluster with fast reads. */
import { replicaId, type Bundle } from "@narses/core";
import { describe, expect, it } from "vitest";
import { verifyReceipt } from "../src/index.ts";
import { turn } from "./support/fake-timers.ts";
import { isSettled, open, type Opened } from "./support/open.ts";

const withFastReads = (n = 4): Promise<Opened> => open({ n, parameters: { fastReads: true } });

/** The silent replicas executed it too: they say so in their own way. */
function confirm({ cluster }: Opened, replica: number, bundle: Bundle, place: { readonly seq: number; readonly leafIndex: number }): void {
  cluster.transport.receive(replicaId(replica), cluster.codec.encodeToClient({ type: "executed", bundleDigest: bundle.digest, seq: place.seq as never, leafIndex: place.leafIndex }));
}

describe("without fast reads", () => {
  it("W = 2 matching answers are enough", async () => {
    const { cluster, client } = await open();
    for (const id of [2, 3]) cluster.silent.add(id);
    expect(await client.submit("x")).toMatchObject({ result: "x" });
  });
});

describe("with fast reads", () => {
  it("Q = 3 matching answers are needed; the receipt has W signatures all the same", async () => {
    const opened = await withFastReads();
    const { cluster, client } = opened;
    cluster.silent.add(3);
    const { receipt } = await client.submit("x");
    expect(receipt.outcomes).toHaveLength(2);
    expect(verifyReceipt(receipt, cluster.config)).toMatchObject({ operation: "x" });
  });

  it("two answers of four are not enough, and the time-out says how many are", async () => {
    const { cluster, client, timers } = await withFastReads();
    for (const id of [2, 3]) cluster.silent.add(id);
    const answer = client.submit("x", { timeoutMs: 1_000 });
    const rejected = expect(answer).rejects.toMatchObject({ code: "TIMEOUT", message: expect.stringContaining("no 3 matching replies") as string });
    await timers.advance(1_000);
    await rejected;
  });

  it("a bad signature among them counts for nothing", async () => {
    const { cluster, client } = await withFastReads();
    cluster.silent.add(3);
    cluster.lies.set(1, (reply) => ({ ...reply, outcome: { ...reply.outcome, bytes: reply.outcome.bytes.with(-1, (reply.outcome.bytes.at(-1) ?? 0) ^ 1) } }));
    const answer = client.submit("x");
    expect(await isSettled(answer)).toBe(false);
    cluster.silent.delete(3);
    cluster.lies.delete(1);
    const [bundle] = cluster.bundles();
    cluster.sendReply(replicaId(3), cluster.reply(replicaId(3), bundle as Bundle));
    expect(await answer).toMatchObject({ result: "x" });
  });

  it("a replica whose state was transferred completes the quorum without a block to show", async () => {
    const opened = await withFastReads();
    const { cluster, client } = opened;
    for (const id of [2, 3]) cluster.silent.add(id);
    const answer = client.submit("x");
    await turn();
    const [bundle] = cluster.bundles();
    confirm(opened, 3, bundle as Bundle, { seq: 2, leafIndex: 0 });
    confirm(opened, 3, bundle as Bundle, { seq: 1, leafIndex: 1 });
    confirm(opened, 0, bundle as Bundle, { seq: 1, leafIndex: 0 }); // it has answered: one replica counts once
    expect(await isSettled(answer)).toBe(false);
    confirm(opened, 3, bundle as Bundle, { seq: 1, leafIndex: 0 });
    const { receipt } = await answer;
    expect(verifyReceipt(receipt, cluster.config).signers).toEqual([0, 1]);
  });

  it("words without a block prove nothing by themselves: W signed answers are needed", async () => {
    const opened = await withFastReads();
    const { cluster, client } = opened;
    for (const id of [1, 2, 3]) cluster.silent.add(id);
    const answer = client.submit("x");
    await turn();
    const [bundle] = cluster.bundles();
    for (const id of [1, 2, 3]) confirm(opened, id, bundle as Bundle, { seq: 1, leafIndex: 0 });
    expect(await isSettled(answer)).toBe(false);
    for (const id of [1, 2, 3]) cluster.silent.delete(id);
    cluster.sendReply(replicaId(1), cluster.reply(replicaId(1), bundle as Bundle));
    expect(await answer).toMatchObject({ result: "x" });
  });
});
