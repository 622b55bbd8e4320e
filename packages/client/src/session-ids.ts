/** Request ids of one session: given out without gaps, in ascending order; acknowledged up to the first one unanswered. */
import { assert, requestId, type RequestId } from "@narses/core";

export class SessionIds {
  #next = 1;
  #ackLow = 0;
  /** Answered ranges above ackLow, first → last. Fewer than `outstanding`. */
  readonly #answered = new Map<number, number>();

  /** The next id to be given out. */
  get next(): RequestId {
    return requestId(this.#next);
  }

  /** Every id up to and including this one is answered. */
  get ackLow(): number {
    return this.#ackLow;
  }

  /** Ids given out above ackLow: what counts against the session window of the replicas. */
  get outstanding(): number {
    return this.#next - 1 - this.#ackLow;
  }

  /** Gives out `count` ids and returns the first. */
  take(count: number): RequestId {
    const first = requestId(this.#next);
    this.#next += count;
    return first;
  }

  /** Ids first … first + count − 1, given out together, are answered. */
  answered(first: number, count: number): void {
    assert(first > this.#ackLow && first + count <= this.#next, `request ids ${first} to ${first + count - 1} are outstanding`);
    this.#answered.set(first, first + count - 1);
    for (;;) {
      const last = this.#answered.get(this.#ackLow + 1);
      if (last === undefined) return;
      this.#answered.delete(this.#ackLow + 1);
      this.#ackLow = last;
    }
  }
}
