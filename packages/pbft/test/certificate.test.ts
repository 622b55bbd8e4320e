/** Judging certificates: every way a statement can fail to add up. */
import { describe, expect, test } from "vitest";
import { type Checkpoint, epoch, replicaId, seqNum, type Signed, view, type Vote, type VoteRef } from "@narses/core";
import { checkCommitted, checkPrepared, checkStable } from "../src/index.ts";
import { batchOf, checkpointOf, committedOf, configOf, digestOf, frameOf, GENESIS, preparedOf, prePrepareOf, rootOf, sign, stableOf, vote } from "./helpers.ts";

const config = configOf(0);
const D = batchOf("a").digest;
const other = digestOf("other");
const ref = (sender: number, v: Vote, index = 0): VoteRef => ({ frame: frameOf(sender, v), index });
const foreign = ({ frame, index }: VoteRef): VoteRef => ({ frame: sign({ ...frame.body, epoch: epoch(1) }), index });

describe("prepared certificate: PRE-PREPARE of the view's primary and Q−1 PREPAREs of distinct backups", () => {
  const good = preparedOf(0, 1, D, [1, 2]);
  const prepared = (v: number, n: number, d = D): Vote => vote("prepare", v, n, d);

  test("holds for n = 1 … 10 with exactly Q−1 backups, and not with one fewer", () => {
    for (let n = 1; n <= 10; n++) {
      const c = configOf(0, n);
      const backups = Array.from({ length: c.quorums.strong - 1 }, (_, i) => i + 1);
      expect(checkPrepared(c, preparedOf(0, 1, D, backups))).toBeUndefined();
      if (backups.length > 0) expect(checkPrepared(c, preparedOf(0, 1, D, backups.slice(1)))).toMatch(/votes of the/);
    }
  });

  test.each<readonly [string, typeof good, RegExp]>([
    ["too few", { ...good, prepares: good.prepares.slice(1) }, /has 1 votes of the 2 it needs/],
    ["one backup twice", { ...good, prepares: [ref(1, prepared(0, 1)), ref(1, prepared(0, 1))] }, /counts a sender twice/],
    ["the primary among the backups", { ...good, prepares: [ref(0, prepared(0, 1)), ref(1, prepared(0, 1))] }, /counts a prepare of replica 0, the primary/],
    ["a vote of another view", { ...good, prepares: [ref(1, prepared(4, 1)), ref(2, prepared(0, 1))] }, /instead of/],
    ["a vote of another slot", { ...good, prepares: [ref(1, prepared(0, 2)), ref(2, prepared(0, 1))] }, /instead of/],
    ["a vote for another digest", { ...good, prepares: [ref(1, prepared(0, 1, other)), ref(2, prepared(0, 1))] }, /another digest/],
    ["a COMMIT among the PREPAREs", { ...good, prepares: [ref(1, vote("commit", 0, 1, D)), ref(2, prepared(0, 1))] }, /holds a commit/],
    ["an index beyond the frame", { ...good, prepares: [ref(1, prepared(0, 1), 1), ref(2, prepared(0, 1))] }, /names vote 1 of a frame that has 1/],
    ["a vote of another epoch", { ...good, prepares: [foreign(ref(1, prepared(0, 1))), ref(2, prepared(0, 1))] }, /epoch 1/],
    ["a PRE-PREPARE by a backup", { ...good, prePrepare: prePrepareOf(0, 1, D, 3) }, /signed by replica 3, its primary is 0/],
    ["a PRE-PREPARE of another epoch", { ...good, prePrepare: sign({ ...good.prePrepare.body, epoch: epoch(1) }) }, /epoch 1/],
    ["a PRE-PREPARE for another digest", { ...good, prePrepare: prePrepareOf(0, 1, other) }, /another digest/],
    ["a PRE-PREPARE for another slot", { ...good, prePrepare: prePrepareOf(0, 2, D) }, /seq 1/],
  ])("%s", (_name, certificate, problem) => {
    expect(checkPrepared(config, certificate)).toMatch(problem);
  });
});

