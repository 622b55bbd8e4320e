import { InvariantViolation, NULL_DIGEST, digest, replicaId, seqNum, toHex, type Bundle, type Reply } from "@narses/core";
import { hasher, merklePath, merkleRoot } from "@narses/crypto";
import { encodeResult, resultLeaf } from "@narses/wire";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { verifyReceipt } from "../src/receipt.ts";
import { keyOf, leaves, type FakeCluster, type Lie } from "./support/fake-cluster.ts";
import { isSettled, open, rejectionOf, type Opened } from "./support/open.ts";

const forged = encodeResult({ status: "ok", value: "forged" });

/** A reply that is consistent in itself and says something else: its own block, rightly signed by the liar. */
const ownBlock: Lie = (reply, cluster, replica) => {
  const results = reply.results.map(() => forged);
  const resultRoot = digest(toHex(merkleRoot([resultLeaf(hasher, reply.bundleDigest, results)])));
  const header = { ...reply.header, resultRoot };
  return { ...reply, header, results, leafIndex: 0, leafCount: 1, path: [], outcome: cluster.outcome(replica, header) };
};

const flipped = (bytes: Uint8Array): Uint8Array => bytes.map((byte, i) => (i === bytes.length - 1 ? byte ^ 1 : byte));

/** Every way to lie, and the reason under which it is counted. `undefined`: consistent, so it is only outvoted. */
const LIES: Readonly<Record<string, readonly [Lie, string | undefined]>> = {
  "a forged result in a block of its own": [ownBlock, undefined],
  "a forged result under the true header": [(reply) => ({ ...reply, results: reply.results.map(() => forged) }), "CERTIFICATE_INVALID"],
  "one result too many": [(reply) => ({ ...reply, results: [...reply.results, forged] }), "CERTIFICATE_INVALID"],
  "no results": [(reply) => ({ ...reply, results: [] }), "CERTIFICATE_INVALID"],
  "a wrong path": [(reply) => ({ ...reply, leafCount: 2, path: [hasher.sha256()] }), "CERTIFICATE_INVALID"],
  "a wrong place": [(reply) => ({ ...reply, leafIndex: 1, leafCount: 2, path: [] }), "CERTIFICATE_INVALID"],
  "a header that the outcome does not sign": [(reply) => ({ ...reply, header: { ...reply.header, stateRoot: NULL_DIGEST } }), "DIGEST_MISMATCH"],
  "a header of another slot": [(reply) => ({ ...reply, header: { ...reply.header, seq: seqNum(9) } }), "CERTIFICATE_INVALID"],
  "the outcome of another replica": [(reply, cluster, replica) => ({ ...reply, outcome: cluster.outcome((replica + 1) % cluster.quorums.n, reply.header) }), "SENDER_MISMATCH"],
  "an outcome signed with another key": [
    (reply, cluster, replica) => ({ ...reply, outcome: cluster.sign(replica, reply.outcome.body, keyOf("stranger")) }),
    "SIGNATURE_INVALID",
  ],
  "a damaged signature": [(reply) => ({ ...reply, outcome: { ...reply.outcome, bytes: flipped(reply.outcome.bytes) } }), "SIGNATURE_INVALID"],
  "another client": [(reply) => ({ ...reply, client: "ab".repeat(32) as Reply["client"] }), "SENDER_MISMATCH"],
  "another bundle": [(reply) => ({ ...reply, bundleDigest: digest("ab".repeat(32)) }), "UNSOLICITED"],
};

const oneLiar = async (lie: Lie): Promise<Opened> => {
  const opened = await open();
  // The primary lies, and speaks first. Its lie meets the votes of 1 and 2.
  opened.cluster.lies.set(0, lie);
  return opened;
};

describe("with f = 1, a primary that answers with", () => {
  it.each(Object.entries(LIES))("%s is not believed", async (_, [lie, reason]) => {
    const { client } = await oneLiar(lie);
    const { result, receipt } = await client.submit("truth");
    expect(result).toBe("truth");
    expect(receipt.outcomes.map(({ body }) => body.sender)).toEqual([1, 2]);
    expect(client.status().rejected).toEqual(reason === undefined ? {} : { 0: { [reason]: 1 } });
  });

  it("a malformed frame is counted and otherwise ignored", async () => {
    const { cluster, client } = await open();
    cluster.transport.receive(replicaId(3), new Uint8Array(40));
    cluster.transport.receive(replicaId(3), new Uint8Array(0));
    expect(client.status().rejected).toEqual({ 3: { FRAME_MALFORMED: 2 } });
    expect((await client.submit("truth")).result).toBe("truth");
  });
});

