/** What no correct replica or client sends, in the frames without a replica's signature: one row per rule. */
import { FRAME_BYTES_MAX, requestId, seqNum, view, type Bundle, type Checkpoint, type Digest, type Signed, type StateProof } from "@narses/core";
import { describe, expect, test } from "vitest";
import type { Decoded } from "../../src/index.ts";
import { codec, codecOf, EPOCH, fakeKey, PARAMETERS } from "../support/cluster.ts";
import { batch, block, bundle, emptyBatch, evidence, frames, genesis, hash, header, newView, patch, prePrepare, receipt, reply, stateReceipt } from "../support/samples.ts";
import { join } from "../support/mutate.ts";

type Case = readonly [what: string, frame: Uint8Array, code: string, detail: RegExp];
const MAX = Number.MAX_SAFE_INTEGER;
const ABOVE_2_53 = [0x00, 0x20, 0, 0, 0, 0, 0, 0] as const;

const check =
  (decode: (bytes: Uint8Array) => Decoded<unknown>) =>
  (...[, frame, code, detail]: Case): void => {
    expect(decode(frame)).toMatchObject({ ok: false, rejection: { code, detail: expect.stringMatching(detail) as string } });
  };
const sample = (name: string): Uint8Array => frames.find((f) => f.name === name)?.bytes ?? new Uint8Array();

describe("status", () => {
  const good = { view: view(4), active: false, stableSeq: seqNum(8), executedSeq: seqNum(9), slots: Uint8Array.of(7), viewChanges: Uint8Array.of(1) };
  const frame = (change: Partial<typeof good>): Uint8Array => codec.encodePeer({ type: "status", status: { ...good, ...change } });
  test.each<Case>([
    ["a view of 2^53", patch(frame({}), 6, ...ABOVE_2_53), "FRAME_MALFORMED", /status view/],
    ["a stable seq of 2^53", patch(frame({}), 15, ...ABOVE_2_53), "FRAME_MALFORMED", /status stableSeq/],
    ["an executed seq of 2^53", patch(frame({}), 23, ...ABOVE_2_53), "FRAME_MALFORMED", /status executedSeq/],
    ["active 2", patch(frame({}), 14, 2), "FRAME_MALFORMED", /status active at byte 14: 2, must be 0 or 1/],
    ["slot bits above 7", frame({ slots: Uint8Array.of(7, 8) }), "FRAME_MALFORMED", /status slots .*: 8, at most 7/],
    ["513 slots", frame({ slots: new Uint8Array(513), viewChanges: new Uint8Array() }), "FRAME_TOO_LARGE", /status slots count .*: 513, at most 512/],
    ["a bit for replica n", frame({ viewChanges: Uint8Array.of(0b1_0000) }), "FRAME_MALFORMED", /status view changes .*: has a bit above replica 3/],
    ["two bytes of view changes for four replicas", frame({ viewChanges: Uint8Array.of(1, 0) }), "FRAME_MALFORMED", /view changes count .*: 2 bytes, must be 0 or 1/],
  ])("with %s", check(codec.decodePeer));

  test("covers 8 and 9 replicas in one and two bytes", () => {
    const status = (replicas: number, ...bits: number[]) => {
      const other = codecOf(replicas);
      return other.decodePeer(other.encodePeer({ type: "status", status: { ...good, viewChanges: Uint8Array.from(bits) } })).ok;
    };
    expect(status(8, 0xff)).toBe(true);
    expect(status(9, 0xff, 0x01)).toBe(true);
    expect(status(9, 0xff, 0x02)).toBe(false);
    expect(status(9, 0xff)).toBe(false);
    expect(status(1, 0x01)).toBe(true);
    expect(status(1, 0x02)).toBe(false);
  });
});

