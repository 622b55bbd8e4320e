import {
  digest, NULL_DIGEST, replicaId, seqNum, view,
  rejection, type Bundle, type PeerMessage, type PreparedCertificate, type Rejection, type Signed, type SignedBody, type StableCheckpoint, type ViewChange,
} from "@narses/core";
import { hasher, verifyingKey } from "@narses/crypto";
import { describe, expect, test } from "vitest";
import { newCounters, type Counters } from "../src/counters.ts";
import { createVerifier, type Judgement, type Verifier } from "../src/verify.ts";
import { apply, clientKey, testCluster, type TestCluster } from "./support/cluster.ts";

const tools = testCluster(4);
const D = digest("ab".repeat(32));
const ROOT = digest("cd".repeat(32));
const peer = replicaId(2);

function setUp(own: TestCluster = tools, screen: (message: PeerMessage) => Rejection | undefined = () => undefined): { verifier: Verifier; counters: Counters } {
  const counters = newCounters();
  const { cluster, codec, replicaKeys } = own;
  const verifier = createVerifier({
    codec, hasher, counters, replicaKeys, verifyingKey, screen,
    clientKeys: cluster.clients === "listed" ? new Set(cluster.clientKeys) : undefined,
  });
  return { verifier, counters };
}

/** The same statement with a signature that is not one. */
function forge<B extends SignedBody>(signed: Signed<B>): Signed<B> {
  const bytes = signed.bytes.slice();
  bytes[bytes.length - 1] = (bytes[bytes.length - 1] ?? 0) ^ 1;
  return { ...signed, bytes };
}

function forgeBundle(bundle: Bundle): Bundle {
  const bytes = bundle.bytes.slice();
  bytes[bytes.length - 1] = (bytes[bytes.length - 1] ?? 0) ^ 1;
  const decoded = tools.codec.decodeBundle(bytes);
  if (!decoded.ok) throw new TypeError(decoded.rejection.detail);
  return decoded.value;
}

const outcome = (judgement: Judgement): unknown => (judgement.ok ? "ok" : [judgement.rejection.code, judgement.guilty]);

const bundle = tools.bundle([apply(1)]);
const batch = tools.batch([bundle]);
const stable = tools.stable(128, ROOT);
const prepared = tools.prepared(129, D);
const certificate = tools.committed(5, batch.digest);

describe("genuine messages pass", () => {
  const viewChange = tools.viewChange(1, 1, { stable, prepared: [prepared] });
  const newView = tools.sign({
    type: "new-view", epoch: tools.cluster.epoch, sender: replicaId(1), view: view(1),
    viewChanges: [0, 1, 2].map((sender) => tools.viewChange(sender, 1, { stable, prepared: [prepared] })), prePrepares: [tools.prePrepare(129, D, { view: 1 })],
  });
  const messages: readonly PeerMessage[] = [
    { type: "pre-prepare", signed: tools.prePrepare(1, batch.digest), batch },
    { type: "votes", signed: tools.votes(3, [{ phase: "prepare", view: view(0), seq: seqNum(1), digest: D }]) },
    { type: "checkpoint", signed: tools.checkpoint(3, 128, ROOT) },
    { type: "view-change", signed: viewChange },
    { type: "new-view", signed: newView },
    { type: "status", status: { view: view(0), active: true, stableSeq: seqNum(0), executedSeq: seqNum(0), slots: new Uint8Array(0), viewChanges: new Uint8Array(0) } },
    { type: "forward", bundle },
    { type: "fetch-batch", digest: D },
    { type: "batch", batch },
    { type: "decision", certificate, batch },
    { type: "decision", certificate: tools.committed(6, NULL_DIGEST), batch: undefined },
    { type: "stable", stable },
  ];
  test.each(messages.map((message) => [message.type, message] as const))("%s", (_type, message) => {
    expect(outcome(setUp().verifier.message(peer, message))).toBe("ok");
  });
});

