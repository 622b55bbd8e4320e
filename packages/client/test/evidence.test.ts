/** Evidence: what accuses is believed from the accused's own signatures alone; anything edited or spliced blames nobody (row 49). */
import type { epoch} from "@narses/core";
import {
  digest, replicaId, requestId, seqNum, view, NULL_DIGEST,
  type Batch, type Digest, type Evidence, type PreparedCertificate, type Signed, type SignedBody, type StableCheckpoint, type ViewChange, type Vote,
} from "@narses/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { verifyEvidence } from "../src/evidence.ts";
import { FakeCluster, keyOf } from "./support/fake-cluster.ts";

const cluster = new FakeCluster();
const [A, B] = [digest("aa".repeat(32)), digest("bb".repeat(32))];

const author = (sender: number): { epoch: ReturnType<typeof epoch>; sender: ReturnType<typeof replicaId> } => ({ epoch: cluster.config.epoch, sender: replicaId(sender) });
const vote = (what: Partial<Vote> = {}): Vote => ({ phase: "prepare", view: view(0), seq: seqNum(7), digest: A, ...what });
const votes = (sender: number, list: readonly Vote[], own = cluster): Signed<SignedBody> => own.sign(sender, { type: "votes", ...author(sender), votes: list });
const prePrepare = (sender: number, what: { seq?: number; digest?: Digest; inView?: number } = {}) =>
  cluster.sign(sender, { type: "pre-prepare", ...author(sender), view: view(what.inView ?? 0), seq: seqNum(what.seq ?? 7), digest: what.digest ?? A });
const checkpoint = (sender: number, seq: number, root: Digest) => cluster.sign(sender, { type: "checkpoint", ...author(sender), seq: seqNum(seq), root });
const outcome = (sender: number, seq: number, block: Digest) => cluster.sign(sender, { type: "outcome", ...author(sender), seq: seqNum(seq), block });
const genesis: StableCheckpoint = { seq: seqNum(0), root: NULL_DIGEST, proof: [] };
const prepared = (senders: readonly number[] = [1, 2], what: Partial<Vote> = {}): PreparedCertificate => ({
  prePrepare: prePrepare(0),
  prepares: senders.map((sender) => ({ frame: cluster.sign(sender, { type: "votes", ...author(sender), votes: [vote(what)] }), index: 0 })),
});
const viewChange = (sender: number, parts: Partial<Pick<ViewChange, "stable" | "prepared" | "view">> = {}) =>
  cluster.sign(sender, { type: "view-change", ...author(sender), view: parts.view ?? view(1), stable: parts.stable ?? genesis, prepared: parts.prepared ?? [] });
const newView = (sender: number, viewChanges: readonly Signed<ViewChange>[]) =>
  cluster.sign(sender, { type: "new-view", ...author(sender), view: view(1), viewChanges, prePrepares: [] });

const bytesOf = (evidence: Evidence): Uint8Array => cluster.codec.encodeEvidence(evidence).slice();
const pair = (first: Signed<SignedBody>, second: Signed<SignedBody>): Uint8Array => bytesOf({ type: "pair", first, second });
const verdict = (bytes: Uint8Array, own = cluster): unknown => {
  try {
    const { accused, offence, what } = verifyEvidence(bytes, own.config);
    return [accused, offence, what];
  } catch (error) {
    return (error as { code?: string }).code;
  }
};

const stable = (seq: number, signers: readonly number[], root = A): StableCheckpoint => ({ seq: seqNum(seq), root, proof: signers.map((sender) => checkpoint(sender, seq, root)) });

function batchWith(forged: boolean): Batch {
  const bundle = cluster.codec.makeBundle({ key: keyOf("client"), session: 0, ridFirst: requestId(1), ackLow: 0, operations: [{ kind: "apply", payload: Uint8Array.of(1) }] });
  const bytes = bundle.bytes.slice();
  if (forged) bytes[bytes.length - 1] = (bytes[bytes.length - 1] ?? 0) ^ 1;
  const decoded = cluster.codec.decodeBundle(bytes);
  if (!decoded.ok) throw new TypeError(decoded.rejection.detail);
  return cluster.codec.makeBatch(cluster.config.epoch, 1_000, [decoded.value]);
}

