/**
 * Exact counts in the fault-free steady state, one vote per frame: 2n(n−1) messages between replicas and 2n signatures per
 * batch, checkpoints apart (n(n−1) messages and n signatures every K batches). Messages to oneself do not exist.
 */
import { describe, expect, test } from "vitest";
import type { PeerMessage, ReplicaId } from "@narses/core";
import { Stage } from "@narses/simulator";

const BATCHES = 20;
const K = 5;

interface Counts {
  readonly messages: Map<string, number>;
  readonly signatures: Map<string, number>;
  readonly executed: readonly number[];
}

const bump = (map: Map<string, number>, key: string): void => void map.set(key, (map.get(key) ?? 0) + 1);
const kind = (message: PeerMessage): string => (message.type === "votes" ? (message.signed.body.votes[0]?.phase ?? "votes") : message.type);

/** Orders BATCHES batches one after the other, no tick ever passing. */
function run(n: number, mergeVotes = false): Counts {
  const messages = new Map<string, number>();
  const signatures = new Map<string, number>();
  const stage = new Stage({
    n, mergeVotes, parameters: { checkpointInterval: K, logWindow: 2 * K, pipelineDepth: 1 },
    onSigned: (_id: ReplicaId, signed) => bump(signatures, signed.body.type),
  });
  for (let i = 0; i < BATCHES; i++) {
    stage.request(0, stage.makeBundle());
    stage.pass(({ from, to, message }) => {
      expect(from).not.toBe(to);
      bump(messages, kind(message));
      return true;
    });
  }
  return { messages, signatures, executed: stage.ids.map((id) => stage.shell(id).stateNow.seq) };
}

const sum = (map: ReadonlyMap<string, number>, without: readonly string[]): number => [...map].reduce((total, [key, count]) => (without.includes(key) ? total : total + count), 0);

describe("steady state", () => {
  test.each([1, 2, 3, 4, 5, 6, 7, 10])("n = %i: 2n(n−1) messages and 2n signatures per batch", (n) => {
    const { messages, signatures, executed } = run(n);
    expect(executed).toEqual(Array.from({ length: n }, () => BATCHES));
    expect(sum(messages, ["checkpoint"])).toBe(BATCHES * 2 * n * (n - 1));
    expect(sum(signatures, ["checkpoint", "outcome"])).toBe(BATCHES * 2 * n);
  });

  test.each([1, 4, 7])("n = %i: of which n−1 PRE-PREPAREs, (n−1)² PREPAREs, n(n−1) COMMITs", (n) => {
    const { messages } = run(n);
    expect(messages.get("pre-prepare") ?? 0).toBe(BATCHES * (n - 1));
    expect(messages.get("prepare") ?? 0).toBe(BATCHES * (n - 1) ** 2);
    expect(messages.get("commit") ?? 0).toBe(BATCHES * n * (n - 1));
  });

  test.each([1, 4, 7])("n = %i: a checkpoint costs n(n−1) messages and n signatures, a batch one outcome signature per replica", (n) => {
    const { messages, signatures } = run(n);
    expect(messages.get("checkpoint") ?? 0).toBe((BATCHES / K) * n * (n - 1));
    expect(signatures.get("checkpoint")).toBe((BATCHES / K) * n);
    expect(signatures.get("outcome")).toBe(BATCHES * n);
  });

  test("nothing else is ever sent: no STATUS, no fetch, no decision", () => {
    expect([...run(4).messages.keys()].sort()).toEqual(["checkpoint", "commit", "pre-prepare", "prepare"]);
  });

  test("merging the votes of a turn never costs more messages or signatures", () => {
    const [single, merged] = [run(4), run(4, true)];
    expect(sum(merged.messages, [])).toBeLessThanOrEqual(sum(single.messages, []));
    expect(sum(merged.signatures, [])).toBeLessThanOrEqual(sum(single.signatures, []));
    expect(merged.executed).toEqual(single.executed);
  });
});
