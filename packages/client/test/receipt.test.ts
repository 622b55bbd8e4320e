import { NULL_DIGEST, NarsesError, assert, digest, epoch, replicaId, seqNum, toHex, type Outcome, type Receipt, type Signed } from "@narses/core";
import { encodeResult } from "@narses/wire";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { encodeReceipt, verifyReceipt, verifyReceiptBytes } from "../src/receipt.ts";
import { FakeCluster, clusterConfig, keyOf } from "./support/fake-cluster.ts";
import { turn } from "./support/fake-timers.ts";
import { open } from "./support/open.ts";

let cluster: FakeCluster;
let receipt: Receipt;
let bytes: Uint8Array;

/** The second of three operations, in the second of three bundles of a block. */
beforeAll(async () => {
  const opened = await open();
  cluster = opened.cluster;
  cluster.holding = true;
  const answers = [];
  for (const group of [["a"], ["b1", "b2", "b3"], ["c"]]) {
    for (const operation of group) answers.push(opened.client.submit({ operation }));
    await turn();
  }
  cluster.release(true);
  const submitted = (await Promise.all(answers))[2];
  assert(submitted !== undefined, "no answer");
  ({ receipt } = submitted);
  bytes = encodeReceipt(receipt, cluster.config);
});

/** The check that fails; undefined when the receipt verifies. */
function failedCheck(verify: () => unknown): unknown {
  try {
    verify();
    return undefined;
  } catch (error) {
    if (!(error instanceof NarsesError)) throw error;
    expect(error.code).toBe("RECEIPT_INVALID");
    expect(error.message).toMatch(/^the receipt does not verify: .+ \[[a-z-]+\]; do not rely on it$/);
    return error.data["check"];
  }
}

const flip = (of: Uint8Array, at: number): Uint8Array => of.map((byte, i) => (i === (at + of.length) % of.length ? byte ^ 1 : byte));

describe("a receipt", () => {
  it("tells what was ordered, where, and what it gave", () => {
    expect(verifyReceipt(receipt, cluster.config)).toEqual({
      seq: 1,
      block: cluster.hash(1),
      client: cluster.bundles()[0]?.client,
      publicKey: keyOf("client").publicKey,
      rid: 3,
      kind: "apply",
      operation: { operation: "b2" },
      result: { status: "ok", value: { operation: "b2" } },
      timestampMs: 1_000,
      signers: [0, 1],
    });
  });

  it("goes through bytes and back", () => {
    expect(verifyReceiptBytes(bytes, cluster.config)).toEqual(verifyReceipt(receipt, cluster.config));
    const decoded = cluster.codec.decodeReceipt(bytes);
    expect(decoded.ok && encodeReceipt(decoded.value, cluster.config)).toEqual(bytes);
  });

  it("verifies for each operation of its bundle, and tells them apart", () => {
    const values = [0, 1, 2].map((operation) => verifyReceipt({ ...receipt, operation }, cluster.config).operation);
    expect(values).toEqual(["b1", "b2", "b3"].map((operation) => ({ operation })));
  });
});

