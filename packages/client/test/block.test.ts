import { NULL_DIGEST, NarsesError, assert, digest, epoch, fromHex, replicaId, seqNum, toHex, view, type Block, type CommitCertificate, type Votes } from "@narses/core";
import { merkleRoot } from "@narses/crypto";
import { encodeResult } from "@narses/wire";
import { beforeAll, describe, expect, it } from "vitest";
import { verifyBlock, verifyBlockBytes, verifyBlockChain } from "../src/block.ts";
import { FakeCluster, keyOf, leaves } from "./support/fake-cluster.ts";
import { turn } from "./support/fake-timers.ts";
import { open } from "./support/open.ts";

let cluster: FakeCluster;
/** Genesis, two bundles, one bundle, a null batch, one bundle. */
let chain: readonly Block[];

beforeAll(async () => {
  const opened = await open();
  cluster = opened.cluster;
  cluster.holding = true;
  const answers = [opened.client.submit("a1"), opened.client.submit("a2")];
  await turn();
  answers.push(opened.client.submit("b"));
  await turn();
  cluster.release(true);
  await Promise.all(answers);
  await opened.client.submit("c");
  const parent = cluster.blocks[2]?.header;
  assert(parent !== undefined, "no block 2");
  const empty = digest(toHex(merkleRoot([])));
  const header = { ...parent, seq: seqNum(3), parent: cluster.hash(2), batchDigest: NULL_DIGEST, bundleRoot: empty, resultRoot: empty };
  cluster.blocks.push({ header, batch: undefined, results: [], certificate: cluster.certificate(header) });
  await opened.client.submit("d");
  chain = cluster.blocks;
});

const at = (seq: number): Block => {
  const block = chain[seq];
  assert(block !== undefined, `no block ${seq}`);
  return block;
};

function failedCheck(verify: () => unknown): unknown {
  try {
    verify();
    return undefined;
  } catch (error) {
    if (!(error instanceof NarsesError)) throw error;
    expect(error.code).toBe("RECEIPT_INVALID");
    expect(error.message).toMatch(/^(the block|block \d+) does not verify: .+ \[[a-z-]+\]; do not rely on it$/);
    return error.data["check"];
  }
}

const bytesOf = (blocks: readonly Block[] = chain): Uint8Array[] => blocks.map((block) => cluster.codec.encodeBlock(block));

describe("a chain", () => {
  it("verifies block by block from genesis, null batches too", () => {
    let parent = NULL_DIGEST;
    for (const [seq, block] of chain.entries()) {
      const verified = verifyBlock(block, parent, cluster.config);
      expect(verified).toEqual({ header: block.header, hash: cluster.hash(seq), signers: seq === 0 ? [] : [0, 1, 2] });
      expect(verifyBlockBytes(cluster.codec.encodeBlock(block), parent, cluster.config)).toEqual(verified);
      parent = verified.hash;
    }
    expect(chain).toHaveLength(5);
  });

  it("verifies as a stream, from genesis or from a known block", async () => {
    expect(await verifyBlockChain(bytesOf(), cluster.config)).toMatchObject({ blocks: 5, head: { hash: cluster.hash(4) } });
    async function* later(): AsyncGenerator<Uint8Array> {
      yield* bytesOf(chain.slice(2));
    }
    const parent = { hash: cluster.hash(1), header: at(1).header };
    expect(await verifyBlockChain(later(), cluster.config, parent)).toMatchObject({ blocks: 3, head: { hash: cluster.hash(4) } });
  });

  it.each([
    ["with a block left out", () => [0, 1, 3], "parent"],
    ["with a block twice", () => [0, 1, 1], "parent"],
    ["without genesis", () => [1, 2], "parent"],
  ])("%s does not verify", async (_, order, check) => {
    await expect(verifyBlockChain(bytesOf(order().map(at)), cluster.config)).rejects.toMatchObject({ code: "RECEIPT_INVALID", data: { check } });
  });

  it("of no blocks is a mistake of the caller", async () => {
    await expect(verifyBlockChain([], cluster.config)).rejects.toBeInstanceOf(RangeError);
  });

  it("that skips a slot or goes back in time does not verify, even with right hashes", async () => {
    const [genesis, first] = [at(0), at(1)];
    const skipping = { ...first, header: { ...first.header, seq: seqNum(2) } };
    const withSkip = { ...skipping, certificate: cluster.certificate(skipping.header) };
    await expect(verifyBlockChain(bytesOf([genesis, withSkip]), cluster.config)).rejects.toMatchObject({ data: { check: "sequence" } });
    const third = at(3);
    for (const timestampMs of [1_999, 2_001]) {
      const wrong = { ...third, header: { ...third.header, timestampMs } };
      await expect(verifyBlockChain(bytesOf([...chain.slice(0, 3), wrong]), cluster.config)).rejects.toMatchObject({ data: { check: "timestamp" } });
    }
  });

  it("of another cluster does not verify", async () => {
    const another = { ...cluster.config, name: "another" };
    await expect(verifyBlockChain(bytesOf(), another)).rejects.toMatchObject({ code: "RECEIPT_INVALID" });
  });
});