describe("a forged signature anywhere fails the message, and blames who brought it", () => {
  const badFrame = (p: PreparedCertificate): PreparedCertificate => ({ ...p, prepares: p.prepares.map((ref, i) => (i === 1 ? { ...ref, frame: forge(ref.frame) } : ref)) });
  const badStable: StableCheckpoint = { ...stable, proof: stable.proof.map((signed, i) => (i === 2 ? forge(signed) : signed)) };
  const vc = (parts: { stable?: StableCheckpoint; prepared?: readonly PreparedCertificate[] }): Signed<ViewChange> => tools.viewChange(1, 1, { stable, prepared: [prepared], ...parts });
  const nv = (viewChanges: readonly Signed<ViewChange>[], prePrepares = [tools.prePrepare(129, D, { view: 1 })]): PeerMessage => ({
    type: "new-view", signed: tools.sign({ type: "new-view", epoch: tools.cluster.epoch, sender: replicaId(1), view: view(1), viewChanges, prePrepares }),
  });
  const good = [0, 1, 2].map((sender) => tools.viewChange(sender, 1, { stable, prepared: [prepared] }));
  const cases: readonly (readonly [string, PeerMessage])[] = [
    ["pre-prepare", { type: "pre-prepare", signed: forge(tools.prePrepare(1, batch.digest)), batch }],
    ["votes", { type: "votes", signed: forge(tools.votes(3, [{ phase: "prepare", view: view(0), seq: seqNum(1), digest: D }])) }],
    ["checkpoint", { type: "checkpoint", signed: forge(tools.checkpoint(3, 128, ROOT)) }],
    ["view-change itself", { type: "view-change", signed: forge(vc({})) }],
    ["view-change: a checkpoint of its proof", { type: "view-change", signed: vc({ stable: badStable }) }],
    ["view-change: the pre-prepare of a certificate", { type: "view-change", signed: vc({ prepared: [{ ...prepared, prePrepare: forge(prepared.prePrepare) }] }) }],
    ["view-change: a vote frame of a certificate", { type: "view-change", signed: vc({ prepared: [badFrame(prepared)] }) }],
    ["new-view: one of its view changes", nv([...good.slice(0, 2), forge(good[2] as Signed<ViewChange>)])],
    ["new-view: a certificate in one of its view changes", nv([...good.slice(0, 2), tools.viewChange(2, 1, { stable, prepared: [badFrame(prepared)] })])],
    ["new-view: one of its pre-prepares", nv(good, [forge(tools.prePrepare(129, D, { view: 1 }))])],
    ["forward", { type: "forward", bundle: forgeBundle(bundle) }],
    ["decision: a vote frame", { type: "decision", certificate: { ...certificate, commits: certificate.commits.map((ref, i) => (i === 0 ? { ...ref, frame: forge(ref.frame) } : ref)) }, batch }],
    ["stable", { type: "stable", stable: badStable }],
  ];
  test.each(cases)("%s", (_what, message) => {
    const { verifier } = setUp();
    expect(outcome(verifier.message(peer, message))).toEqual(["SIGNATURE_INVALID", [2]]);
    expect(outcome(verifier.message(peer, message))).toEqual(["SIGNATURE_INVALID", [2]]);
  });

  test("one replica's signature under another's name", () => {
    const signed = tools.votes(3, [{ phase: "prepare", view: view(0), seq: seqNum(1), digest: D }]);
    const body = { ...signed.body, sender: replicaId(1) };
    const unsigned = tools.codec.unsigned(body);
    const stolen = tools.codec.seal(body, unsigned, tools.codec.signedParts(signed.bytes).signature);
    expect(outcome(setUp().verifier.message(peer, { type: "votes", signed: stolen }))).toEqual(["SIGNATURE_INVALID", [2]]);
  });

  test("a signature of another cluster", () => {
    const elsewhere = testCluster(4, { genesis: "another" });
    const signed = elsewhere.votes(3, [{ phase: "prepare", view: view(0), seq: seqNum(1), digest: D }]);
    expect(outcome(setUp().verifier.message(peer, { type: "votes", signed }))).toEqual(["SIGNATURE_INVALID", [2]]);
  });

  test("a sender that is no replica", () => {
    const signed = tools.votes(3, [{ phase: "prepare", view: view(0), seq: seqNum(1), digest: D }]);
    expect(outcome(setUp().verifier.message(peer, { type: "votes", signed: { ...signed, body: { ...signed.body, sender: replicaId(4) } } }))).toEqual(["SENDER_UNKNOWN", [2]]);
  });
});