describe("with f = 2 of n = 7", () => {
  it("two liars that agree on a forged block are outvoted", async () => {
    const { cluster, client } = await open({ n: 7 });
    for (const replica of [0, 1]) cluster.lies.set(replica, ownBlock);
    expect((await client.submit("truth")).result).toBe("truth");
  });

  it("f replies are never enough, the liars' or the truth", async () => {
    const { cluster, client } = await open({ n: 7 });
    for (const replica of [0, 1]) cluster.lies.set(replica, ownBlock);
    for (const replica of [4, 5, 6]) cluster.silent.add(replica);
    // 2 and 3 tell the truth, 0 and 1 the same lie: two against two, W = 3.
    const answer = client.submit("truth", { timeoutMs: Number.POSITIVE_INFINITY });
    expect(await isSettled(answer)).toBe(false);
    const [bundle] = cluster.bundles();
    cluster.sendReply(replicaId(4), cluster.reply(replicaId(4), bundle as Bundle));
    expect((await answer).result).toBe("truth");
  });
});

describe("with any f replicas telling any lies", () => {
  it("the truth is accepted, certified by replicas that told it", async () => {
    const liars = fc.constantFrom(1, 2, 3).chain((f) =>
      fc.record({
        n: fc.constant(3 * f + 1),
        who: fc.uniqueArray(fc.nat(3 * f), { minLength: f, maxLength: f }),
        what: fc.array(fc.constantFrom(...Object.keys(LIES)), { minLength: f, maxLength: f }),
      }),
    );
    await fc.assert(
      fc.asyncProperty(liars, async ({ n, who, what }) => {
        const { cluster, client } = await open({ n });
        who.forEach((replica, i) => cluster.lies.set(replica, LIES[what[i] ?? ""]?.[0] ?? ownBlock));
        const { result, receipt, block } = await client.submit("truth");
        expect(result).toBe("truth");
        expect(block).toBe(cluster.hash(1));
        expect(verifyReceipt(receipt, cluster.config).result).toEqual({ status: "ok", value: "truth" });
        for (const { body } of receipt.outcomes) expect(who).not.toContain(body.sender);
        await client.close();
      }),
      { numRuns: 40 },
    );
  });
});

describe("a replica that lied about a bundle", () => {
  it("is not heard again about it, and is heard about the next", async () => {
    const { cluster, client } = await open();
    cluster.silent.add(3);
    cluster.silent.add(2);
    cluster.lies.set(0, (reply) => ({ ...reply, results: [] }));
    const first = client.submit("first", { timeoutMs: Number.POSITIVE_INFINITY });
    expect(await isSettled(first)).toBe(false);
    cluster.lies.clear();
    const [bundle] = cluster.bundles();
    cluster.sendReply(replicaId(0), cluster.reply(replicaId(0), bundle as Bundle));
    expect(await isSettled(first)).toBe(false);
    cluster.sendReply(replicaId(2), cluster.reply(replicaId(2), bundle as Bundle));
    expect((await first).receipt.outcomes.map(({ body }) => body.sender)).toEqual([1, 2]);
    expect((await client.submit("second")).receipt.outcomes.map(({ body }) => body.sender)).toEqual([0, 1]);
  });
});