describe("compact pre-prepare and fetch-bundles", () => {
  /** header 6, envelope 120, timestamp, count, two lengths, then a digest and a bundle of 142 bytes. */
  const compact = sample("compact-pre-prepare");
  const [TIME, COUNT, LENGTHS, DIGEST] = [126, 134, 136, 144];
  const of = (bundles: readonly (Bundle | Digest)[], d = batch.digest): Uint8Array =>
    codec.encodePeer({ type: "compact-pre-prepare", signed: prePrepare(9, d), timestampMs: batch.timestampMs, bundles });
  const many = (count: number): readonly Digest[] => Array.from({ length: count }, (_, i) => hash(i));
  const ask = (bundles: readonly Digest[]): Uint8Array => codec.encodePeer({ type: "fetch-bundles", seq: seqNum(9), digest: batch.digest, bundles });
  test.each<Case>([
    ["a timestamp of 2^53", patch(compact, TIME, ...ABOVE_2_53), "FRAME_MALFORMED", /compact pre-prepare timestamp/],
    ["another timestamp", patch(compact, TIME + 7, 9), "BATCH_INVALID", /its bundles make [0-9a-f]+, signed is/],
    ["another digest", patch(compact, DIGEST, 9), "BATCH_INVALID", /its bundles make/],
    ["another bundle", of([bundle(1).digest, bundle(3)]), "BATCH_INVALID", /its bundles make/],
    ["bundles in another order", of([bundle(2), bundle(1).digest]), "BATCH_INVALID", /its bundles make/],
    ["nothing left out", of([bundle(1), bundle(2)]), "FRAME_MALFORMED", /all above 0, so nothing is left out/],
    ["no bundle", of([], emptyBatch.digest), "FRAME_MALFORMED", /all above 0/],
    ["more bundles than bytes", patch(compact, COUNT, 0, 9), "FRAME_MALFORMED", /bundles count .*: 9 need 324 bytes/],
    ["more bundles than a batch has operations", of(many(49)), "FRAME_TOO_LARGE", /bundles count .*: 49, at most 48/],
    ["more named bundles than fit a batch", of(many(41)), "FRAME_MALFORMED", /bundle lengths .*: sum 8241, at most batchBytesMax 8192/],
    ["more operations than a batch may have", of([hash(1), ...Array.from({ length: 24 }, () => bundle(1))]), "FRAME_MALFORMED", /operations .*: at least 49, at most batchOperationsMax 48/],
    ["a length of 4 GiB", patch(compact, LENGTHS + 4, 255, 255, 255, 255), "FRAME_MALFORMED", /bundle lengths .*: sum/],
    ["a byte after its end", join(compact, Uint8Array.of(0)), "FRAME_MALFORMED", /1 bytes after its end/],
    ["a fetch for slot 0", patch(ask([hash(1)]), 6, 0, 0, 0, 0, 0, 0, 0, 0), "FRAME_MALFORMED", /fetch-bundles seq .*: 0, at least 1/],
    ["a fetch for nothing", ask([]), "FRAME_MALFORMED", /fetch-bundles count .*: 0, at least 1/],
    ["a fetch for 257 bundles", ask(Array.from({ length: 257 }, () => hash(1))), "FRAME_TOO_LARGE", /fetch-bundles at byte 0/],
    ["a fetch for more bundles than bytes", patch(ask([hash(1)]), 46, 0, 2), "FRAME_MALFORMED", /fetch-bundles count .*: 2 need 64 bytes/],
  ])("with %s", check(codec.decodePeer));

  test("every bundle may be named, and 256 asked for at once", () => {
    expect(codec.decodePeer(of([bundle(1).digest, bundle(2).digest]))).toMatchObject({ ok: true });
    expect(codec.decodePeer(ask(Array.from({ length: 256 }, (_, i) => hash(i))))).toMatchObject({ ok: true });
  });
});

describe("recall and recalled", () => {
  /** header 6, nonce 32, sure, view, seq, then the count of vote frames; at the end the view-change flag and the checkpoint, of 42 bytes at genesis. */
  const answer = sample("recalled");
  const bare = codec.encodePeer({
    type: "recalled", recalled: { nonce: hash(1), sure: true, view: view(4), seq: seqNum(8), votes: [], prePrepares: [], viewChange: undefined, stable: genesis },
  });
  test.each<Case>([
    ["a view of 2^53", patch(sample("recall"), 38, ...ABOVE_2_53), "FRAME_MALFORMED", /recall view/],
    ["sure 2", patch(answer, 38, 2), "FRAME_MALFORMED", /recalled sure .*: 2/],
    ["an answer's view of 2^53", patch(answer, 39, ...ABOVE_2_53), "FRAME_MALFORMED", /recalled view/],
    ["a seq of 2^53", patch(answer, 47, ...ABOVE_2_53), "FRAME_MALFORMED", /recalled seq/],
    ["65 vote frames", patch(answer, 55, 65), "FRAME_TOO_LARGE", /recalled votes count .*: 65, at most 64/],
    ["more vote frames than bytes", patch(bare, 55, 2), "FRAME_MALFORMED", /recalled votes count .*: 2 need/],
    ["view-change 2", patch(bare, bare.length - 43, 2), "FRAME_MALFORMED", /recalled view-change .*: 2/],
    ["a view-change that is not there", patch(bare, bare.length - 43, 1), "FRAME_MALFORMED", /./],
    ["a checkpoint above genesis without proof", patch(bare, bare.length - 35, 8), "FRAME_MALFORMED", /stable proof count .*: 0 at seq 8/],
    ["a proof of more checkpoints than replicas", patch(bare, bare.length - 2, 0, 5), "FRAME_TOO_LARGE", /stable proof count .*: 5, at most 4/],
  ])("with %s", check(codec.decodePeer));
});

