/** The oracles can fire: each is fed the shortest story that breaks its property, and a clean one. */
import { describe, expect, test } from "vitest";
import { type CommitCertificate, DEFAULT_PARAMETERS, type Effect, epoch, type EngineStatus, NULL_DIGEST, replicaId, requestId, seqNum, type Signed, view, type Votes } from "@narses/core";
import { execute, GENESIS_STATE } from "../src/app.ts";
import { Coverage } from "../src/coverage/coverage.ts";
import { Disk } from "../src/disk.ts";
import { hashText } from "../src/hash.ts";
import { createKeyring } from "../src/keyring.ts";
import { accusationOracle } from "../src/oracles/accusation.ts";
import { agreementOracle } from "../src/oracles/agreement.ts";
import { boundsOracle } from "../src/oracles/bounds.ts";
import { certificateOracle } from "../src/oracles/certificate.ts";
import { durabilityOracle } from "../src/oracles/durability.ts";
import { executionOracle } from "../src/oracles/execution.ts";
import { linearizabilityOracle } from "../src/oracles/linearizability.ts";
import { linearizabilitySearchOracle, SEARCHED } from "../src/oracles/linearizability-search.ts";
import { nonEquivocationOracle } from "../src/oracles/non-equivocation.ts";
import { stateOracle } from "../src/oracles/state.ts";
import { validityOracle } from "../src/oracles/validity.ts";
import { viewsOracle } from "../src/oracles/views.ts";
import { Violation } from "../src/violation.ts";

const r0 = { id: replicaId(0), name: "r0" };
const r1 = { id: replicaId(1), name: "r1" };
const ring = createKeyring("oracles", 4);
const e = epoch(0);
const [A, B] = [hashText("A"), hashText("B")];

const commits = (digest: string, senders: readonly number[], seq = 1): CommitCertificate["commits"] => senders.map((id) => ({
  index: 0,
  frame: ring.signer(replicaId(id)).sign<Votes>({
    type: "votes", epoch: e, sender: replicaId(id), votes: [{ phase: "commit", view: view(0), seq: seqNum(seq), digest: digest as typeof A }],
  }),
}));
const certificate = (digest: typeof A, senders: readonly number[], seq = 1): CommitCertificate => ({ view: view(0), seq: seqNum(seq), digest, commits: commits(digest, senders, seq) });
const executeEffect = (c: CommitCertificate): Effect => ({ type: "execute", seq: c.seq, batch: undefined, certificate: c, checkpoint: false });
const fires = (what: () => void): string => {
  try {
    what();
  } catch (error) {
    if (error instanceof Violation) return `${error.kind} ${error.oracle}`;
    throw error;
  }
  return "silent";
};

const bundle = ring.client(0).makeBundle({ ridFirst: requestId(1), ackLow: 0, operations: [{ kind: "apply", payload: Uint8Array.of(1) }] });
const batch = ring.toolkit.tools.makeBatch(e, 1, [bundle]);
const blockOf = (): ReturnType<typeof execute> => execute(GENESIS_STATE, seqNum(1), batch, certificate(batch.digest, [0, 1, 2]));

