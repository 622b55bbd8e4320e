import { NarsesError, assert, seqNum, toHex, view } from "@narses/core";
import { describe, expect, it } from "vitest";
import { verifyReceipt, type VerifiedReceipt } from "../src/receipt.ts";
import type { Submitted } from "../src/unit.ts";
import { keyOf } from "./support/fake-cluster.ts";
import { isSettled, open, rejectionOf } from "./support/open.ts";

describe("submit", () => {
  it("returns the result with its slot, block and a receipt that verifies", async () => {
    const { cluster, client } = await open();
    cluster.apply = (operation) => ({ echo: operation });
    const { result, receipt, seq, block } = await client.submit({ add: 5 });
    expect(result).toEqual({ echo: { add: 5 } });
    expect(seq).toBe(seqNum(1));
    expect(block).toBe(cluster.hash(1));
    expect(verifyReceipt(receipt, cluster.config)).toMatchObject({
      seq: 1,
      block,
      client: client.id,
      rid: 1,
      kind: "apply",
      operation: { add: 5 },
      result: { status: "ok", value: { echo: { add: 5 } } },
      timestampMs: 1_000,
    });
    expect(receipt.outcomes).toHaveLength(cluster.quorums.weak);
    await client.close();
  });

  it("sends to the believed primary alone when it is connected", async () => {
    const { cluster, client } = await open();
    await client.submit(1);
    expect(cluster.requests().map(({ to }) => to)).toEqual([0]);
  });

  it("sends a large bundle to every replica at once, as the primary names it by its digest only", async () => {
    const { cluster, client } = await open({ parameters: { largeBundleBytes: 1_000 } });
    await client.submit("x".repeat(900));
    expect(cluster.requests()[0]?.frame.length).toBeGreaterThan(1_000);
    expect(cluster.requests().map(({ to }) => to)).toEqual([0, 1, 2, 3]);
    await client.submit("x");
    expect(cluster.requests().slice(4).map(({ to }) => to)).toEqual([0]);
    await client.close();
  });

  it("works with n = 1 and with f = 0", async () => {
    for (const n of [1, 3]) {
      const { cluster, client } = await open({ n, f: 0 });
      const { receipt } = await client.submit("x");
      expect(verifyReceipt(receipt, cluster.config).signers).toHaveLength(1);
    }
  });

  it("needs W replies: one is not enough with f = 1", async () => {
    const { cluster, client } = await open();
    for (const replica of [1, 2, 3]) cluster.silent.add(replica);
    const answer = client.submit(1, { timeoutMs: Number.POSITIVE_INFINITY });
    expect(await isSettled(answer)).toBe(false);
    cluster.silent.delete(2);
    const [bundle] = cluster.bundles();
    assert(bundle !== undefined, "nothing sent");
    cluster.sendReply(cluster.config.replicas[2]!.id, cluster.reply(cluster.config.replicas[2]!.id, bundle));
    expect((await answer).result).toBe(1);
  });

  it("counts a replica once, however often it answers", async () => {
    const { cluster, client } = await open();
    for (const replica of [1, 2, 3]) cluster.silent.add(replica);
    const answer = client.submit(1, { timeoutMs: Number.POSITIVE_INFINITY });
    expect(await isSettled(answer)).toBe(false);
    const [bundle] = cluster.bundles();
    assert(bundle !== undefined, "nothing sent");
    const [zero] = cluster.config.replicas;
    for (let i = 0; i < 5; i++) cluster.sendReply(zero!.id, cluster.reply(zero!.id, bundle));
    expect(await isSettled(answer)).toBe(false);
    const rejected = rejectionOf(answer);
    await client.close();
    expect(await rejected).toMatchObject({ code: "CLOSED" });
  });

  it("does not count late replies as wrong", async () => {
    const { client } = await open({ n: 7 });
    await client.submit(1);
    await new Promise((resolve) => setImmediate(resolve));
    expect(client.status().rejected).toEqual({});
  });

  it("rejects with the code, data and receipt of an operation that the state machine refused", async () => {
    const { cluster, client } = await open();
    cluster.apply = () => {
      throw { code: "INSUFFICIENT_FUNDS", message: "alice has 3", data: { balance: 3 } };
    };
    const reason = (await rejectionOf(client.submit({ pay: 5 }))) as NarsesError;
    expect(reason).toBeInstanceOf(NarsesError);
    expect(reason.code).toBe("APP_REJECTED");
    expect(reason.message).toContain("INSUFFICIENT_FUNDS: alice has 3");
    expect(reason.data).toMatchObject({ code: "INSUFFICIENT_FUNDS", message: "alice has 3", data: { balance: 3 }, seq: 1, block: cluster.hash(1) });
    const { receipt } = reason.data as unknown as Submitted;
    expect(verifyReceipt(receipt, cluster.config).result).toEqual({ status: "rejected", code: "INSUFFICIENT_FUNDS", message: "alice has 3", data: { balance: 3 } });
  });

  it("rejects with NOT_EXECUTED and the replicas' code when the operation was ordered in vain", async () => {
    const { cluster, client } = await open();
    cluster.apply = () => {
      throw { code: "NOT_EXECUTED", message: "OUT_OF_WINDOW" };
    };
    const reason = (await rejectionOf(client.submit(1))) as NarsesError;
    expect(reason.code).toBe("NOT_EXECUTED");
    expect(reason.data).toMatchObject({ code: "OUT_OF_WINDOW", seq: 1 });
    const { receipt } = reason.data as unknown as Submitted;
    expect(verifyReceipt(receipt, cluster.config).result.status).toBe("not-executed");
  });

  it("orders queries like operations", async () => {
    const { cluster, client } = await open();
    const kinds: string[] = [];
    cluster.apply = (operation, kind) => {
      kinds.push(kind);
      return operation;
    };
    const [, answer] = await Promise.all([client.submit("a"), client.query("b")]);
    expect(kinds).toEqual(["apply", "query"]);
    expect(answer.result).toBe("b");
    const verified: VerifiedReceipt = verifyReceipt(answer.receipt, cluster.config);
    expect(verified).toMatchObject({ kind: "query", rid: 2, operation: "b" });
  });

  it("refuses an operation above the cap before sending anything", async () => {
    const { cluster, client } = await open({ parameters: { bundleBytesMax: 1_024 } });
    const sent = cluster.transport.sent.length;
    const reason = (await rejectionOf(client.submit(new Uint8Array(2_000)))) as NarsesError;
    expect(reason.code).toBe("REQUEST_TOO_LARGE");
    expect(reason.message).toMatch(/operation 0 has 200\d bytes, the cluster takes at most 891/);
    expect(cluster.transport.sent).toHaveLength(sent);
    expect(client.status().nextRid).toBe(1);
  });

  it("takes the largest operation that fits", async () => {
    const { client } = await open({ parameters: { bundleBytesMax: 1_024 } });
    // bin16: three bytes of header.
    expect((await client.submit(new Uint8Array(888))).result).toHaveLength(888);
    expect(await rejectionOf(client.submit(new Uint8Array(889)))).toMatchObject({ code: "REQUEST_TOO_LARGE" });
  });

  it("signs for its own key, session and cluster", async () => {
    const { cluster, client } = await open({}, { session: 3 });
    await client.submit(1);
    const [bundle] = cluster.bundles();
    expect(bundle).toMatchObject({ session: 3, ridFirst: 1, ackLow: 0, client: client.id });
    expect(toHex(bundle?.publicKey ?? new Uint8Array())).toBe(toHex(keyOf("client").publicKey));
  });

  it("logs what it does not believe at the first, second, fourth … time", async () => {
    const counts: unknown[] = [];
    const ignore = (): void => undefined;
    const { cluster, client } = await open({}, { logger: { debug: ignore, info: ignore, error: ignore, warn: ({ count }) => counts.push(count) } });
    const [zero] = cluster.config.replicas;
    for (let i = 0; i < 9; i++) cluster.transport.receive(zero!.id, new Uint8Array(3));
    expect(client.status().rejected).toEqual({ 0: { FRAME_MALFORMED: 9 } });
    expect(counts).toEqual([1, 2, 4, 8]);
  });

  it("follows the primary that W replicas name", async () => {
    const { cluster, client } = await open();
    cluster.view = 2;
    await client.submit("a");
    expect(client.status()).toMatchObject({ view: 2, primary: 2 });
    await client.submit("b");
    expect(cluster.requests().map(({ to }) => to)).toEqual([0, 2]);
  });

  it("is not led astray by f replicas that name other views", async () => {
    const { cluster, client } = await open();
    cluster.lies.set(3, (reply) => ({ ...reply, view: view(1_000_003) }));
    await client.submit("a");
    await new Promise((resolve) => setImmediate(resolve));
    expect(client.status()).toMatchObject({ view: 0, primary: 0 });
  });
});