describe("bundle", () => {
  const { bytes } = bundle(1);
  const [SESSION, RID, ACK, COUNT, ENTRY] = [38, 46, 54, 62, 64]; // after header 6 and key 32
  const cases: readonly Case[] = [
    ["a session of 2^53", patch(bytes, SESSION, ...ABOVE_2_53), "REQUEST_INVALID", /bundle session at byte 38/],
    ["ridFirst 0", patch(bytes, RID, 0, 0, 0, 0, 0, 0, 0, 0), "REQUEST_INVALID", /bundle ridFirst at byte 46: 0, at least 1/],
    ["ridFirst 2^53", patch(bytes, RID, ...ABOVE_2_53), "REQUEST_INVALID", /bundle ridFirst/],
    ["a last id of 2^53", patch(bytes, RID, 0, 0x1f, 255, 255, 255, 255, 255, 255), "REQUEST_INVALID", /the last id would exceed 2\^53 − 1/],
    ["an ackLow of 2^53", patch(bytes, ACK, ...ABOVE_2_53), "REQUEST_INVALID", /bundle ackLow at byte 54/],
    ["ackLow not below ridFirst", patch(bytes, ACK + 7, 5), "REQUEST_INVALID", /bundle ackLow .*: 5, must be below ridFirst 5/],
    ["no operation", patch(bytes, COUNT, 0, 0), "REQUEST_INVALID", /bundle operations count .*: 0, at least 1/],
    ["more operations than the limit", patch(bytes, COUNT, 0, 17), "REQUEST_INVALID", /bundle operations count .*: 17, at most 16/],
    ["more operations than bytes", join(patch(bytes, COUNT, 0, 16).subarray(0, 80)), "REQUEST_INVALID", /16 need 80 bytes, 16 left/],
    ["kind 0", patch(bytes, ENTRY, 0), "REQUEST_INVALID", /operation kind at byte 64: 0, must be 1 or 2/],
    ["kind 3", patch(bytes, ENTRY + 5, 3), "REQUEST_INVALID", /operation kind at byte 69/],
    ["one that keeps its order before one that does not", patch(bytes, ENTRY, 17), "REQUEST_INVALID", /operation kind at byte 69: \d, must be 17 or 18, as the first one keeps its order/],
    ["a payload of 4 GiB", patch(bytes, ENTRY + 1, 255, 255, 255, 255), "REQUEST_INVALID", /operation payloads .*: needs 4294967296 bytes/],
    ["lengths that leave a byte", patch(bytes, ENTRY + 4, 2), "REQUEST_INVALID", /bundle at byte \d+: 1 bytes after its end/],
    ["another tag", patch(bytes, 1, 17), "BATCH_INVALID", /./],
  ];
  test.each<Case>(cases)("forwarded with %s", check(codec.decodePeer));
  test.each<Case>(cases.filter(([, frame]) => frame[1] === 16))("requested with %s", check(codec.decodeClient));
  test.each<Case>(cases.filter(([, frame]) => frame[1] === 16))("alone with %s", check(codec.decodeBundle));

  test("above bundleBytesMax is refused before it is read", () => {
    const frame = patch(new Uint8Array(PARAMETERS.bundleBytesMax + 1), 0, 1, 16);
    for (const decode of [codec.decodePeer, codec.decodeClient]) expect(decode(frame)).toMatchObject({ ok: false, rejection: { code: "FRAME_TOO_LARGE", detail: /2049 bytes, at most 2048/ } });
    expect(codec.decodeBundle(frame)).toMatchObject({ ok: false, rejection: { code: "REQUEST_INVALID", detail: /2049 bytes, at most 2048/ } });
  });

  test("of exactly bundleBytesMax is accepted, one more is not made", () => {
    const make = (length: number) =>
      codec.makeBundle({ key: fakeKey(1), session: 0, ridFirst: requestId(1), ackLow: 0, operations: [{ kind: "apply", payload: new Uint8Array(length) }] });
    const largest = PARAMETERS.bundleBytesMax - 133;
    expect(codec.decodeBundle(make(largest).bytes)).toMatchObject({ ok: true });
    expect(() => make(largest + 1)).toThrow(expect.objectContaining({ code: "REQUEST_TOO_LARGE", data: { bytes: 2_049, bytesMax: 2_048 } }) as Error);
  });

  test("is not made from ids out of range, of none, or of too many operations", () => {
    const good = { key: fakeKey(1), session: 0, ridFirst: requestId(2), ackLow: 0, operations: [{ kind: "apply" as const, payload: new Uint8Array() }] };
    const rid = (value: number) => value as typeof good.ridFirst;
    for (const bad of [
      { session: -1 }, { session: 0.5 }, { session: 2 ** 53 }, { ridFirst: rid(0) }, { ridFirst: rid(NaN) }, { ridFirst: rid(2 ** 53) }, { ackLow: 2 }, { ackLow: -1 },
      { operations: [] }, { operations: Array.from({ length: 17 }, () => good.operations[0] ?? { kind: "apply" as const, payload: new Uint8Array() }) },
    ]) {
      expect(() => codec.makeBundle({ ...good, ...bad })).toThrow(RangeError);
    }
    expect(codec.makeBundle({ ...good, ridFirst: rid(MAX) }).ridFirst).toBe(MAX);
    expect(() => codec.makeBundle({ ...good, ridFirst: rid(MAX), operations: [...good.operations, ...good.operations] })).toThrow(RangeError);
  });
});

