/** What no correct replica signs: one row per rule and message. */
import {
  FRAME_BYTES_MAX, NULL_DIGEST, replicaId, seqNum, view, type PeerMessage, type PreparedCertificate, type Signed, type SignedBody,
  type StableCheckpoint, type Batch, type Digest,
} from "@narses/core";
import { describe, expect, test } from "vitest";
import { codec, codecOf, EPOCH, PARAMETERS, REPLICAS, sign } from "../support/cluster.ts";
import {
  batch, checkpoint, commitCertificate, emptyBatch, frameA, frameB, frameC, genesis, hash, newView, outcome, patch, prePrepare, reply,
  stable, viewChangeBody, vote, votes,
} from "../support/samples.ts";

type Case = readonly [what: string, frame: Uint8Array, code: string, detail: RegExp];

function check([, frame, code, detail]: Case): void {
  const decoded = codec.decodePeer(frame);
  expect(decoded).toMatchObject({ ok: false, rejection: { code, detail: expect.stringMatching(detail) as string } });
}

const frameOf = <B extends SignedBody>(body: B): Uint8Array => sign(body).bytes;
const ABOVE_2_53 = [0x00, 0x20, 0, 0, 0, 0, 0, 0] as const;
const BODY = 8;

describe("pre-prepare", () => {
  const signed = prePrepare(9, batch.digest);
  const proposal = (s: Signed<SignedBody>): Uint8Array => codec.encodePeer({ type: "pre-prepare", signed: s, batch } as PeerMessage);
  const good = proposal(signed);
  test.each<Case>([
    ["sender n", proposal(sign({ ...signed.body, sender: replicaId(REPLICAS) })), "FRAME_MALFORMED", /pre-prepare sender at byte 12: 4, at most 3/],
    ["view 2^53", patch(good, 6 + BODY, ...ABOVE_2_53), "FRAME_MALFORMED", /pre-prepare view at byte 14: 0020000000000000 hex, at most 2\^53 − 1/],
    ["seq 2^53", patch(good, 6 + BODY + 8, ...ABOVE_2_53), "FRAME_MALFORMED", /pre-prepare seq at byte 22/],
    ["seq 0, which is genesis", proposal(sign({ ...signed.body, seq: seqNum(0) })), "FRAME_MALFORMED", /pre-prepare seq .*: 0, at least 1/],
    ["another batch's digest", proposal(prePrepare(9, hash(0x55))), "BATCH_INVALID", /batch at byte 126: digest [0-9a-f]{64}, certified is 5555/],
    ["the null digest with a batch", proposal(prePrepare(9, NULL_DIGEST)), "BATCH_INVALID", /certified is 0000/],
    ["votes in place of the pre-prepare", patch(good, 7, 2), "FRAME_MALFORMED", /pre-prepare at byte 7: type tag 2, must be 1/],
    ["an inner envelope of another epoch", patch(good, 11, 9), "FRAME_MALFORMED", /epoch 9, this is 7/],
    ["a batch of another epoch", patch(good, 6 + 120 + 5, 9), "BATCH_INVALID", /batch at byte 128: epoch 9, this is 7/],
    ["more bytes than any proposal", new Uint8Array(20_000).fill(32, 1, 2), "FRAME_TOO_LARGE", /20000 bytes, at most \d+/],
  ])("with %s", (...row) => check(row));
});

describe("votes", () => {
  const many = (count: number) => Array.from({ length: count }, (_, i) => vote("prepare", i + 1));
  const good = frameC.bytes;
  test.each<Case>([
    ["no vote", frameOf({ ...frameC.body, votes: [] }), "FRAME_MALFORMED", /votes count at byte 8: 0, at least 1/],
    ["65 votes", frameOf({ ...frameC.body, votes: many(33) }), "FRAME_TOO_LARGE", /votes at byte 0: 1690 bytes, at most 1641/],
    ["a count of 33", patch(good, BODY, 33), "FRAME_TOO_LARGE", /votes count at byte 8: 33, at most 32/],
    ["a count above what is there", patch(good, BODY, 5), "FRAME_MALFORMED", /5 need 245 bytes, 162 left/],
    ["a count below what is there", patch(good, BODY, 1), "FRAME_MALFORMED", /votes at byte 122: 49 bytes after its end/],
    ["phase 0", patch(good, BODY + 1, 0), "FRAME_MALFORMED", /vote phase at byte 9: 0, must be 1 or 2/],
    ["phase 3", patch(good, BODY + 1, 3), "FRAME_MALFORMED", /vote phase/],
    ["view 2^53", patch(good, BODY + 2, ...ABOVE_2_53), "FRAME_MALFORMED", /vote view/],
    ["seq 2^53", patch(good, BODY + 10, ...ABOVE_2_53), "FRAME_MALFORMED", /vote seq/],
    ["seq 0", frameOf({ ...frameC.body, votes: [vote("prepare", 0)] }), "FRAME_MALFORMED", /vote seq .*: 0, at least 1/],
    ["sender n", frameOf({ ...frameC.body, sender: replicaId(4) }), "FRAME_MALFORMED", /votes sender at byte 6: 4, at most 3/],
    ["sender 255", patch(good, 6, 0, 255), "FRAME_MALFORMED", /votes sender/],
  ])("with %s", (...row) => check(row));

  test("with 32 votes are accepted, and are the largest frame", () => {
    const frame = frameOf({ ...frameC.body, votes: many(32) });
    expect(frame).toHaveLength(1_641);
    expect(codec.decodePeer(frame)).toMatchObject({ ok: true });
  });
});