describe("equivocation is proven by two signatures", () => {
  const proven: Readonly<Record<string, readonly [Uint8Array, readonly [number, string]]>> = {
    "two proposals": [pair(prePrepare(0), prePrepare(0, { digest: B })), [0, "proposed two batches for view 0, slot 7"]],
    "two PREPAREs": [pair(votes(2, [vote()]), votes(2, [vote({ digest: B })])), [2, "cast two prepare votes for view 0, slot 7"]],
    "two COMMITs in frames of many": [
      pair(votes(3, [vote(), vote({ phase: "commit", seq: seqNum(9) })]), votes(3, [vote({ seq: seqNum(8) }), vote({ phase: "commit", seq: seqNum(9), digest: B })])),
      [3, "cast two commit votes for view 0, slot 9"],
    ],
    "two checkpoints": [pair(checkpoint(1, 128, A), checkpoint(1, 128, B)), [1, "vouched for two states after slot 128"]],
    "two outcomes": [pair(outcome(1, 5, A), outcome(1, 5, B)), [1, "vouched for two blocks of slot 5"]],
    "two view-changes": [pair(viewChange(2), viewChange(2, { prepared: [prepared()] })), [2, "signed two view-change messages for view 1"]],
    "two new-views": [pair(newView(1, [viewChange(0)]), newView(1, [viewChange(2)])), [1, "signed two new-view messages for view 1"]],
  };
  it.each(Object.keys(proven))("%s", (name) => {
    const [bytes, [accused, what]] = proven[name] as (typeof proven)[string];
    expect(verdict(bytes)).toEqual([accused, "equivocation", what]);
  });

  it("the file is bound to its cluster: another one believes nothing of it", () => {
    const other = new FakeCluster({ n: 7 });
    expect(verdict(pair(prePrepare(0), prePrepare(0, { digest: B })), other)).toBe("EVIDENCE_INVALID");
  });
});

describe("row 49: framing blames nobody", () => {
  const framing: Readonly<Record<string, () => Uint8Array>> = {
    "one message twice": () => pair(votes(2, [vote()]), votes(2, [vote()])),
    "votes of two replicas": () => pair(votes(2, [vote()]), votes(3, [vote({ digest: B })])),
    "votes for two slots": () => pair(votes(2, [vote()]), votes(2, [vote({ seq: seqNum(8), digest: B })])),
    "votes of two views": () => pair(votes(2, [vote()]), votes(2, [vote({ view: view(4), digest: B })])),
    "votes of two phases": () => pair(votes(2, [vote()]), votes(2, [vote({ phase: "commit", digest: B })])),
    "messages of two kinds": () => pair(prePrepare(0), votes(0, [vote({ digest: B })])),
    "proposals of two views": () => pair(prePrepare(0), prePrepare(0, { digest: B, inView: 4 })),
    "checkpoints of two slots": () => pair(checkpoint(1, 128, A), checkpoint(1, 256, B)),
    "an edited digest": () => {
      const edited = votes(2, [vote()]).bytes.slice();
      edited[edited.length - 80] = (edited[edited.length - 80] ?? 0) ^ 1;
      return pair(votes(2, [vote()]), { ...votes(2, [vote({ digest: B })]), bytes: edited });
    },
    "an edited sender": () => {
      const edited = votes(3, [vote({ digest: B })]).bytes.slice();
      edited[7] = 2;
      return pair(votes(2, [vote()]), { ...votes(2, [vote({ digest: B })]), bytes: edited });
    },
    "a signature of the accuser": () => pair(votes(2, [vote()]), cluster.sign(2, { type: "votes", ...author(2), votes: [vote({ digest: B })] }, cluster.key(1))),
    "votes signed for another cluster": () => pair(votes(2, [vote()]), votes(2, [vote({ digest: B })], new FakeCluster({ n: 7 }))),
    "a valid view-change as a forged one": () => bytesOf({ type: "forged", signed: viewChange(2, { prepared: [prepared()], stable: stable(0, []) }) }),
    "a valid new-view as a forged one": () => bytesOf({ type: "forged", signed: newView(1, [viewChange(0), viewChange(2, { prepared: [prepared()] })]) }),
    "a forged view-change that the accused did not sign": () =>
      bytesOf({ type: "forged", signed: cluster.sign(2, { type: "view-change", ...author(2), view: view(1), stable: genesis, prepared: [prepared([1])] }, cluster.key(1)) }),
    "an honest proposal": () => bytesOf({ type: "batch", signed: prePrepare(0, { digest: batchWith(false).digest }), batch: batchWith(false) }),
    "a forged batch beside another proposal": () => bytesOf({ type: "batch", signed: prePrepare(0), batch: batchWith(true) }),
    "a later view, whose primary may have had to propose it": () => bytesOf({ type: "batch", signed: prePrepare(1, { digest: batchWith(true).digest, inView: 1 }), batch: batchWith(true) }),
    "no evidence at all": () => Uint8Array.of(1, 2, 3),
    "nothing": () => new Uint8Array(0),
    "a message after the end": () => Uint8Array.from([...pair(prePrepare(0), prePrepare(0, { digest: B })), 0]),
  };
  it.each(Object.keys(framing))("%s", (name) => {
    expect(verdict((framing[name] as () => Uint8Array)())).toBe("EVIDENCE_INVALID");
  });

  it("no flipped bit makes a proof against anybody else, or of anything else", () => {
    const good = pair(votes(2, [vote()]), votes(2, [vote({ digest: B })]));
    const before = verdict(good);
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.nat(7), (at, bit) => {
        const bytes = good.slice();
        bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
        expect(["EVIDENCE_INVALID", before]).toContainEqual(verdict(bytes));
        expect(verdict(bytes)).toBe("EVIDENCE_INVALID");
      }),
      { numRuns: 150 },
    );
  });
});