describe("batch", () => {
  const { bytes } = batch;
  /** header 6, timestamp 8, count 2, lengths */
  const [TIME, COUNT, LENGTH] = [6, 14, 16];
  const first = LENGTH + 8;
  const big = (key: number) =>
    codec.makeBundle({ key: fakeKey(key), session: 0, ridFirst: requestId(1), ackLow: 0, operations: [{ kind: "apply", payload: new Uint8Array(1_900) }] });
  const operations = (count: number) => Array.from({ length: count }, () => ({ kind: "apply" as const, payload: new Uint8Array() }));
  const many = (key: number) => codec.makeBundle({ key: fakeKey(key), session: 0, ridFirst: requestId(1), ackLow: 0, operations: operations(16) });
  const of = (...bundles: readonly (typeof batch.bundles)[0][]): Uint8Array => codec.makeBatch(EPOCH, 5, bundles).bytes;
  const rows: readonly Case[] = [
    ["a time of 2^53", patch(bytes, TIME, ...ABOVE_2_53), "BATCH_INVALID", /batch timestamp/],
    ["a count above what is there", patch(bytes, COUNT, 0, 3), "BATCH_INVALID", /./],
    ["a count of 65535", patch(bytes, COUNT, 255, 255), "BATCH_INVALID", /batch bundles count .*: 65535, at most 48/],
    ["a bundle length too long", patch(bytes, LENGTH + 3, 150), "BATCH_INVALID", /./],
    ["a bundle length of 4 GiB", patch(bytes, LENGTH, 255, 255, 255, 255), "BATCH_INVALID", /batch bundle lengths .*at most batchBytesMax 8192/],
    ["a bundle of another epoch", patch(bytes, first + 5, 9), "BATCH_INVALID", /bundle at byte 26: epoch 9, this is 7/],
    ["a malformed bundle", patch(bytes, first + 64, 7), "BATCH_INVALID", /operation kind at byte 88: 7/],
    ["bundles above batchBytesMax", of(big(1), big(2), big(3), big(4), bundle(5)), "BATCH_INVALID", /sum 8274, at most batchBytesMax 8192/],
    ["operations above batchOperationsMax", of(many(1), many(2), many(3), bundle(4)), "BATCH_INVALID", /50, at most batchOperationsMax 48/],
  ];
  test.each<Case>(rows)("with %s", check(codec.decodePeer));
  test.each<Case>(rows)("alone with %s", check(codec.decodeBatch));

  test("of full size is accepted, also empty", () => {
    expect(codec.decodeBatch(of(big(1), big(2), big(3), big(4)))).toMatchObject({ ok: true });
    expect(codec.decodeBatch(of(many(1), many(2), many(3)))).toMatchObject({ ok: true });
    expect(codec.decodeBatch(emptyBatch.bytes)).toMatchObject({ ok: true, value: { bundles: [] } });
  });
});