describe("a tampered block is refused:", () => {
  const other = digest("ab".repeat(32));
  const forged = encodeResult({ status: "ok", value: "forged" });
  const certified = (change: Partial<CommitCertificate>): Partial<Block> => ({ certificate: { ...cluster.certificate(at(1).header), ...change } });
  const commits = (votes: (seq: number) => Votes["votes"], key = "replica 0"): Partial<Block> => {
    const own = cluster.certificate(at(1).header);
    const body: Votes = { type: "votes", epoch: epoch(0), sender: replicaId(0), votes: votes(1) };
    return { certificate: { ...own, commits: [{ frame: cluster.sign(0, body, keyOf(key)), index: 0 }, ...own.commits.slice(1)] } };
  };
  const vote = (change: Partial<Votes["votes"][number]>): Partial<Block> =>
    commits(() => [{ phase: "commit", view: view(0), seq: seqNum(1), digest: at(1).header.batchDigest, ...change }]);

  const cases: Readonly<Record<string, readonly [() => Partial<Block>, string]>> = {
    "the parent": [() => ({ header: { ...at(1).header, parent: other } }), "parent"],
    "the slot": [() => ({ header: { ...at(1).header, seq: seqNum(2) } }), "commit-certificate"],
    "the slot, made genesis": [() => ({ header: { ...at(1).header, seq: seqNum(0) } }), "sequence"],
    "the time": [() => ({ header: { ...at(1).header, timestampMs: 999 } }), "timestamp"],
    "the batch digest": [() => ({ header: { ...at(1).header, batchDigest: other } }), "encoding"],
    "another batch": [() => ({ batch: at(2).batch, header: { ...at(1).header, timestampMs: 2_000, batchDigest: at(2).header.batchDigest } }), "result-count"],
    "the bundle root": [() => ({ header: { ...at(1).header, bundleRoot: other } }), "bundle-root"],
    "the result root": [() => ({ header: { ...at(1).header, resultRoot: other } }), "result-root"],
    "a result": [() => ({ results: at(1).results.map((of) => of.map(() => forged)) }), "result-root"],
    "a result too many": [() => ({ results: at(1).results.map((of) => [...of, forged]) }), "result-count"],
    "results of a bundle too few": [() => ({ results: at(1).results.slice(1) }), "result-count"],
    "a missing certificate": [() => ({ certificate: undefined }), "commit-certificate"],
    "a certificate of another slot": [() => certified({ seq: seqNum(2) }), "commit-certificate"],
    "a certificate of another batch": [() => certified({ digest: other }), "commit-certificate"],
    "a certificate of another view": [() => certified({ view: view(1) }), "commit-vote"],
    "Q − 1 COMMITs": [() => ({ certificate: cluster.certificate(at(1).header, [0, 1]) }), "commit-count"],
    "one replica's COMMIT twice": [() => ({ certificate: cluster.certificate(at(1).header, [0, 1, 1]) }), "commit-replica"],
    "a PREPARE among the COMMITs": [() => vote({ phase: "prepare" }), "commit-vote"],
    "a COMMIT for another slot": [() => vote({ seq: seqNum(2) }), "commit-vote"],
    "a COMMIT for another view": [() => vote({ view: view(1) }), "commit-vote"],
    "a COMMIT for another batch": [() => vote({ digest: other }), "commit-vote"],
    "a COMMIT signed with another key": [
      () => commits(() => [{ phase: "commit", view: view(0), seq: seqNum(1), digest: at(1).header.batchDigest }], "replica 3"),
      "commit-signature",
    ],
  };

  it.each(Object.entries(cases))("%s", (_, [change, check]) => {
    expect(failedCheck(() => verifyBlock({ ...at(1), ...change() }, at(1).header.parent, cluster.config))).toBe(check);
  });

  it("a bundle whose client did not sign it, though Q replicas committed it", () => {
    const own = new FakeCluster();
    const honest = own.codec.makeBundle({ key: keyOf("client"), session: 0, ridFirst: 1 as never, ackLow: 0, operations: [{ kind: "apply", payload: Uint8Array.of(1) }] });
    const decoded = own.codec.decodeBundle(honest.bytes.map((byte, i) => (i === honest.bytes.length - 1 ? byte ^ 1 : byte)));
    assert(decoded.ok, "only the signature is damaged");
    const block = own.makeBlock([decoded.value]);
    expect(failedCheck(() => verifyBlock(block, block.header.parent, own.config))).toBe("client-signature");
  });

  it("a bundle of a client that is not listed", () => {
    const own = new FakeCluster({ clients: "listed", clientKeys: [toHex(keyOf("other").publicKey)] });
    const bundle = own.codec.makeBundle({ key: keyOf("client"), session: 0, ridFirst: 1 as never, ackLow: 0, operations: [{ kind: "apply", payload: Uint8Array.of(1) }] });
    const block = own.makeBlock([bundle]);
    expect(failedCheck(() => verifyBlock(block, block.header.parent, own.config))).toBe("client-listed");
  });

  it("a frame whose decoded votes differ from its signed bytes", () => {
    const own = cluster.certificate({ ...at(1).header, batchDigest: other });
    const lying = own.commits.map((ref) => ({
      ...ref,
      frame: { ...ref.frame, body: { ...ref.frame.body, votes: ref.frame.body.votes.map((one) => ({ ...one, digest: at(1).header.batchDigest })) } },
    }));
    const block = { ...at(1), certificate: { ...own, digest: at(1).header.batchDigest, commits: lying } };
    expect(failedCheck(() => verifyBlock(block, at(1).header.parent, cluster.config))).toBe("commit-vote");
  });

  it("a genesis block that executes something, or has a parent or a certificate", () => {
    const genesis = at(0);
    const check = (block: Block, parent = NULL_DIGEST): unknown => failedCheck(() => verifyBlock(block, parent, cluster.config));
    expect(check({ ...genesis, header: { ...genesis.header, bundleRoot: other } })).toBe("genesis");
    expect(check({ ...genesis, results: [[]] })).toBe("genesis");
    expect(check({ ...genesis, certificate: at(1).certificate })).toBe("genesis");
    expect(check(genesis, other)).toBe("parent");
    expect(check({ ...genesis, header: { ...genesis.header, parent: other } }, other)).toBe("sequence");
  });

  it("bytes that are no block", () => {
    expect(failedCheck(() => verifyBlockBytes(new Uint8Array(10), NULL_DIGEST, cluster.config))).toBe("encoding");
  });

  it("the fake cluster builds roots as the verifier expects them: over bundle digests and result leaves", () => {
    const { header, batch, results } = at(1);
    expect(header.bundleRoot).toBe(toHex(merkleRoot((batch?.bundles ?? []).map((bundle) => fromHex(bundle.digest)))));
    expect(header.resultRoot).toBe(toHex(merkleRoot(leaves(batch?.bundles ?? [], results))));
  });
});
