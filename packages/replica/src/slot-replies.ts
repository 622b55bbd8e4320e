/**
 * The results that a slot adds to those kept: gathered while it runs, and written to the state once, at its end, where a client's bundles
 * may share a record. Where the state has no room for one it is left out: keeping results is a convenience for retransmissions.
 */
import type { Bundle, StateReader, StateStore } from "@narses/core";
import { findReply, putReply, replyBytes, type KeptReply } from "./reply-record.ts";
import { keptRecord, type Session } from "./session.ts";
import { replyKey, sessionReplies, type SessionName } from "./state-keys.ts";

/** A record that grows: its bytes are the first `length` of these. */
interface Growing {
  bytes: Uint8Array;
  length: number;
}

/** What becomes of the records when a bundle has been executed. */
export interface Keeping {
  /** Where the reply goes. */
  readonly key: string;
  /** It is added to what is there; else it takes its place. */
  readonly follows: boolean;
  readonly reply: KeptReply;
}

const SPARE_BYTES = 512;

export class SlotReplies {
  readonly #state: StateReader;
  readonly #records = new Map<string, Growing>();

  constructor(state: StateReader) {
    this.#state = state;
  }

  /** Results kept for exactly this bundle, if any. */
  find(session: Session, bundle: Bundle): KeptReply | undefined {
    const record = keptRecord(session, bundle.ridFirst);
    if (record === undefined) return undefined;
    const key = replyKey(bundle, record.ridFirst);
    const own = this.#records.get(key);
    const bytes = own === undefined ? this.#state.get(key) : own.bytes.subarray(0, own.length);
    return bytes === undefined ? undefined : findReply(bytes, bundle.digest);
  }

  keep({ key, follows, reply }: Keeping): void {
    const before = follows ? this.#records.get(key) ?? this.#held(key) : undefined;
    const record = before ?? { bytes: new Uint8Array(0), length: 0 };
    const length = record.length + replyBytes(reply.results);
    if (length > record.bytes.length) {
      const larger = new Uint8Array(2 * length + SPARE_BYTES);
      larger.set(record.bytes.subarray(0, record.length));
      record.bytes = larger;
    }
    putReply(record.bytes, record.length, reply);
    record.length = length;
    this.#records.set(key, record);
  }

  #held(key: string): Growing | undefined {
    const bytes = this.#state.get(key);
    return bytes === undefined ? undefined : { bytes, length: bytes.length };
  }

  /** The record is gone from the state. */
  drop(key: string): void {
    this.#records.delete(key);
  }

  /** So is everything of this session. */
  dropAll(name: SessionName): void {
    const prefix = sessionReplies(name);
    for (const key of this.#records.keys()) if (key.startsWith(prefix)) this.#records.delete(key);
  }

  /** The slot has run. @throws a failure of the state. */
  write(state: StateStore): void {
    for (const [key, { bytes, length }] of this.#records) {
      try {
        state.put(key, bytes.subarray(0, length));
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
      }
    }
  }
}
