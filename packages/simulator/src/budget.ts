/**
 * The fault budget: who may be faulty, and how. Liars, replicas that forget what they synced, and replicas whose disk is damaged
 * beyond repair count against f together; everything else that happens to a replica it must get over.
 */
export type Fault =
  /** Correct: judged by every oracle, and must be back and equal in the end. */
  | "none"
  /** Says what it likes (policies, twins). Not judged. */
  | "liar"
  /** Correct code on a disk that loses what it synced, or on a backup: may contradict itself. Not judged. */
  | "amnesiac"
  /** Its wall clock is wrong beyond what the cluster allows: judged and waited for, but others may have to refuse its proposals. */
  | "skewed"
  /** Its disk is lost and it rejoins with an empty one: judged and waited for. */
  | "wiped"
  /** Its disk is damaged: it must notice and be silent, never contradict itself. Judged, but not waited for. */
  | "rotten";

/** Whether oracles judge what it says and does. */
export const isJudged = (fault: Fault): boolean => fault !== "liar" && fault !== "amnesiac";
/** Whether it must be back, and equal to the others, in the end. */
export const isAwaited = (fault: Fault): boolean => fault !== "rotten" && isJudged(fault);

export class FaultBudget {
  readonly max: number;
  private readonly spent = new Map<number, Fault>();

  /** @param max how many replicas may be faulty: f, or more in a negative control. */
  constructor(max: number) {
    this.max = max;
  }

  /** @throws RangeError beyond the budget: the plan would test nothing. */
  spend(replica: number, fault: Fault): void {
    if (fault === "none") return;
    this.spent.set(replica, fault);
    if (this.spent.size <= this.max) return;
    const who = [...this.spent].map(([id, how]) => `r${id} ${how}`).join(", ");
    throw new RangeError(`${this.spent.size} replicas would be faulty (${who}), the budget is ${this.max}`);
  }

  of(replica: number): Fault {
    return this.spent.get(replica) ?? "none";
  }
}
