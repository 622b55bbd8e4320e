/** Fake cryptography keeps the one promise that matters: nobody signs for a key it was not given. */
import { describe, expect, test } from "vitest";
import { type Checkpoint, epoch, type PeerMessage, replicaId, requestId, seqNum, type Signed, view, type Votes } from "@narses/core";
import { hashText } from "../src/hash.ts";
import { createKeyring } from "../src/keyring.ts";

const ring = createKeyring("test", 4);
const body: Checkpoint = { type: "checkpoint", epoch: epoch(0), sender: replicaId(1), seq: seqNum(10), root: hashText("root") };
const signed = ring.signer(replicaId(1)).sign(body);
const codeOf = (message: PeerMessage): string | undefined => ring.toolkit.verifyPeer(message)?.code;

describe("keyring", () => {
  test("what a key signed verifies; the same bytes on another body do not", () => {
    expect(ring.toolkit.verifySigned(signed)).toBe(true);
    expect(ring.toolkit.verifySigned({ body: { ...body, seq: seqNum(20) }, bytes: signed.bytes })).toBe(false);
    expect(ring.toolkit.verifySigned({ body: { ...body, sender: replicaId(2) }, bytes: signed.bytes })).toBe(false);
    expect(ring.toolkit.verifySigned({ body, bytes: new Uint8Array(32) })).toBe(false);
  });

  test("a copy of the same envelope verifies: bytes count, not objects", () => {
    expect(ring.toolkit.verifySigned({ body: { ...body }, bytes: signed.bytes.slice() })).toBe(true);
  });

  test("a signer signs for its own id only", () => {
    expect(() => ring.signer(replicaId(1)).sign({ ...body, sender: replicaId(2) })).toThrow(/cannot sign for replica 2/);
  });

  test("clusters do not share signatures", () => {
    const other = createKeyring("other", 4);
    expect(other.toolkit.verifySigned(signed)).toBe(false);
    expect(other.signer(replicaId(1)).sign({ ...body }).bytes).not.toEqual(signed.bytes);
  });

  test("signing is deterministic", () => {
    expect(ring.signer(replicaId(1)).sign({ ...body }).bytes).toEqual(signed.bytes);
  });
});

describe("verifier", () => {
  const bundle = ring.client(0).makeBundle({ ridFirst: requestId(1), ackLow: 0, operations: [{ kind: "apply", payload: Uint8Array.of(1) }] });
  const batch = ring.toolkit.tools.makeBatch(epoch(0), 5, [bundle]);
  const prePrepare = ring.signer(replicaId(0)).sign({ type: "pre-prepare", epoch: epoch(0), sender: replicaId(0), view: view(0), seq: seqNum(1), digest: batch.digest });
  const frame: Signed<Votes> = ring.signer(replicaId(1)).sign({
    type: "votes", epoch: epoch(0), sender: replicaId(1), votes: [{ phase: "commit", view: view(0), seq: seqNum(1), digest: batch.digest }],
  });

  test("a pre-prepare needs its own payload and its clients' signatures", () => {
    expect(codeOf({ type: "pre-prepare", signed: prePrepare, batch })).toBeUndefined();
    expect(codeOf({ type: "pre-prepare", signed: prePrepare, batch: { ...batch, timestampMs: 6 } })).toBe("DIGEST_MISMATCH");
    const forged = ring.toolkit.tools.makeBatch(epoch(0), 5, [{ ...bundle, ridFirst: requestId(2) }]);
    const named = ring.signer(replicaId(0)).sign({ ...prePrepare.body, digest: forged.digest });
    expect(codeOf({ type: "pre-prepare", signed: named, batch: forged })).toBe("REQUEST_INVALID");
  });

  test("nested signatures are checked: a decision with a forged commit, a proof with a forged checkpoint", () => {
    const certificate = { view: view(0), seq: seqNum(1), digest: batch.digest, commits: [{ frame, index: 0 }] };
    expect(codeOf({ type: "decision", certificate, batch })).toBeUndefined();
    expect(codeOf({ type: "decision", certificate, batch: undefined })).toBe("DIGEST_MISMATCH");
    const forged = { frame: { body: frame.body, bytes: new Uint8Array(32) }, index: 0 };
    expect(codeOf({ type: "decision", certificate: { ...certificate, commits: [forged] }, batch })).toBe("SIGNATURE_INVALID");
    expect(codeOf({ type: "stable", stable: { seq: body.seq, root: body.root, proof: [{ body: { ...body, sender: replicaId(3) }, bytes: signed.bytes }] } })).toBe("SIGNATURE_INVALID");
  });

  test("an empty vote frame is malformed", () => {
    const empty = ring.signer(replicaId(1)).sign<Votes>({ ...frame.body, votes: [] });
    expect(codeOf({ type: "votes", signed: empty })).toBe("FRAME_MALFORMED");
  });
});