describe("forged certificates are proven by the signature over them", () => {
  const badSignature = (): PreparedCertificate => {
    const good = prepared();
    const bytes = good.prepares[0]?.frame.bytes.slice() ?? new Uint8Array(0);
    bytes[bytes.length - 1] = (bytes[bytes.length - 1] ?? 0) ^ 1;
    const [first, ...rest] = good.prepares;
    return first === undefined ? good : { ...good, prepares: [{ ...first, frame: { ...first.frame, bytes } }, ...rest] };
  };
  const forgeries: Readonly<Record<string, () => Signed<ViewChange>>> = {
    "a vote with a bad signature": () => viewChange(2, { prepared: [badSignature()] }),
    "a vote too few": () => viewChange(2, { prepared: [prepared([1])] }),
    "one voter twice": () => viewChange(2, { prepared: [prepared([1, 1])] }),
    "the primary's own PREPARE": () => viewChange(2, { prepared: [prepared([0, 1])] }),
    "votes for another digest": () => viewChange(2, { prepared: [prepared([1, 2], { digest: B })] }),
    "votes for another slot": () => viewChange(2, { prepared: [prepared([1, 2], { seq: seqNum(8) })] }),
    "COMMITs": () => viewChange(2, { prepared: [prepared([1, 2], { phase: "commit" })] }),
    "a view not below the one it asks for": () => viewChange(2, { view: view(1), prepared: [{ ...prepared(), prePrepare: prePrepare(1, { inView: 1 }) }] }),
    "a proposal of a replica that is not the primary": () => viewChange(2, { prepared: [{ ...prepared(), prePrepare: prePrepare(3) }] }),
    "a checkpoint with too few signers": () => viewChange(2, { stable: stable(128, [1, 2]) }),
    "a checkpoint of another root": () => viewChange(2, { stable: { ...stable(128, [1, 2, 3], B), root: A } }),
  };
  it.each(Object.keys(forgeries))("%s", (name) => {
    const signed = (forgeries[name] as () => Signed<ViewChange>)();
    expect(verdict(bytesOf({ type: "forged", signed }))).toEqual([2, "forged-certificate", expect.stringContaining("signed a view-change for view 1 with a")]);
    expect(verdict(bytesOf({ type: "forged", signed: newView(1, [signed]) }))).toEqual([1, "forged-certificate", expect.stringContaining("that counts a view-change of replica 2")]);
  });

  it("a proposal with a request its client did not sign", () => {
    const batch = batchWith(true);
    expect(verdict(bytesOf({ type: "batch", signed: prePrepare(0, { digest: batch.digest }), batch }))).toEqual([0, "forged-request", expect.stringContaining("did not sign")]);
  });
});