describe("client frames", () => {
  const call = sample("call");
  test.each<Case>([
    ["a call id of 2^53", patch(call, 6, ...ABOVE_2_53), "FRAME_MALFORMED", /call id/],
    ["an empty method", patch(call, 14, 0), "FRAME_MALFORMED", /call method .*at least one character/],
    ["a method of 65 characters", join(patch(call, 14, 65), new Uint8Array(70).fill(97)), "FRAME_TOO_LARGE", /call method .*: 65, at most 64/],
    ["a method with a space", patch(call, 15, 0x20), "FRAME_MALFORMED", /printable ASCII/],
    ["a method beyond ASCII", patch(call, 15, 0xc3, 0xa4), "FRAME_MALFORMED", /printable ASCII/],
    ["params above bundleBytesMax", join(call, new Uint8Array(2_200)), "FRAME_TOO_LARGE", /call at byte 0: \d+ bytes, at most 2127/],
    ["a vote", frames.find((f) => f.name === "votes")?.bytes ?? call, "FRAME_MALFORMED", /type tag 2 of \d+ bytes is not one from a client/],
    ["nothing", new Uint8Array(), "FRAME_MALFORMED", /type tag 0 of 0 bytes/],
  ])("with %s", check(codec.decodeClient));

  test("a call that no replica would read is not made", () => {
    const encode = (method: string, params: number) => () => codec.encodeClient({ type: "call", id: 1, method, params: new Uint8Array(params) });
    for (const method of ["", "two words", "ä", "m".repeat(65)]) expect(encode(method, 0)).toThrow(RangeError);
    expect(encode("m", PARAMETERS.bundleBytesMax + 100)).toThrow(expect.objectContaining({ code: "REQUEST_TOO_LARGE" }) as Error);
  });
});

