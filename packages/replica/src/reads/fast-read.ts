/**
 * Fast reads (protocol.md 1.13 b): a query answered from this replica's executed state, without ordering. The client believes it when
 * Q replicas give the same value for one slot; then some correct one of them had executed every write that was believed
 * before (those need Q too), and every read as well.
 *
 * An answer says: after each slot from `since` to `seq` this is the value. It is refused while this replica may be older than
 * what it has answered before: replaying after a restart, taking over a state, or in doubt about its own.
 */
import type { BlockHeader, Hasher, Logger, StateMachine, StateReader } from "@narses/core";
import { CallError } from "../call-error.ts";
import type { Halt } from "../execution.ts";
import { READ_BUSY_SHARE, READ_DEBT_MS_MAX, RESULT_BYTES_MAX } from "../limits.ts";
import { runQuery } from "../operation.ts";
import type { RecentWrites } from "./recent-writes.ts";

export interface FastReadsOptions {
  /** Undefined: this cluster has no fast reads. */
  readonly writes: RecentWrites | undefined;
  readonly state: StateReader;
  readonly app: StateMachine;
  readonly hasher: Hasher;
  readonly head: () => BlockHeader;
  readonly halted: () => Halt | undefined;
  /** The slot that must be executed before anything is said about the state: as far as this replica was before a restart. */
  readonly horizon: number;
  /** Monotonic. */
  readonly nowMs: () => number;
  readonly logger: Logger;
}

export interface FastAnswer {
  readonly seq: number;
  /** 0 < since ≤ seq, or 0: since genesis. */
  readonly since: number;
  /** SHA-256 of the encoded result. */
  readonly digest: Uint8Array;
  /** The encoded result, if asked for in full. */
  readonly result?: Uint8Array;
}

/** @throws CallError NOT_ALLOWED, UNAVAILABLE, DIVERGED or OVERLOADED; the client orders its question then. */
export type FastRead = (question: Uint8Array, full: boolean) => FastAnswer;

export function createFastReads(options: FastReadsOptions): FastRead {
  const budget = createBudget(options.nowMs);
  return (question, full) => {
    const { writes, halted, head, horizon, hasher } = options;
    if (writes === undefined) throw new CallError("NOT_ALLOWED", "this cluster has no fast reads (parameters.fastReads); submit an ordered query");
    const halt = halted();
    if (halt !== undefined) throw new CallError(halt.code, halt.reason);
    const header = head();
    if (header.seq < horizon) {
      throw new CallError("UNAVAILABLE", `this replica executes again what it had before its restart: it is at slot ${header.seq} of ${horizon}`);
    }
    const { result, keys, pinned } = budget(() => evaluate(options, question, header));
    const since = pinned ? header.seq : Math.min(writes.since(keys), header.seq);
    return { seq: header.seq, since, digest: hasher.sha256(result), ...(full && { result }) };
  };
}

interface Evaluated {
  readonly result: Uint8Array;
  /** Every key that was looked at, found or not. */
  readonly keys: ReadonlySet<string>;
  /** It looked at time or slot: true for this slot only. */
  readonly pinned: boolean;
}

function evaluate({ state, app, logger }: FastReadsOptions, question: Uint8Array, header: BlockHeader): Evaluated {
  const keys = new Set<string>();
  let pinned = false;
  const reader: StateReader = {
    get(key) {
      keys.add(key);
      return state.get(key);
    },
  };
  const place = {
    get time() {
      pinned = true;
      return header.timestampMs;
    },
    get seq() {
      pinned = true;
      return header.seq;
    },
  };
  const result = runQuery(question, { app, state: reader, place }, { logger, bytesMax: RESULT_BYTES_MAX, seq: header.seq });
  return { result, keys, pinned };
}

/** Reads may take a share of this process's time, and a burst beyond it: who asks more is sent to the ordered way, which is paced. */
function createBudget(nowMs: () => number): <T>(work: () => T) => T {
  let debtMs = 0;
  let atMs = nowMs();
  return (work) => {
    const startMs = nowMs();
    debtMs = Math.max(0, debtMs - (startMs - atMs) * READ_BUSY_SHARE);
    atMs = startMs;
    if (debtMs > READ_DEBT_MS_MAX) {
      throw new CallError("OVERLOADED", `reads have used their share of this replica's time (${READ_BUSY_SHARE}); submit an ordered query, or ask later`);
    }
    try {
      return work();
    } finally {
      debtMs += nowMs() - startMs;
    }
  };
}