describe("batches", () => {
  const bad = forgeBundle(tools.bundle([apply(2)], { key: clientKey("b") }));
  const badBatch = tools.batch([bundle, bad]);

  test("a primary that signed for a batch with a forged request is guilty, and so is who relays it", () => {
    const message: PeerMessage = { type: "pre-prepare", signed: tools.prePrepare(1, badBatch.digest), batch: badBatch };
    expect(outcome(setUp().verifier.message(peer, message))).toEqual(["BATCH_INVALID", [2, 0]]);
    expect(outcome(setUp().verifier.message(replicaId(0), message))).toEqual(["BATCH_INVALID", [0]]);
  });

  test("another batch than the signed one does not taint the signer", () => {
    const message: PeerMessage = { type: "pre-prepare", signed: tools.prePrepare(1, D), batch: badBatch };
    expect(outcome(setUp().verifier.message(peer, message))).toEqual(["DIGEST_MISMATCH", [2]]);
  });

  test("only a primary can make this replica verify a whole batch", () => {
    const { verifier, counters } = setUp();
    const message: PeerMessage = { type: "pre-prepare", signed: tools.prePrepare(1, batch.digest, { view: 0, sender: 3 }), batch };
    expect(outcome(verifier.message(peer, message))).toEqual(["NOT_PRIMARY", [2]]);
    expect(counters.signaturesVerified).toBe(0);
  });

  test("payloads that a certificate names are not judged again", () => {
    const { verifier, counters } = setUp();
    expect(outcome(verifier.message(peer, { type: "batch", batch: badBatch }))).toBe("ok");
    expect(counters.signaturesVerified).toBe(0);
    expect(outcome(verifier.message(peer, { type: "decision", certificate: tools.committed(5, badBatch.digest), batch: badBatch }))).toBe("ok");
    expect(counters.signaturesVerified).toBe(3);
  });

  test("a decision with another payload than the certified one", () => {
    expect(outcome(setUp().verifier.message(peer, { type: "decision", certificate, batch: badBatch }))).toEqual(["DIGEST_MISMATCH", [2]]);
  });

  test("in a listed cluster only listed clients may submit, alone and inside a batch", () => {
    const listed = testCluster(4, { clients: [clientKey("member")] });
    const { verifier } = setUp(listed);
    const stranger = listed.bundle([apply(1)], { key: clientKey("stranger") });
    expect(verifier.bundle(listed.bundle([apply(1)], { key: clientKey("member") })).ok).toBe(true);
    expect(verifier.bundle(stranger)).toMatchObject({ ok: false, rejection: { code: "REQUEST_INVALID" } });
    const strange = listed.batch([stranger]);
    expect(outcome(verifier.message(replicaId(0), { type: "pre-prepare", signed: listed.prePrepare(1, strange.digest), batch: strange }))).toEqual(["BATCH_INVALID", [0]]);
  });

  test("a client key that the signature suite refuses", () => {
    const weak = { ...bundle, publicKey: new Uint8Array(32), digest: D };
    expect(setUp().verifier.bundle(weak)).toMatchObject({ ok: false, rejection: { code: "REQUEST_INVALID" } });
  });
});

describe("each signature is verified once", () => {
  test("the frames of certificates, across messages", () => {
    const { verifier, counters } = setUp();
    for (const { frame } of prepared.prepares) verifier.message(frame.body.sender, { type: "votes", signed: frame });
    verifier.message(replicaId(0), { type: "checkpoint", signed: stable.proof[0] as StableCheckpoint["proof"][number] });
    expect(counters.signaturesVerified).toBe(3);
    const viewChanges = [0, 1, 2].map((sender) => tools.viewChange(sender, 1, { stable, prepared: [prepared] }));
    viewChanges.forEach((signed) => verifier.message(peer, { type: "view-change", signed }));
    // three view changes, one pre-prepare, the other two checkpoints
    expect(counters.signaturesVerified).toBe(3 + 3 + 1 + 2);
    const newView = tools.sign({ type: "new-view", epoch: tools.cluster.epoch, sender: replicaId(1), view: view(1), viewChanges, prePrepares: [tools.prePrepare(129, D, { view: 1 })] });
    verifier.message(peer, { type: "new-view", signed: newView });
    expect(counters.signaturesVerified).toBe(9 + 2);
  });

  test("a client's bundle: at admission, relayed, proposed", () => {
    const { verifier, counters } = setUp();
    expect(verifier.bundle(bundle).ok).toBe(true);
    expect(outcome(verifier.message(peer, { type: "forward", bundle }))).toBe("ok");
    expect(outcome(verifier.message(replicaId(0), { type: "pre-prepare", signed: tools.prePrepare(1, batch.digest), batch }))).toBe("ok");
    expect(counters.signaturesVerified).toBe(2);
    expect(verifier.knows(bundle)).toBe(true);
  });

  test("own envelopes that come back inside certificates", () => {
    const { verifier, counters } = setUp();
    const own = tools.votes(1, [{ phase: "commit", view: view(0), seq: seqNum(5), digest: batch.digest }]);
    verifier.remember(own);
    expect(outcome(verifier.message(peer, { type: "votes", signed: own }))).toBe("ok");
    expect(counters).toMatchObject({ signaturesVerified: 0, signaturesCached: 1 });
  });

  test("what the engine does not want is not verified at all, and blames nobody", () => {
    const unwanted = rejection("SEQ_BELOW_WINDOW", "settled");
    const { verifier, counters } = setUp(tools, (message) => (message.type === "checkpoint" ? unwanted : undefined));
    expect(outcome(verifier.message(peer, { type: "checkpoint", signed: tools.checkpoint(3, 128, ROOT) }))).toEqual(["SEQ_BELOW_WINDOW", []]);
    expect(counters.signaturesVerified).toBe(0);
    const votes = tools.votes(3, [{ phase: "commit", view: view(0), seq: seqNum(128), digest: D }]);
    expect(outcome(verifier.message(peer, { type: "votes", signed: votes }))).toBe("ok");
    expect(counters.signaturesVerified).toBe(1);
  });
});