describe("replies", () => {
  const frame = (change: Partial<typeof reply>): Uint8Array => codec.encodeToClient({ type: "reply", reply: { ...reply, ...change } });
  const hashes = (count: number) => Array.from({ length: count }, () => new Uint8Array(32));
  /** header 6, client, bundle digest, view, block header 176, outcome 112 */
  const LEAF = 6 + 64 + 8 + 176 + 112;
  /** Nine results of 1 MiB announced. */
  const longResults = (good: Uint8Array, at: number): Uint8Array => join(good.subarray(0, at), Uint8Array.of(0, 9), ...Array.from({ length: 9 }, () => Uint8Array.of(0, 0x10, 0, 0)));
  test.each<Case>([
    ["a tag that no client is sent", patch(frame({}), 1, 2), "FRAME_MALFORMED", /type tag 2 of \d+ bytes is not one for a client/],
    ["more bytes than any frame", patch(new Uint8Array(FRAME_BYTES_MAX + 1), 0, 1, frame({})[1] ?? 0), "FRAME_TOO_LARGE", /reply at byte 0: 33554433 bytes, at most 33554432/],
    ["a view of 2^53", patch(frame({}), 6 + 64, ...ABOVE_2_53), "FRAME_MALFORMED", /reply view at byte 70/],
    ["a header seq of 2^53", patch(frame({}), 6 + 64 + 8, ...ABOVE_2_53), "FRAME_MALFORMED", /header seq at byte 78/],
    ["an outcome seq of 2^53", patch(frame({}), LEAF - 112 + 8, ...ABOVE_2_53), "FRAME_MALFORMED", /outcome seq/],
    ["results above the limit of their sum", longResults(frame({}), LEAF + 9 + 32), "FRAME_TOO_LARGE", /result lengths .*: sum 9437184, at most 8388608/],
    ["a leaf outside the batch", frame({ leafIndex: 2 }), "FRAME_MALFORMED", /leaf count .*: 2 for leaf index 2/],
    ["no leaf at all", frame({ leafIndex: 0, leafCount: 0, path: [] }), "FRAME_MALFORMED", /leaf count .*: 0 for leaf index 0/],
    ["more leaves than a batch has bundles", frame({ leafCount: 49 }), "FRAME_TOO_LARGE", /leaf count .*: 49, at most 48/],
    ["a path longer than the tree is deep", frame({ path: hashes(2) }), "FRAME_TOO_LARGE", /path count .*: 2, at most 1/],
    ["a path in a tree of one leaf", frame({ leafIndex: 0, leafCount: 1, path: hashes(1) }), "FRAME_TOO_LARGE", /path count .*: 1, at most 0/],
    ["more results than operations fit", frame({ results: Array.from({ length: 17 }, () => new Uint8Array(1)) }), "FRAME_TOO_LARGE", /results count .*: 17, at most 16/],
    ["a result of 4 GiB", patch(frame({}), LEAF + 9 + 32 + 2, 255, 255, 255, 255), "FRAME_TOO_LARGE", /result length .*: 4294967295, at most 1048576/],
    ["a header time of 2^53", patch(frame({}), 6 + 64 + 8 + 40, ...ABOVE_2_53), "FRAME_MALFORMED", /header timestamp/],
    ["ok 2", patch(sample("call-result"), 14, 2), "FRAME_MALFORMED", /call-result ok/],
    ["an executed slot of 0", patch(sample("executed"), 38, 0, 0, 0, 0, 0, 0, 0, 0), "FRAME_MALFORMED", /executed seq/],
    ["an executed slot of 2^53", patch(sample("executed"), 38, ...ABOVE_2_53), "FRAME_MALFORMED", /executed seq/],
    ["an executed notice that ends early", sample("executed").subarray(0, 49), "FRAME_MALFORMED", /executed leaf index/],
    ["a refusal code with a control character", patch(sample("refused"), 39, 7), "FRAME_MALFORMED", /refused code/],
    ["a detail that is not UTF-8", patch(sample("refused"), 49, 0xff), "FRAME_MALFORMED", /refused detail .*is not UTF-8/],
    ["a detail of 1025 bytes", join(sample("refused"), new Uint8Array(1_020).fill(97)), "FRAME_TOO_LARGE", /refused detail .*: 1025, at most 1024/],
  ])("with %s", check(codec.decodeToClient));

  test("a long refusal is cut at a character, not refused", () => {
    const refused = codec.decodeToClient(codec.encodeToClient({ type: "refused", bundleDigest: hash(1), code: "X", detail: "é€𝄞".repeat(200) }));
    if (!refused.ok || refused.value.type !== "refused") throw new TypeError("not accepted");
    expect("é€𝄞".repeat(200).startsWith(refused.value.detail)).toBe(true);
    expect(new TextEncoder().encode(refused.value.detail).length).toBeGreaterThan(1_020);
  });

  test("results above their limits are not sent, and not stored", () => {
    const one = [new Uint8Array((1 << 20) + 1)];
    const sum = Array.from({ length: 9 }, () => new Uint8Array(1 << 20));
    for (const results of [one, sum]) {
      expect(() => codec.encodeToClient({ type: "reply", reply: { ...reply, results } })).toThrow(expect.objectContaining({ code: "REQUEST_TOO_LARGE" }) as Error);
      expect(() => codec.encodeBlock({ ...block, results: [results] })).toThrow(expect.objectContaining({ code: "REQUEST_TOO_LARGE" }) as Error);
    }
  });
});

describe("receipts", () => {
  const frame = (change: Partial<typeof receipt>): Uint8Array => codec.encodeReceipt({ ...receipt, ...change });
  const results = receipt.results;
  test.each<Case>([
    ["more outcomes than replicas", frame({ outcomes: [0, 1, 2, 3, 0].map(() => reply.outcome) }), "FRAME_TOO_LARGE", /receipt outcomes count .*: 5, at most 4/],
    ["an operation without result", frame({ operation: 2 }), "FRAME_MALFORMED", /receipt operation .*: 2, there are 2 results/],
    ["fewer results than operations", frame({ results: results.slice(1), operation: 0 }), "FRAME_MALFORMED", /receipt bundle .*: 2 operations, 1 results/],
    ["a damaged bundle", frame({ bundle: patch(bundle(1).bytes, 64, 9) }), "REQUEST_INVALID", /operation kind/],
    ["a bundle of another epoch", frame({ bundle: patch(bundle(1).bytes, 5, 9) }), "REQUEST_INVALID", /epoch 9/],
  ])("with %s", check(codec.decodeReceipt));
});

