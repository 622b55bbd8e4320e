/** What each replica sent that was not believed, counted by reason. Bounded by n × the number of codes. */
import type { Rejection, RejectionCode, ReplicaId } from "@narses/core";

export type RejectionCounts = Readonly<Partial<Record<RejectionCode, number>>>;

export class RejectionCounter {
  readonly #counts = new Map<ReplicaId, Partial<Record<RejectionCode, number>>>();

  /** Returns how many of the kind there are now. */
  count(from: ReplicaId, rejection: Rejection): number {
    let counts = this.#counts.get(from);
    if (counts === undefined) this.#counts.set(from, (counts = {}));
    return (counts[rejection.code] = (counts[rejection.code] ?? 0) + 1);
  }

  /** A copy; replicas in ascending order, those without a rejection left out. */
  snapshot(): Readonly<Record<number, RejectionCounts>> {
    const snapshot: Record<number, RejectionCounts> = {};
    for (const [replica, counts] of [...this.#counts].sort(([a], [b]) => a - b)) snapshot[replica] = { ...counts };
    return snapshot;
  }
}
