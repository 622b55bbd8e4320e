/**
 * Operations that wait for a bundle, first in first out. A unit is operations that must travel together; a bundle takes
 * whole units. Bounded by operations and by payload bytes.
 */
import type { Operation } from "@narses/core";
import type { Submission, Unit as Whole } from "./unit.ts";

/** Its submissions: not empty. */
type Unit = Pick<Whole, "submissions">;

export interface PackLimits {
  readonly operationsMax: number;
  /** Total of `bytesOf` over the operations of a bundle. */
  readonly bytesMax: number;
  readonly bytesOf: (operation: Operation) => number;
}

const alive = (unit: Unit): readonly Submission[] => unit.submissions.filter((submission) => !submission.settled);

export class Outbox {
  readonly #units = new Set<Unit>();
  #operations = 0;
  #bytes = 0;

  /** Operations waiting. */
  get operations(): number {
    return this.#operations;
  }

  /** Payload bytes waiting. */
  get bytes(): number {
    return this.#bytes;
  }

  add(unit: Unit): void {
    this.#units.add(unit);
    for (const { operation } of unit.submissions) this.#count(operation, 1);
  }

  /** The caller of one operation of a waiting unit has given up (its promise is settled): it is not sent. */
  forget(unit: Unit, submission: Submission): void {
    if (!this.#units.has(unit)) return;
    this.#count(submission.operation, -1);
    if (alive(unit).length === 0) this.#units.delete(unit);
  }

  /** Takes the longest prefix of units that fits one bundle; empty when nothing waits or the first unit does not fit. */
  take(limits: PackLimits): readonly Submission[] {
    const taken: Submission[] = [];
    let bytes = 0;
    for (const unit of this.#units) {
      const submissions = alive(unit);
      for (const { operation } of submissions) bytes += limits.bytesOf(operation);
      if (taken.length + submissions.length > limits.operationsMax || bytes > limits.bytesMax) break;
      this.#units.delete(unit);
      for (const { operation } of submissions) this.#count(operation, -1);
      taken.push(...submissions);
    }
    return taken;
  }

  /** Empties the queue. */
  drain(): readonly Submission[] {
    const drained = [...this.#units].flatMap(alive);
    this.#units.clear();
    this.#operations = 0;
    this.#bytes = 0;
    return drained;
  }

  #count(operation: Operation, sign: 1 | -1): void {
    this.#operations += sign;
    this.#bytes += sign * operation.payload.length;
  }
}
