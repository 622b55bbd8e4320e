/** What is encoded comes back, and has one encoding only. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { codec, hasher } from "./support/cluster.ts";
import { rebuildClient, rebuildPeer } from "./support/rebuild.ts";
import { arbBatch, arbBlock, arbBundle, arbClient, arbPeer, arbReceipt, arbRecord, arbState, arbToClient } from "./support/values.ts";
import type { ClientMessage, LogRecord, PeerMessage, ReplicaToClientMessage, StateMessage } from "@narses/core";
import { digestPrefix, encodedResultLeaf, peekReply, resultLeaf, type Decoded } from "../src/index.ts";

const RUNS = { numRuns: 40 };

function accepted<T>(decoded: Decoded<T>): T {
  if (!decoded.ok) throw new TypeError(`refused: ${decoded.rejection.code} ${decoded.rejection.detail}`);
  return decoded.value;
}

describe("peer messages", () => {
  test.each(Object.entries({ ...arbPeer, ...arbState }))("%s round trips", (_type, arb) => {
    fc.assert(
      fc.property(arb as fc.Arbitrary<PeerMessage | StateMessage>, (message) => {
        const frame = codec.encodePeer(message).slice();
        const decoded = accepted(codec.decodePeer(frame));
        expect(decoded).toStrictEqual(message);
        expect(codec.encodePeer(rebuildPeer(decoded))).toStrictEqual(frame);
      }),
      RUNS,
    );
  });
});

describe("client messages", () => {
  test.each(Object.entries(arbClient))("%s round trips", (_type, arb) => {
    fc.assert(
      fc.property(arb as fc.Arbitrary<ClientMessage>, (message) => {
        const frame = codec.encodeClient(message).slice();
        const decoded = accepted(codec.decodeClient(frame));
        expect(decoded).toStrictEqual(message);
        expect(codec.encodeClient(rebuildClient(decoded))).toStrictEqual(frame);
      }),
      RUNS,
    );
  });

  test.each(Object.entries(arbToClient))("%s round trips", (_type, arb) => {
    fc.assert(
      fc.property(arb as fc.Arbitrary<ReplicaToClientMessage>, (message) => {
        const frame = codec.encodeToClient(message);
        const decoded = accepted(codec.decodeToClient(frame));
        if (message.type === "reply" && decoded.type === "reply") {
          // What the results were made from comes with them.
          const { resultsBytes, ...read } = decoded.reply;
          expect(read).toStrictEqual(message.reply);
          expect(encodedResultLeaf(hasher, read.bundleDigest, resultsBytes ?? new Uint8Array(0))).toEqual(resultLeaf(hasher, read.bundleDigest, read.results));
        } else expect(decoded).toStrictEqual(message);
        expect(codec.encodeToClient(decoded)).toStrictEqual(frame);
        const { reply } = message.type === "reply" ? message : { reply: undefined };
        expect(peekReply(frame)).toEqual(reply === undefined ? undefined : { prefix: digestPrefix(reply.bundleDigest), view: reply.view });
      }),
      RUNS,
    );
  });
});

describe("stored values", () => {
  test.each(Object.entries(arbRecord))("record %s round trips", (_type, arb) => {
    fc.assert(
      fc.property(arb as fc.Arbitrary<LogRecord>, (record) => {
        const bytes = codec.encodeRecord(record);
        const decoded = codec.decodeRecord(bytes);
        expect(decoded).toStrictEqual(record);
        expect(codec.encodeRecord(decoded)).toStrictEqual(bytes);
      }),
      RUNS,
    );
  });

  test("blocks round trip", () => {
    fc.assert(
      fc.property(arbBlock, (block) => {
        const bytes = codec.encodeBlock(block);
        const decoded = codec.decodeBlock(bytes);
        expect(decoded).toStrictEqual(block);
        expect(codec.encodeBlock(decoded)).toStrictEqual(bytes);
      }),
      RUNS,
    );
  });

  test("receipts round trip", () => {
    fc.assert(
      fc.property(arbReceipt, (receipt) => {
        const bytes = codec.encodeReceipt(receipt);
        const decoded = accepted(codec.decodeReceipt(bytes));
        expect(decoded).toStrictEqual(receipt);
        expect(codec.encodeReceipt(decoded)).toStrictEqual(bytes);
      }),
      RUNS,
    );
  });
});

describe("bundles and batches", () => {
  test("round trip by themselves", () => {
    fc.assert(fc.property(arbBundle, (bundle) => void expect(accepted(codec.decodeBundle(bundle.bytes))).toStrictEqual(bundle)), RUNS);
    fc.assert(fc.property(arbBatch, (batch) => void expect(accepted(codec.decodeBatch(batch.bytes))).toStrictEqual(batch)), RUNS);
  });

  test("decoded payloads are views of the frame, in plain Uint8Arrays even when the frame is a Buffer", () => {
    const [bundle] = fc.sample(arbBundle, { numRuns: 1, seed: 1 });
    const frame = Buffer.from(bundle?.bytes ?? []);
    const decoded = accepted(codec.decodeBundle(frame));
    expect(decoded.bytes.constructor).toBe(Uint8Array);
    for (const { payload } of decoded.operations) {
      expect(payload.constructor).toBe(Uint8Array);
      expect(payload.buffer).toBe(frame.buffer);
    }
  });

  test("the pre-prepare of a proposal is a copy: a certificate that keeps it does not keep the batch", () => {
    const [message] = fc.sample(arbPeer["pre-prepare"], { numRuns: 1, seed: 1 });
    if (message === undefined) throw new TypeError("one proposal expected");
    const frame = codec.encodePeer(message);
    const decoded = accepted(codec.decodePeer(frame));
    if (decoded.type !== "pre-prepare") throw new TypeError(decoded.type);
    expect(decoded.signed.bytes.buffer.byteLength).toBe(message.signed.bytes.length);
    expect(decoded.batch.bytes.buffer).toBe(frame.buffer);
  });
});
