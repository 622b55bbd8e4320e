/**
 * Quorum arithmetic for n replicas of which at most f are Byzantine (protocol: PBFT §2 generalised to any n ≥ 3f+1).
 *
 * Q = ⌊(n+f)/2⌋+1: any two strong quorums share a correct replica (2Q − n ≥ f+1), and n − f correct replicas can form one.
 * W = f+1: at least one member is correct.
 */
import { assert } from "./assert.ts";
import { replicaId, type ReplicaId, type View } from "./ids.ts";

export interface Quorums {
  readonly n: number;
  readonly f: number;
  /** Q: certificates, view-change sets, stable checkpoints. */
  readonly strong: number;
  /** W: "some correct replica says so". */
  readonly weak: number;
}

/** The largest f that n replicas tolerate. */
export const faultsTolerated = (n: number): number => Math.floor((n - 1) / 3);

/** @throws RangeError unless n ≥ 1 and 0 ≤ f ≤ ⌊(n−1)/3⌋. */
export function quorums(n: number, f: number = faultsTolerated(n)): Quorums {
  if (!Number.isSafeInteger(n) || n < 1) throw new RangeError(`a cluster has at least 1 replica, got n = ${n}`);
  if (!Number.isSafeInteger(f) || f < 0 || n < 3 * f + 1) {
    throw new RangeError(`n = ${n} replicas cannot tolerate f = ${f} faults: n must be at least 3f+1 = ${3 * f + 1}`);
  }
  const strong = Math.floor((n + f) / 2) + 1;
  const weak = f + 1;
  assert(2 * strong - n >= f + 1, "two strong quorums share a correct replica");
  assert(strong <= n - f, "the correct replicas alone form a strong quorum");
  return { n, f, strong, weak };
}

export const primaryOf = (v: View, n: number): ReplicaId => replicaId(v % n);