describe("checkpoint and stable", () => {
  const stableFrame = (s: StableCheckpoint): Uint8Array => codec.encodePeer({ type: "stable", stable: s });
  const five = [0, 1, 2, 3, 0].map(checkpoint);
  test.each<Case>([
    ["sender n", frameOf({ ...checkpoint(0).body, sender: replicaId(4) }), "FRAME_MALFORMED", /checkpoint sender/],
    ["seq 0", frameOf({ ...checkpoint(0).body, seq: seqNum(0) }), "FRAME_MALFORMED", /checkpoint seq/],
    ["seq 2^53", patch(checkpoint(0).bytes, BODY, ...ABOVE_2_53), "FRAME_MALFORMED", /checkpoint seq/],
    ["more proof than replicas", stableFrame({ ...stable, proof: five }), "FRAME_TOO_LARGE", /stable at byte 0: 608 bytes, at most 496/],
    ["a proof count above n", patch(stableFrame(stable), 46, 0, 5), "FRAME_TOO_LARGE", /stable proof count at byte 46: 5, at most 4/],
    ["no proof above genesis", stableFrame({ ...stable, proof: [] }), "FRAME_MALFORMED", /stable proof count .*: 0 at seq 8/],
    ["proof at genesis", stableFrame({ ...stable, seq: seqNum(0) }), "FRAME_MALFORMED", /stable proof count .*: 3 at seq 0/],
    ["votes as proof", patch(stableFrame(stable), 49, 2), "FRAME_MALFORMED", /checkpoint at byte 49: type tag 2, must be 3/],
  ])("with %s", (...row) => check(row));

  test("of genesis is accepted", () => {
    expect(codec.decodePeer(stableFrame(genesis))).toMatchObject({ ok: true });
  });
});

describe("view-change", () => {
  const good = viewChangeBody(1);
  const [p9, p10] = good.prepared as [PreparedCertificate, PreparedCertificate];
  const withPrepared = (...prepared: PreparedCertificate[]): Uint8Array => frameOf({ ...good, prepared });
  const many = Array.from({ length: PARAMETERS.logWindow + 1 }, (_, i) => ({ prePrepare: prePrepare(i + 9), prepares: [] }));
  test.each<Case>([
    ["sender n", frameOf({ ...good, sender: replicaId(4) }), "FRAME_MALFORMED", /view-change sender/],
    ["view 0", frameOf({ ...good, view: view(0) }), "FRAME_MALFORMED", /view-change view .*: 0, at least 1/],
    ["certificates out of order", withPrepared(p10, p9), "FRAME_MALFORMED", /prepared seq .*: 9 after 10, must ascend/],
    ["two certificates for one seq", withPrepared(p9, p9), "FRAME_MALFORMED", /prepared seq .*: 9 after 9/],
    ["more certificates than L", withPrepared(...many), "FRAME_TOO_LARGE", /prepared count .*: 17, at most 16/],
    ["a vote index the frame does not have", withPrepared({ ...p9, prepares: [{ frame: frameA, index: 1 }] }), "FRAME_MALFORMED", /vote reference index .*: 1, the frame has 1 votes/],
    ["more votes than replicas", withPrepared({ ...p9, prepares: [0, 0, 0, 0, 0].map((index) => ({ frame: frameA, index })) }), "FRAME_TOO_LARGE", /certificate votes count .*: 5, at most 4/],
    ["a stable checkpoint without proof", frameOf({ ...good, stable: { ...stable, proof: [] } }), "FRAME_MALFORMED", /stable proof count/],
  ])("with %s", (...row) => check(row));

  test("of the largest size is accepted, is as large as the formula says, and one byte more is not", () => {
    const parameters = { ...PARAMETERS, checkpointInterval: 1, logWindow: 2, pipelineDepth: 1 };
    const small = codecOf(2, parameters);
    const full = (sender: number, first: number) =>
      sign({ type: "votes" as const, epoch: EPOCH, sender: replicaId(sender), votes: Array.from({ length: 32 }, (_, i) => vote("prepare", first + i)) }, small);
    const pp = (seq: number) => sign({ ...prePrepare(seq).body, sender: replicaId(1) }, small);
    const prepared = [9, 10].map((seq) => ({ prePrepare: pp(seq), prepares: [0, 1].map((sender) => ({ frame: full(sender, seq), index: 0 })) }));
    const proof = [0, 1].map((sender) => sign({ ...checkpoint(sender).body }, small));
    const frame = sign({ ...good, sender: replicaId(1), stable: { ...stable, proof }, prepared }, small).bytes;
    const votesMax = 8 + 1 + 32 * 49 + 64;
    const stableMax = 42 + 2 * 112;
    expect(frame).toHaveLength(16 + stableMax + (4 + 2 * 2 * votesMax) + (4 + 2 * (120 + 2 + 2 * 5)) + 64);
    expect(small.decodePeer(frame)).toMatchObject({ ok: true });
    expect(small.decodePeer(patch(new Uint8Array(frame.length + 1), 0, 1, 4))).toMatchObject({ ok: false, rejection: { code: "FRAME_TOO_LARGE" } });
  });
});