describe("evidence", () => {
  const [pair, forged] = evidence.map((e) => codec.encodeEvidence(e).slice()) as [Uint8Array, Uint8Array];
  const u32 = (value: number): number[] => [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
  const first = new DataView(pair.buffer, pair.byteOffset).getUint32(7);
  test.each<Case>([
    ["another version", patch(pair, 0, 2), "FRAME_MALFORMED", /evidence .*version 2, this is 1/],
    ["another tag", patch(pair, 1, 97), "FRAME_MALFORMED", /evidence .*type tag 97, must be 98/],
    ["a kind of nothing", patch(pair, 6, 4), "FRAME_MALFORMED", /evidence kind .*4, must be 1 to 3/],
    ["a message that is not signed", patch(pair, 12, 33), "FRAME_MALFORMED", /evidence .*type tag 33 is no signed message/],
    ["more after a message", patch(pair, 7, ...u32(first + 1)), "FRAME_MALFORMED", /evidence/],
    ["a message longer than the file", patch(pair, 7, ...u32(1 << 20)), "FRAME_MALFORMED", /evidence message .*needs/],
    ["one message for two", pair.subarray(0, 11 + first), "FRAME_MALFORMED", /evidence .*type tag 0 is no signed message/],
    ["votes as certificates", patch(pair, 6, 2).subarray(0, 11 + first), "FRAME_MALFORMED", /evidence .*a votes carries no certificates/],
    ["something beside a forged message", join(forged, Uint8Array.of(1)), "FRAME_MALFORMED", /evidence/],
    ["votes as a proposal", patch(pair, 6, 3), "FRAME_MALFORMED", /evidence .*a votes proposes no batch/],
  ])("with %s", check(codec.decodeEvidence));
});

describe("receipts about state", () => {
  const frame = (change: Partial<typeof stateReceipt>): Uint8Array => codec.encodeStateReceipt({ ...stateReceipt, ...change });
  const proof = (change: Partial<StateProof>): Uint8Array => frame({ proof: { ...stateReceipt.proof, ...change } });
  const good = frame({});
  test.each<Case>([
    ["another version", patch(good, 0, 2), "FRAME_MALFORMED", /state receipt .*version 2, this is 1/],
    ["another tag", patch(good, 1, 97), "FRAME_MALFORMED", /state receipt .*type tag 97/],
    ["another epoch", patch(good, 5, 9), "EPOCH_FOREIGN", /epoch 9/],
    ["more checkpoints than replicas", frame({ checkpoints: [0, 1, 2, 3, 4].map(() => stateReceipt.checkpoints[0] as Signed<Checkpoint>) }), "FRAME_TOO_LARGE", /checkpoints count .*: 5, at most 4/],
    ["more checkpoints than bytes", good.subarray(0, 6 + 176 + 2), "FRAME_MALFORMED", /checkpoints count .*: 2 need/],
    ["an empty key", frame({ key: "" }), "FRAME_MALFORMED", /key .*is empty/],
    ["a key of 511 bytes", frame({ key: "k".repeat(511) }), "FRAME_TOO_LARGE", /key length .*: 511, at most 510/],
    ["a key longer than what is left", good.subarray(0, 6 + 176 + 2 + 2 * 112 + 2), "FRAME_MALFORMED", /key length .*: 9 need/],
    ["a key that is not UTF-8", patch(good, 6 + 176 + 2 + 2 * 112 + 2, 0xff), "FRAME_MALFORMED", /key .*not UTF-8/],
    ["six levels", proof({ siblings: Array.from({ length: 6 }, () => new Uint8Array(0)) }), "FRAME_TOO_LARGE", /levels .*: 6, at most 5/],
    ["more levels than bytes", proof({ siblings: [new Uint8Array(0), new Uint8Array(0)], page: new Uint8Array(0) }).subarray(0, -6), "FRAME_MALFORMED", /levels .*: 2 need/],
    ["a level of 16 hashes", proof({ siblings: [new Uint8Array(512)] }), "FRAME_TOO_LARGE", /level length .*: 512, at most 480/],
    ["a level longer than what is left", proof({ siblings: [new Uint8Array(8)], page: new Uint8Array(0) }).subarray(0, -5), "FRAME_MALFORMED", /level length .*: 8 need/],
    ["a page of 4 GiB", patch(good, good.length - 7, 255, 255, 255, 255), "FRAME_TOO_LARGE", /page length .*: 4294967295, at most/],
    ["a page longer than what is left", good.subarray(0, -1), "FRAME_MALFORMED", /page length .*: 3 need/],
    ["a byte after its end", join(good, Uint8Array.of(0)), "FRAME_MALFORMED", /1 bytes after its end/],
  ])("with %s", check(codec.decodeStateReceipt));
});

describe("stored values", () => {
  test("a block whose batch is not the header's is not made, and not read", () => {
    expect(() => codec.encodeBlock({ ...block, batch: emptyBatch })).toThrow(/block 9 names batch/);
    expect(() => codec.encodeBlock({ ...block, batch: undefined })).toThrow(/holds none/);
    const bytes = codec.encodeBlock(block);
    expect(() => codec.decodeBlock(patch(bytes, bytes.length - 1, 0x5a))).toThrow(expect.objectContaining({ code: "DATA_CORRUPT" }) as Error);
    expect(() => codec.decodeBlock(patch(bytes, 6 + 48, 0x5a))).toThrow(/certified is 5a/);
  });

  const corrupt = (detail: RegExp): Error => expect.objectContaining({ code: "DATA_CORRUPT", message: expect.stringMatching(detail) as string }) as Error;

  test("a record whose batch is not of its digest is not read", () => {
    const record = { type: "pre-prepared" as const, view: view(1), seq: seqNum(1), digest: hash(9), batch };
    expect(() => codec.decodeRecord(codec.encodeRecord(record))).toThrow(corrupt(/certified is 0909/));
  });

  test("a new-view record holds its view changes once: inside the signed message, when they are the same", () => {
    const { viewChanges } = newView.body;
    const record = { type: "new-view" as const, view: view(4), viewChanges, signed: newView };
    const bytes = codec.encodeRecord(record);
    expect(bytes).toHaveLength(6 + 8 + 1 + newView.bytes.length);
    const twice = join(patch(bytes.subarray(0, 15), 14, 2), Uint8Array.of(0, viewChanges.length), ...viewChanges.map((vc) => vc.bytes), newView.bytes);
    expect(() => codec.decodeRecord(twice)).toThrow(corrupt(/the view changes are written twice/));
    expect(() => codec.decodeRecord(patch(bytes, 14, 3))).toThrow(corrupt(/record contents at byte 14: 3, at most 2/));
    const fewer = codec.encodeRecord({ ...record, viewChanges: viewChanges.slice(1) });
    expect(codec.decodeRecord(fewer)).toMatchObject({ viewChanges: viewChanges.slice(1) });
  });
});

describe("encoders", () => {
  test("refuse numbers and digests that no field can hold: such a message must not leave", () => {
    const time = (timestampMs: number) => () => codec.makeBatch(EPOCH, timestampMs, []);
    for (const bad of [-1, 0.5, NaN, Infinity, 2 ** 53]) expect(time(bad)).toThrow(/cannot encode .* as u64/);
    expect(codec.decodeBatch(time(MAX)().bytes)).toMatchObject({ ok: true, value: { timestampMs: MAX } });
    const fetch = (d: string) => () => codec.encodePeer({ type: "fetch-batch", digest: d as Digest });
    for (const bad of ["", "ab", "AB".repeat(32), "g0".repeat(32), "00".repeat(33), "\u01300".repeat(32), `${"00".repeat(31)}0`]) expect(fetch(bad)).toThrow(/cannot encode .* as a digest/);
    expect(fetch("0f".repeat(32))().at(-1)).toBe(15);
    expect(() => codec.encodeBlock({ ...block, header: { ...header, timestampMs: -1 } })).toThrow(/cannot encode/);
  });
});
