/**
 * Which keys the last slots wrote. With it a replica can say since which slot a value it read has been what it is, so that
 * replicas at different slots can agree on a read while others write elsewhere. What is forgotten counts as written just then:
 * that makes an answer narrower, never wrong.
 */
import type { StateStore } from "@narses/core";
import type { Executor } from "../executor.ts";
import { READ_KEYS_REMEMBERED_MAX, READ_SLOTS_REMEMBERED } from "../limits.ts";

export class RecentWrites {
  /** Slot of the last write, oldest first. A write that was undone may be among them. */
  readonly #last = new Map<string, number>();
  /** Nothing is known of writes at or below this slot. */
  #floor: number;

  constructor(seq: number) {
    this.#floor = seq;
  }

  /** The same state; what is written to it is remembered as written by slot `seq()`. */
  watch(state: StateStore, seq: () => number): StateStore {
    const written = (key: string): void => {
      this.#last.delete(key); // to the end: the map stays in order of slots
      this.#last.set(key, seq());
    };
    return {
      get durableSeq() {
        return state.durableSeq;
      },
      get: (key) => state.get(key),
      put: (key, value) => (written(key), state.put(key, value)),
      delete: (key) => (written(key), state.delete(key)),
      begin: () => state.begin(),
      commit: () => state.commit(),
      rollback: () => state.rollback(),
      root: () => state.root(),
      checkpoint: (at, after) => state.checkpoint(at, after),
      keys: (prefix, limit) => state.keys(prefix, limit),
      close: () => state.close(),
    };
  }

  /** The same executor; a state that is taken over from others is one of which nothing is known. */
  follow(executor: Executor): Executor {
    return {
      get head() {
        return executor.head;
      },
      execute: (seq, batch, certificate) => {
        const slot = executor.execute(seq, batch, certificate);
        this.#forget(seq - READ_SLOTS_REMEMBERED);
        return slot;
      },
      reset: (head) => {
        executor.reset(head);
        this.#last.clear();
        this.#floor = head.header.seq;
      },
    };
  }

  /** The lowest slot since which none of the keys was written, as far as is known. */
  since(keys: Iterable<string>): number {
    let since = this.#floor;
    for (const key of keys) since = Math.max(since, this.#last.get(key) ?? 0);
    return since;
  }

  #forget(through: number): void {
    for (const [key, seq] of this.#last) {
      if (seq > through && this.#last.size <= READ_KEYS_REMEMBERED_MAX) return;
      this.#last.delete(key);
      this.#floor = Math.max(this.#floor, seq);
    }
  }
}