describe("frame table", () => {
  const body = viewChangeBody(1);
  const frame = sign(body).bytes;
  /** header, view, stable checkpoint of three */
  const table = BODY + 8 + 42 + 3 * 112;
  const [a, b, c] = [frameA, frameB, frameC].map((f) => f.bytes) as [Uint8Array, Uint8Array, Uint8Array];
  const afterTable = table + 4 + a.length + b.length + c.length;
  /** pre-prepared count, first certificate's PRE-PREPARE, its vote count */
  const firstRef = afterTable + 4 + 120 + 2;
  const withTable = (count: number, ...frames: Uint8Array[]): Uint8Array =>
    Uint8Array.from([...frame.subarray(0, table), 0, 0, 0, count, ...frames.flatMap((bytes) => [...bytes]), ...frame.subarray(afterTable)]);

  test("is where this test thinks it is, each frame once and in order of first use", () => {
    expect(withTable(3, a, b, c)).toStrictEqual(frame);
    expect(codec.decodePeer(frame)).toMatchObject({ ok: true });
  });

  test.each<Case>([
    ["a frame twice", withTable(4, a, b, c, b), "FRAME_MALFORMED", /frame table .*: frame 3 is there twice/],
    ["a frame that nobody uses", withTable(4, a, b, c, votes(3, [vote("prepare", 9)]).bytes), "FRAME_MALFORMED", /frame 3 of 4 is used by no certificate/],
    ["frames in another order", patch(frame, firstRef, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0), "FRAME_MALFORMED", /vote reference frame .*: 1 before 0: frames are numbered/],
    ["a reference beyond it", patch(frame, firstRef + 5, 0, 0, 0, 3), "FRAME_MALFORMED", /vote reference frame .*: 3, the table has 3/],
    ["a reference of 2^32 − 1", patch(frame, firstRef + 5, 255, 255, 255, 255), "FRAME_MALFORMED", /vote reference frame/],
    ["a count of 2^32 − 1", patch(frame, table, 255, 255, 255, 255), "FRAME_TOO_LARGE", /frame table count .*: 4294967295, at most 64/],
    ["more frames than bytes", patch(frame, table, 0, 0, 0, 64), "FRAME_MALFORMED", /frame table count .*: 64 need 7808 bytes/],
    ["a malformed frame", patch(frame, table + 4 + 8, 0), "FRAME_MALFORMED", /votes count .*: 0, at least 1/],
    ["a frame of a sender outside", patch(frame, table + 4 + 7, 4), "FRAME_MALFORMED", /votes sender/],
  ])("with %s", (...row) => check(row));

  test("holds a frame once that two objects carry, and gives back one object", () => {
    const copy = { body: frameB.body, bytes: frameB.bytes.slice() };
    const [p9, p10] = body.prepared as [PreparedCertificate, PreparedCertificate];
    const mixed = { ...body, prepared: [p9, { ...p10, prepares: [{ frame: copy, index: 1 }, ...p10.prepares.slice(1)] }] };
    expect(sign(mixed).bytes).toStrictEqual(frame);
    const decoded = codec.decodePeer(newView.bytes);
    if (!decoded.ok || decoded.value.type !== "new-view") throw new TypeError("not accepted");
    const seen = decoded.value.signed.body.viewChanges.flatMap((vc) => vc.body.prepared.flatMap((p) => p.prepares.map((ref) => ref.frame)));
    expect(seen).toHaveLength(12);
    expect(new Set(seen).size).toBe(3);
  });
});