describe("signatures", () => {
  it("are not looked at before W replicas claim the same", async () => {
    const { cluster, client } = await open();
    for (const replica of [1, 2, 3]) cluster.silent.add(replica);
    cluster.lies.set(0, (reply) => ({ ...reply, outcome: { ...reply.outcome, bytes: flipped(reply.outcome.bytes) } }));
    const answer = client.submit("x", { timeoutMs: Number.POSITIVE_INFINITY });
    expect(await isSettled(answer)).toBe(false);
    expect(client.status().rejected).toEqual({});
    const [bundle] = cluster.bundles();
    cluster.sendReply(replicaId(1), cluster.reply(replicaId(1), bundle as Bundle));
    expect(client.status().rejected).toEqual({ 0: { SIGNATURE_INVALID: 1 } });
    // From then on replica 0 is not heard about this bundle.
    cluster.sendReply(replicaId(0), cluster.reply(replicaId(0), bundle as Bundle));
    expect(await isSettled(answer)).toBe(false);
    cluster.sendReply(replicaId(2), cluster.reply(replicaId(2), bundle as Bundle));
    expect((await answer).result).toBe("x");
  });

  it("are verified once for each replica and block, and only up to W", async () => {
    const { cluster, client } = await open({}, { limits: { bundlesInFlight: 8 } });
    cluster.holding = true;
    // Each in a turn of its own: three bundles, ordered in one block.
    const answers = [];
    for (const operation of ["a", "b", "c"]) {
      answers.push(client.submit(operation));
      await new Promise((resolve) => setImmediate(resolve));
    }
    // From the second bundle on, replica 0 sends a damaged signature of an outcome that is known to be good.
    let replies = 0;
    cluster.lies.set(0, (reply) => (++replies === 1 ? reply : { ...reply, outcome: { ...reply.outcome, bytes: flipped(reply.outcome.bytes) } }));
    cluster.release(true);
    const accepted = await Promise.all(answers);
    expect(accepted.map(({ seq }) => seq)).toEqual([1, 1, 1]);
    expect(client.status().rejected).toEqual({});
    // Receipts carry the envelope that was verified, not the damaged one.
    const [first, , third] = accepted;
    expect(third?.receipt.outcomes[0]?.bytes).toEqual(first?.receipt.outcomes[0]?.bytes);
  });
});

describe("one bundle in two places of one block", () => {
  it("needs W replicas for the same place: the first, where it was executed", async () => {
    const { cluster, client } = await open();
    cluster.holding = true;
    const answer = client.submit("x");
    expect(await isSettled(answer)).toBe(false);
    const [bundle] = cluster.bundles();
    let executions = 0;
    cluster.apply = (operation) => {
      if (++executions > 1) throw { code: "NOT_EXECUTED", message: "ALREADY_EXECUTED" };
      return operation;
    };
    // Replica 0 points at the second place, the others at the first.
    cluster.lies.set(0, (reply) => reply);
    const place = (reply: Reply, of: FakeCluster, index: number): Reply => {
      const { batch, results } = of.blocks.at(-1) ?? {};
      return { ...reply, leafIndex: index, results: results?.[index] ?? [], path: merklePath(leaves(batch?.bundles ?? [], results ?? []), index) };
    };
    for (const replica of [0, 1, 2, 3]) cluster.lies.set(replica, (reply, of, from) => place(reply, of, from === 0 ? 1 : 0));
    cluster.order([bundle as Bundle, bundle as Bundle]);
    const { result, receipt } = await answer;
    expect(result).toBe("x");
    expect(receipt.outcomes.map(({ body }) => body.sender)).toEqual([1, 2]);
  });
});

describe("more than f liars", () => {
  it("cannot make the client take a block with too few results for its operations", async () => {
    const { cluster, client } = await open();
    const short: Lie = (reply, of, replica) => {
      const results = reply.results.slice(1);
      const header = { ...reply.header, resultRoot: digest(toHex(merkleRoot([resultLeaf(hasher, reply.bundleDigest, results)]))) };
      return { ...reply, header, results, outcome: of.outcome(replica, header) };
    };
    for (const replica of [0, 1]) cluster.lies.set(replica, short);
    const answers = await Promise.all([client.submit("a"), client.submit("b")]);
    expect(answers.map(({ result }) => result)).toEqual(["a", "b"]);
    expect(client.status().rejected).toEqual({ 0: { CERTIFICATE_INVALID: 1 }, 1: { CERTIFICATE_INVALID: 1 } });
  });

  it("that certify a second block for a slot stop the client with an invariant violation", async () => {
    const { cluster, client } = await open();
    await client.submit("a");
    // Two of four now claim that the second bundle is in slot 1 too.
    const fork: Lie = (reply, of, replica) => {
      const header = { ...reply.header, seq: seqNum(1) };
      return { ...reply, header, outcome: of.outcome(replica, header) };
    };
    cluster.lies.set(0, fork);
    cluster.lies.set(1, fork);
    const second = client.submit("b");
    expect(await rejectionOf(second)).toBeInstanceOf(InvariantViolation);
    expect(await rejectionOf(client.submit("c"))).toBeInstanceOf(InvariantViolation);
    expect(cluster.transport.stops).toBe(1);
  });
});