describe("commit certificate: Q COMMITs of distinct replicas", () => {
  const good = committedOf(2, 1, D, [0, 1, 3]);
  const committed = (v: number, n: number, d = D): Vote => vote("commit", v, n, d);

  test("holds for n = 1 … 10 with exactly Q, primary included, and not with one fewer", () => {
    for (let n = 1; n <= 10; n++) {
      const c = configOf(0, n);
      const senders = Array.from({ length: c.quorums.strong }, (_, i) => i);
      expect(checkCommitted(c, committedOf(0, 1, D, senders))).toBeUndefined();
      expect(checkCommitted(c, committedOf(0, 1, D, senders.slice(1)))).toMatch(/votes of the/);
    }
  });

  test.each<readonly [string, typeof good, RegExp]>([
    ["too few", { ...good, commits: good.commits.slice(1) }, /has 2 votes of the 3/],
    ["none", { ...good, commits: [] }, /has 0 votes/],
    ["one sender twice", { ...good, commits: [...good.commits.slice(1), ref(1, committed(2, 1))] }, /counts a sender twice/],
    ["a vote of another view", { ...good, commits: [...good.commits.slice(1), ref(0, committed(0, 1))] }, /instead of/],
    ["a PREPARE among the COMMITs", { ...good, commits: [...good.commits.slice(1), ref(0, vote("prepare", 2, 1, D))] }, /holds a prepare/],
    ["votes for another digest than it names", { ...good, digest: other }, /another digest/],
    ["votes for another slot than it names", { ...good, seq: seqNum(2) }, /instead of/],
    ["votes of another view than it names", { ...good, view: view(3) }, /instead of/],
    ["a vote of another epoch", { ...good, commits: [...good.commits.slice(1), foreign(ref(0, committed(2, 1)))] }, /epoch 1/],
  ])("%s", (_name, certificate, problem) => {
    expect(checkCommitted(config, certificate)).toMatch(problem);
  });
});

describe("checkpoint proof: Q CHECKPOINTs for one root", () => {
  const good = stableOf(2, [0, 1, 3]);
  const with1 = (change: Partial<Checkpoint>): readonly Signed<Checkpoint>[] => [...good.proof.slice(1), sign({ ...checkpointOf(0, 2, rootOf(2)).body, ...change })];

  test("holds with Q; genesis needs none", () => {
    expect(checkStable(config, good)).toBeUndefined();
    expect(checkStable(config, GENESIS)).toBeUndefined();
  });

  test.each<readonly [string, typeof good, RegExp]>([
    ["too few", { ...good, proof: good.proof.slice(1) }, /has 2 votes of the 3/],
    ["one sender twice", { ...good, proof: [...good.proof.slice(1), checkpointOf(1, 2, rootOf(2))] }, /counts a sender twice/],
    ["a vote for another root", { ...good, proof: with1({ root: other }) }, /another root/],
    ["a vote for another seq", { ...good, proof: with1({ seq: seqNum(4) }) }, /seq 4/],
    ["a vote of another epoch", { ...good, proof: with1({ epoch: epoch(1) }) }, /epoch 1/],
    ["a root its votes do not name", { ...good, root: other }, /another root/],
    ["a slot that is no checkpoint", stableOf(3, [0, 1, 3]), /not a multiple of 2/],
    ["another genesis", { ...GENESIS, root: other }, /not the genesis/],
    ["a genesis with votes", { ...GENESIS, proof: good.proof }, /not the genesis/],
  ])("%s", (_name, stable, problem) => {
    expect(checkStable(config, stable)).toMatch(problem);
  });

  test("a sender outside the cluster is no business of this check: the verifier knows no key for it", () => {
    expect(checkStable(config, { ...good, proof: [...good.proof.slice(1), checkpointOf(replicaId(9), 2, rootOf(2))] })).toBeUndefined();
  });
});