describe("new-view", () => {
  const good = newView.body;
  const [vc0, vc1, vc3] = good.viewChanges as [Signed<typeof good.viewChanges[0]["body"]>, Signed<typeof good.viewChanges[0]["body"]>, Signed<typeof good.viewChanges[0]["body"]>];
  const [pp9, pp10] = good.prePrepares as [typeof good.prePrepares[0], typeof good.prePrepares[0]];
  const many = Array.from({ length: PARAMETERS.logWindow + 1 }, (_, i) => prePrepare(i + 1));
  test.each<Case>([
    ["view 0", frameOf({ ...good, view: view(0) }), "FRAME_MALFORMED", /new-view view/],
    ["view changes out of order", frameOf({ ...good, viewChanges: [vc1, vc0, vc3] }), "FRAME_MALFORMED", /view changes .*: sender 0 after 1, must ascend/],
    ["two view changes of one sender", frameOf({ ...good, viewChanges: [vc0, vc0, vc3] }), "FRAME_MALFORMED", /sender 0 after 0/],
    ["pre-prepares out of order", frameOf({ ...good, prePrepares: [pp10, pp9] }), "FRAME_MALFORMED", /new-view pre-prepares .*: seq 9 after 10/],
    ["two pre-prepares for one seq", frameOf({ ...good, prePrepares: [pp9, pp9] }), "FRAME_MALFORMED", /seq 9 after 9/],
    ["more pre-prepares than L", frameOf({ ...good, prePrepares: many }), "FRAME_TOO_LARGE", /pre-prepares count .*: 17, at most 16/],
    ["a view change count above n", patch(newView.bytes, BODY + 8, 0, 5), "FRAME_TOO_LARGE", /view changes count .*: 5, at most 4/],
    ["a view change of another epoch inside", patch(newView.bytes, BODY + 10 + 5, 9), "FRAME_MALFORMED", /epoch 9, this is 7/],
  ])("with %s", (...row) => check(row));
});

describe("decision", () => {
  const frame = (digest: Digest, b: Batch | undefined): Uint8Array =>
    codec.encodePeer({ type: "decision", certificate: { ...commitCertificate, digest }, batch: b });
  test.each<Case>([
    ["another batch", frame(batch.digest, emptyBatch), "BATCH_INVALID", /digest [0-9a-f]{64}, certified is/],
    ["no batch for a digest", frame(batch.digest, undefined), "BATCH_INVALID", /batch at byte \d+: needs 1 bytes, 0 left/],
    ["a batch for the null digest", frame(NULL_DIGEST, batch), "FRAME_MALFORMED", /decision at byte \d+: \d+ bytes after its end/],
    ["seq 0", codec.encodePeer({ type: "decision", certificate: { ...commitCertificate, seq: seqNum(0) }, batch }), "FRAME_MALFORMED", /commit certificate seq/],
  ])("with %s", (...row) => check(row));

  test("of a null batch is accepted", () => {
    expect(codec.decodePeer(frame(NULL_DIGEST, undefined))).toMatchObject({ ok: true, value: { type: "decision", batch: undefined } });
  });
});

describe("outcome", () => {
  test("is refused inside a reply for its sender, seq and size", () => {
    const frame = (o: Signed<SignedBody>): Uint8Array => codec.encodeToClient({ type: "reply", reply: { ...reply, outcome: o as typeof reply.outcome } });
    const good = outcome(2);
    for (const [bad, detail] of [
      [sign({ ...good.body, sender: replicaId(4) }), /outcome sender/],
      [sign({ ...good.body, seq: seqNum(0) }), /outcome seq/],
      [checkpoint(1), /outcome at byte \d+: type tag 3, must be 6/],
    ] as const) {
      expect(codec.decodeToClient(frame(bad))).toMatchObject({ ok: false, rejection: { code: "FRAME_MALFORMED", detail: expect.stringMatching(detail) as string } });
    }
  });
});

test("an own message that peers would refuse for its size is not made", () => {
  const wide = codecOf(256, { ...PARAMETERS, checkpointInterval: 128, logWindow: 256 });
  const padded = votes(0, Array.from({ length: 32 }, (_, i) => vote("prepare", i + 1)));
  const distinct = (i: number) => ({ body: padded.body, bytes: patch(padded.bytes, padded.bytes.length - 4, i >> 24, i >> 16, i >> 8, i) });
  const prepared = Array.from({ length: 120 }, (_, i) => ({ prePrepare: prePrepare(i + 9), prepares: Array.from({ length: 180 }, (_, j) => ({ frame: distinct(i * 180 + j), index: 0 })) }));
  expect(() => wide.unsigned({ ...viewChangeBody(1), prepared })).toThrow(expect.objectContaining({ code: "FRAME_INVALID", data: { type: "view-change", bytes: expect.any(Number) as number, bytesMax: FRAME_BYTES_MAX } }) as Error);
});
