/**
 * What colluding replicas agree on beforehand: how the others are split in two, and which second batch goes with which
 * first one. With it f+1 liars keep two stories apart; f of them gain nothing (that is the theorem under test).
 */
import type { Batch, Digest, ReplicaId } from "@narses/core";
import type { Random } from "../random.ts";

export class Conspiracy {
  /** Members of the second story. */
  readonly secondSide: ReadonlySet<ReplicaId>;
  private readonly secondOf = new Map<Digest, Batch>();

  constructor(random: Random, honest: readonly ReplicaId[]) {
    const shuffled = random.shuffle(honest);
    this.secondSide = new Set(shuffled.slice(0, Math.floor(shuffled.length / 2)));
  }

  /** The other story to `batch`, made once by `make`. */
  second(batch: Batch, make: () => Batch): Batch {
    let second = this.secondOf.get(batch.digest);
    if (second === undefined) this.secondOf.set(batch.digest, (second = make()));
    return second;
  }

  /** The digest to vote for when talking to `to`. */
  digestFor(to: ReplicaId, digest: Digest): Digest {
    return this.secondSide.has(to) ? (this.secondOf.get(digest)?.digest ?? digest) : digest;
  }
}