describe("a tampered receipt is refused:", () => {
  const outcomes = (change: (outcome: Signed<Outcome>, i: number) => Signed<Outcome>): Partial<Receipt> => ({ outcomes: receipt.outcomes.map(change) });
  const header = (change: Partial<Receipt["header"]>): Partial<Receipt> => ({ header: { ...receipt.header, ...change } });
  const other = digest("ab".repeat(32));

  const cases: Readonly<Record<string, readonly [() => Partial<Receipt>, string]>> = {
    "header seq": [() => header({ seq: seqNum(2) }), "outcome-block"],
    "header parent": [() => header({ parent: other }), "outcome-block"],
    "header timestamp": [() => header({ timestampMs: 999 }), "outcome-block"],
    "header batch digest": [() => header({ batchDigest: NULL_DIGEST }), "outcome-block"],
    "header bundle root": [() => header({ bundleRoot: other }), "outcome-block"],
    "header state root": [() => header({ stateRoot: other }), "outcome-block"],
    "header result root": [() => header({ resultRoot: other }), "result-path"],
    "leaf index": [() => ({ leafIndex: 0 }), "result-path"],
    "leaf count": [() => ({ leafCount: 5 }), "result-path"],
    "leaf count below the path's length": [() => ({ leafCount: 2 }), "encoding"],
    "a hash of the path": [() => ({ path: receipt.path.map((hash, i) => (i === 0 ? flip(hash, 0) : hash)) }), "result-path"],
    "a path cut short": [() => ({ path: receipt.path.slice(1) }), "result-path"],
    "a result": [() => ({ results: receipt.results.map(() => encodeResult({ status: "ok", value: "more" })) }), "result-path"],
    "a result too few": [() => ({ results: receipt.results.slice(1) }), "encoding"],
    "the operation it is about, out of range": [() => ({ operation: 3 }), "encoding"],
    "the operation it is about, not a number": [() => ({ operation: Number.NaN }), "encoding"],
    "the client's signature": [() => ({ bundle: flip(receipt.bundle, -1) }), "client-signature"],
    "an operation": [() => ({ bundle: flip(receipt.bundle, -70) }), "client-signature"],
    "the client's key": [() => ({ bundle: receipt.bundle.map((byte, i) => (i >= 6 && i < 38 ? (i === 6 ? 1 : 0) : byte)) }), "client-key"],
    "another bundle of the same client": [() => ({ bundle: cluster.bundles()[0]?.bytes ?? new Uint8Array() }), "encoding"],
    "an outcome's signature": [() => outcomes((one, i) => (i === 1 ? { ...one, bytes: flip(one.bytes, -1) } : one)), "outcome-signature"],
    "an outcome's signer": [() => outcomes((one, i) => (i === 1 ? cluster.sign(1, one.body, keyOf("replica 2")) : one)), "outcome-signature"],
    "an outcome for another block": [
      () => outcomes((one, i) => (i === 1 ? cluster.sign(1, { ...one.body, block: other }) : one)),
      "outcome-block",
    ],
    "an outcome for another slot": [() => outcomes((one, i) => (i === 1 ? cluster.sign(1, { ...one.body, seq: seqNum(2) }) : one)), "outcome-block"],
    "an outcome of another epoch": [() => outcomes((one, i) => (i === 1 ? cluster.sign(1, { ...one.body, epoch: epoch(1) }) : one)), "encoding"],
    "one replica twice": [() => ({ outcomes: receipt.outcomes.map(() => cluster.outcome(1, receipt.header)) }), "outcome-replica"],
    "outcomes out of order": [() => ({ outcomes: [...receipt.outcomes].reverse() }), "outcome-replica"],
    "W − 1 outcomes": [() => ({ outcomes: receipt.outcomes.slice(1) }), "outcome-count"],
    "W + 1 outcomes": [() => ({ outcomes: [...receipt.outcomes, cluster.outcome(2, receipt.header)] }), "outcome-count"],
    "a replica that is not a member": [() => outcomes((one, i) => (i === 1 ? cluster.sign(4, { ...one.body, sender: replicaId(4) }, keyOf("x")) : one)), "encoding"],
    "the version": [() => ({ version: 2 as 1 }), "encoding"],
  };

  it.each(Object.entries(cases))("%s", (_, [change, check]) => {
    expect(failedCheck(() => verifyReceipt({ ...receipt, ...change() }, cluster.config))).toBe(check);
  });

  it("any single bit of its bytes, but those that choose another operation of the same bundle", () => {
    const honest = verifyReceiptBytes(bytes, cluster.config);
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 0, max: 7 }), (at, bit) => {
        const tampered = bytes.map((byte, i) => (i === at ? byte ^ (1 << bit) : byte));
        let verified;
        try {
          verified = verifyReceiptBytes(tampered, cluster.config);
        } catch (error) {
          expect(error).toMatchObject({ code: "RECEIPT_INVALID" });
          return;
        }
        expect(verified).toMatchObject({ seq: honest.seq, block: honest.block, client: honest.client, signers: honest.signers });
        expect(verified.operation).toEqual({ operation: `b${verified.rid - 1}` });
      }),
      { numRuns: 400 },
    );
  });

  it("bytes cut short, made longer, or of nothing", () => {
    for (const wrong of [bytes.slice(0, -1), bytes.slice(0, 100), Uint8Array.of(...bytes, 0), new Uint8Array(), new Uint8Array(5_000)]) {
      expect(failedCheck(() => verifyReceiptBytes(wrong, cluster.config))).toBe("encoding");
    }
  });

  it("decoded fields beside signed bytes are not believed", () => {
    const lying = receipt.outcomes.map((outcome) => ({ ...outcome, body: { ...outcome.body, block: NULL_DIGEST, sender: replicaId(3) } }));
    expect(verifyReceipt({ ...receipt, outcomes: lying }, cluster.config).signers).toEqual([0, 1]);
  });
});

describe("a receipt of another cluster", () => {
  it("does not verify: names, keys and parameters are all part of what was signed", () => {
    const configs = [
      { ...cluster.config, name: "another" },
      { ...cluster.config, genesis: { rich: "mallory" } },
      { ...cluster.config, parameters: { ...cluster.config.parameters, checkpointInterval: 64 } },
    ];
    for (const config of configs) expect(failedCheck(() => verifyReceiptBytes(bytes, config))).toBe("client-signature");
    expect(failedCheck(() => verifyReceiptBytes(bytes, { ...cluster.config, epoch: epoch(1) }))).toBe("encoding");
  });

  it("is not an excuse for a wrong cluster file", () => {
    expect(() => verifyReceiptBytes(bytes, { ...cluster.config, f: 7 })).toThrow(expect.objectContaining({ code: "CONFIG_INVALID" }));
  });

  it("with listed clients needs a listed one", async () => {
    const listed = { clients: "listed" as const, clientKeys: [toHex(keyOf("client").publicKey)] };
    const { client, cluster: own } = await open(listed);
    const submitted = await client.submit(1);
    expect(verifyReceipt(submitted.receipt, own.config).rid).toBe(1);
    // The same bytes under a cluster file that lists somebody else.
    const others = clusterConfig({ clients: "listed", clientKeys: [toHex(keyOf("other").publicKey)] });
    expect(failedCheck(() => verifyReceipt(submitted.receipt, others))).toBe("client-listed");
  });
});

describe("an operation that is no msgpack", () => {
  it("is ordered and refused, and its receipt cannot show it", () => {
    const own = new FakeCluster();
    const bundle = own.codec.makeBundle({ key: keyOf("client"), session: 0, ridFirst: 1 as never, ackLow: 0, operations: [{ kind: "apply", payload: Uint8Array.of(0xc1) }] });
    own.order([bundle]);
    const reply = own.reply(replicaId(0), bundle);
    const made: Receipt = { ...reply, version: 1, outcomes: [0, 1].map((replica) => own.outcome(replica, reply.header)), bundle: bundle.bytes, operation: 0 };
    expect(failedCheck(() => verifyReceipt(made, own.config))).toBe("operation-encoding");
  });
});
