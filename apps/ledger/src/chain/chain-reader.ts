/**
 * An ordering engine that reads a chain instead of voting on one: what it is handed is executed, in order. Behind the same
 * port as the real one, so the replica's own code executes, and nothing about execution is written twice.
 */
import {
  assert,
  primaryOf,
  view,
  type Block,
  type Effect,
  type EngineStatus,
  type Input,
  type OrderingEngine,
  type SeqNum,
} from "@narses/core";

export class ChainReader implements OrderingEngine {
  readonly name = "chain-reader";
  readonly #replicas: number;
  #next: Block | undefined;
  #executed: SeqNum;
  #done: (() => void) | undefined;

  constructor(replicas: number, executed: SeqNum) {
    this.#replicas = replicas;
    this.#executed = executed;
  }

  /** Nobody sends this engine anything. */
  screen(): undefined {
    return undefined;
  }

  /** The block after the last one. `step` hands it on; resolves when it was executed. */
  read(block: Block): Promise<void> {
    assert(
      this.#next === undefined && block.header.seq === this.#executed + 1,
      `block ${block.header.seq} is read after block ${this.#executed}`,
    );
    this.#next = block;
    return new Promise((resolve) => {
      this.#done = resolve;
    });
  }

  step(input: Input): readonly Effect[] {
    if (input.type === "executed") {
      this.#executed = input.seq;
      this.#done?.();
    }
    const block = this.#next;
    if (input.type !== "peer" || block?.certificate === undefined) return [];
    this.#next = undefined;
    return [{ type: "execute", seq: block.header.seq, batch: block.batch, certificate: block.certificate, checkpoint: false }];
  }

  status(): EngineStatus {
    const current = view(0);
    return {
      view: current,
      active: true,
      primary: primaryOf(current, this.#replicas),
      stableSeq: this.#executed,
      executedSeq: this.#executed,
      highWatermark: this.#executed,
      pendingBundles: 0,
      openSlots: 0,
      waitingFor: [],
    };
  }
}