describe("oracles fire", () => {
  test("agreement: two digests at one sequence number, whether executed or only decided", () => {
    const oracle = agreementOracle();
    oracle.onEffect?.(r0, executeEffect(certificate(A, [0, 1, 2])));
    expect(fires(() => oracle.onEffect?.(r1, executeEffect(certificate(A, [1, 2, 3]))))).toBe("silent");
    expect(fires(() => oracle.onEffect?.(r1, { type: "persist", lazy: true, record: { type: "committed", certificate: certificate(B, [1, 2, 3]) } }))).toBe("safety agreement");
  });

  test("validity: an unsubmitted bundle, an answer nobody gave, an order against real time", () => {
    const { block, state } = blockOf();
    expect(fires(() => validityOracle().onExecuted?.(r0, block, state))).toBe("safety validity");
    const oracle = validityOracle();
    oracle.onSubmitted?.(bundle);
    expect(fires(() => oracle.onExecuted?.(r0, block, state))).toBe("silent");
    const answer = { bundle: bundle.digest, ridLast: 1, seq: seqNum(1), block: block.hash, result: "1:1" };
    expect(fires(() => oracle.onAccepted?.(bundle, { ...answer, block: A }))).toBe("safety validity");
    expect(fires(() => oracle.onAccepted?.(bundle, answer))).toBe("silent");
    const later = ring.client(1).makeBundle({ ridFirst: requestId(1), ackLow: 0, operations: [{ kind: "apply", payload: Uint8Array.of(2) }] });
    oracle.onSubmitted?.(later);
    expect(fires(() => oracle.onAccepted?.(later, { ...answer, bundle: later.digest }))).toBe("safety validity");
  });

  test("non-equivocation: two digests for one key, and a vote after leaving the view", () => {
    const oracle = nonEquivocationOracle();
    const frame = (digest: typeof A): Signed<Votes> => ring.signer(r0.id).sign<Votes>({ type: "votes", epoch: e, sender: r0.id, votes: [{ phase: "prepare", view: view(0), seq: seqNum(1), digest }] });
    oracle.onSigned?.(r0, frame(A));
    expect(fires(() => oracle.onSigned?.(r0, frame(A)))).toBe("silent");
    expect(fires(() => oracle.onSigned?.(r0, frame(B)))).toBe("safety non-equivocation");
    const stable = { seq: seqNum(0), root: A, proof: [] };
    oracle.onEffect?.(r0, { type: "view-change", view: view(2), stable, prepared: [] });
    const vote = (v: number): Effect => ({ type: "vote", vote: { phase: "commit", view: view(v), seq: seqNum(1), digest: A } });
    expect(fires(() => oracle.onEffect?.(r0, vote(2)))).toBe("silent");
    expect(fires(() => oracle.onEffect?.(r0, vote(1)))).toBe("safety non-equivocation");
    expect(fires(() => oracle.onEffect?.(r1, vote(1)))).toBe("silent");
  });

  test("durability: a vote before its record, or before its payload", () => {
    const oracle = durabilityOracle();
    const { digest } = batch;
    const vote: Effect = { type: "vote", vote: { phase: "prepare", view: view(0), seq: seqNum(1), digest } };
    const accepted = { type: "pre-prepared", view: view(0), seq: seqNum(1), digest } as const;
    expect(fires(() => oracle.onEffect?.(r0, vote))).toBe("safety durability");
    oracle.onEffect?.(r0, { type: "persist", lazy: false, record: accepted });
    expect(fires(() => oracle.onEffect?.(r0, vote))).toBe("safety durability");
    oracle.onEffect?.(r0, { type: "persist", lazy: false, record: { ...accepted, batch } });
    expect(fires(() => oracle.onEffect?.(r0, vote))).toBe("silent");
    expect(fires(() => oracle.onEffect?.(r0, { ...vote, vote: { phase: "commit", view: view(0), seq: seqNum(1), digest } }))).toBe("safety durability");
    // A restart knows what the disk holds, no more.
    oracle.onStart?.(r0, new Disk());
    expect(fires(() => oracle.onEffect?.(r0, vote))).toBe("safety durability");
  });

  test("execution: a gap, and a request that takes effect twice", () => {
    const oracle = executionOracle();
    const { block, state } = blockOf();
    oracle.onExecuted?.(r0, block, state);
    expect(fires(() => oracle.onExecuted?.(r0, block, state))).toBe("safety execution");
    const again = { ...block, header: { ...block.header, seq: seqNum(2) } };
    expect(fires(() => oracle.onExecuted?.(r0, again, state))).toBe("safety execution");
    expect(fires(() => executionOracle().onExecuted?.(r0, again, state))).toBe("safety execution");
  });

  test("certificate: too few, one counted twice, another slot, a forged vote", () => {
    const oracle = certificateOracle(4, 1, ring.toolkit);
    const judge = (c: CommitCertificate, seq = 1): string => fires(() => oracle.onEffect?.(r0, { ...executeEffect(c), seq: seqNum(seq) } as Effect));
    expect(judge(certificate(A, [0, 1, 2]))).toBe("silent");
    expect(judge(certificate(A, [0, 1]))).toBe("safety certificate");
    expect(judge(certificate(A, [0, 1, 1]))).toBe("safety certificate");
    expect(judge(certificate(A, [0, 1, 2]), 2)).toBe("safety certificate");
    expect(judge({ ...certificate(A, [0, 1, 2]), digest: B })).toBe("safety certificate");
    const good = certificate(A, [0, 1, 2]);
    const forged = { index: 0, frame: { ...(good.commits[0] as CommitCertificate["commits"][number]).frame, bytes: new Uint8Array(32) } };
    expect(judge({ ...good, commits: [forged, ...good.commits.slice(1)] })).toBe("safety certificate");
  });

  test("state: other blocks after equal slots, and a diverged replica", () => {
    const oracle = stateOracle();
    const { block, state } = blockOf();
    oracle.onExecuted?.(r0, block, state);
    expect(fires(() => oracle.onExecuted?.(r1, block, state))).toBe("silent");
    expect(fires(() => oracle.onExecuted?.(r1, { ...block, hash: A }, state))).toBe("safety state");
    expect(fires(() => oracle.onEffect?.(r0, { type: "checkpoint", seq: seqNum(1), root: B }))).toBe("safety state");
    expect(fires(() => oracle.onEffect?.(r0, { type: "diverged", seq: seqNum(1), own: A, stable: B }))).toBe("safety state");
    expect(fires(() => oracle.onEffect?.(r0, { type: "truncate", seq: seqNum(9) }))).toBe("safety state");
  });

  test("bounds: queues and windows over their limit", () => {
    const oracle = boundsOracle({ ...DEFAULT_PARAMETERS, pendingBundlesMax: 3 });
    const status: EngineStatus = { view: view(0), active: true, primary: r0.id, stableSeq: seqNum(0), executedSeq: seqNum(0), highWatermark: seqNum(256), pendingBundles: 3, openSlots: 5, waitingFor: [] };
    expect(fires(() => oracle.onTurn?.(r0, status, new Disk()))).toBe("silent");
    expect(fires(() => oracle.onTurn?.(r0, { ...status, pendingBundles: 4 }, new Disk()))).toBe("safety bounds");
    expect(fires(() => oracle.onTurn?.(r0, { ...status, openSlots: 10_000 }, new Disk()))).toBe("safety bounds");
    expect(fires(() => oracle.onTurn?.(r0, { ...status, highWatermark: seqNum(300) }, new Disk()))).toBe("safety bounds");
    for (let i = 0; i < 20_000; i++) oracle.onEffect?.(r0, { type: "send", to: "all", message: { type: "fetch-batch", digest: A } });
    expect(fires(() => oracle.onTurnEnd?.(r0))).toBe("safety bounds");
  });

  test("views: a view that no correct replica asked for, a word about a slot outside the window", () => {
    const oracle = viewsOracle(4);
    const left = (v: number): Effect => ({ type: "view-left", view: view(v), reason: "" });
    expect(fires(() => oracle.onEffect?.(r0, left(1)))).toBe("silent");
    expect(fires(() => oracle.onEffect?.(r1, left(2)))).toBe("silent");
    expect(fires(() => oracle.onEffect?.(r0, left(4)))).toBe("safety views");
    const vote = (seq: number): Effect => ({ type: "vote", vote: { phase: "prepare", view: view(0), seq: seqNum(seq), digest: A } });
    expect(fires(() => oracle.onEffect?.(r0, vote(4)))).toBe("silent");
    expect(fires(() => oracle.onEffect?.(r0, vote(5)))).toBe("safety views");
    oracle.onEffect?.(r0, { type: "truncate", seq: seqNum(2) });
    expect(fires(() => oracle.onEffect?.(r0, vote(5)))).toBe("silent");
    expect(fires(() => oracle.onEffect?.(r0, vote(2)))).toBe("safety views");
  });

  test("linearizability: an answer that replaying the log does not give, at the end of the run", () => {
    const end = (result: string): string => {
      const { block, state } = blockOf();
      const oracle = linearizabilityOracle(() => 5);
      oracle.onSubmitted?.(bundle);
      oracle.onExecuted?.(r0, block, state);
      oracle.onAccepted?.(bundle, { bundle: bundle.digest, ridLast: 1, seq: seqNum(1), block: block.hash, result });
      return fires(() => oracle.atEnd?.());
    };
    expect(end("1:1")).toBe("silent");
    expect(end("1:2")).toBe("safety linearizability");
  });

  test.each([["the log", linearizabilityOracle(() => 5)], ["a search", linearizabilitySearchOracle(() => 5, new Coverage())]] as const)(
    "linearizability by %s: an answer that is none is told at once", (_, oracle) => {
      oracle.onSubmitted?.(bundle);
      const answer = (result: string) => (): void => oracle.onAccepted?.(bundle, { bundle: bundle.digest, ridLast: 1, seq: seqNum(1), block: A, result });
      for (const result of ["a lie", "", "2:1", "1:1 2:2"]) expect(fires(answer(result))).toBe(`safety ${oracle.name}`);
      expect(fires(answer("1:1"))).toBe("silent");
    });

  test("linearizability by search: an order that no log explains, at the end of the run", () => {
    const end = (result: string): string => {
      const coverage = new Coverage();
      const oracle = linearizabilitySearchOracle(() => 5, coverage);
      oracle.onSubmitted?.(bundle);
      oracle.onAccepted?.(bundle, { bundle: bundle.digest, ridLast: 1, seq: seqNum(1), block: A, result });
      return `${fires(() => oracle.atEnd?.())} ${coverage.all[SEARCHED.linearizable] ?? 0}`;
    };
    expect([end("1:1"), end("1:2"), end("1:duplicate")]).toEqual(["silent 1", "safety linearizability-search 0", "safety linearizability-search 0"]);
  });

  test("accusation: misbehaviour among correct replicas, but not what is merely ignored; a correct primary blamed among liars", () => {
    const oracle = accusationOracle({ n: 4, allCorrect: true, isCorrect: () => true });
    const rejected = (code: "DUPLICATE" | "EQUIVOCATION"): Effect => ({ type: "rejected", from: r1.id, message: "prepare", rejection: { code, detail: "" } });
    expect(fires(() => oracle.onEffect?.(r0, rejected("DUPLICATE")))).toBe("silent");
    expect(fires(() => oracle.onEffect?.(r0, rejected("EQUIVOCATION")))).toBe("safety accusation");
    const among = accusationOracle({ n: 4, allCorrect: false, isCorrect: (id) => id !== 1 });
    const left = (reason: string): Effect => ({ type: "view-left", view: view(3), reason });
    expect(fires(() => among.onEffect?.(r0, rejected("EQUIVOCATION")))).toBe("silent");
    expect(fires(() => among.onEffect?.(r0, left("primary 1 equivocated at seq 4")))).toBe("silent");
    expect(fires(() => among.onEffect?.(r0, left("primary 2 equivocated at seq 4")))).toBe("safety accusation");
    expect(fires(() => among.onEffect?.(r0, left("new-view of 5 is invalid: …")))).toBe("silent");
    expect(fires(() => among.onEffect?.(r0, left("new-view of 6 is invalid: …")))).toBe("safety accusation");
    expect(fires(() => among.onEffect?.(r0, left("primary 2 left a request unexecuted for 40 ticks")))).toBe("silent");
  });
});

describe("execution in the simulator", () => {
  test("a request takes effect once, its repetition is a no-op with an answer", () => {
    const first = blockOf();
    const second = execute(first.state, seqNum(2), batch, certificate(batch.digest, [0, 1, 2], 2));
    expect([first.block.results, second.block.results]).toEqual([["1:1"], ["1:duplicate"]]);
    expect(second.state.executedOperations).toBe(1);
    expect(second.block.header.parent).toBe(first.block.hash);
  });

  test("a null batch is a block too", () => {
    const { block } = execute(GENESIS_STATE, seqNum(1), undefined, certificate(NULL_DIGEST, [0, 1, 2]));
    expect(block.header.batchDigest).toBe(NULL_DIGEST);
    expect(block.results).toEqual([]);
  });
});
