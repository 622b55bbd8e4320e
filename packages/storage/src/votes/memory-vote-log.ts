/** A vote log without a disk, for tests and the simulator: keeps apart what is buffered, written and durable. */
import { NarsesError, type SeqNum, type VoteLog } from "@narses/core";

export interface MemoryVoteLog extends VoteLog {
  /** The log as reopened: a killed process loses what was only appended, a power cut also what was only flushed. */
  reopen(after: "close" | "kill" | "power-cut"): MemoryVoteLog;
}

interface Entry {
  readonly payload: Uint8Array;
  readonly seq: SeqNum | undefined;
}

class Log implements MemoryVoteLog {
  readonly recovered: readonly Uint8Array[];
  /** entries[0 … #durable) are durable, entries[0 … #written) survive a killed process. */
  #entries: Entry[];
  #written: number;
  #durable: number;
  #closed = false;

  constructor(entries: readonly Entry[]) {
    this.recovered = entries.map(({ payload }) => payload);
    this.#entries = [...entries];
    this.#written = entries.length;
    this.#durable = entries.length;
  }

  append(record: Uint8Array, seq: SeqNum | undefined): void {
    this.#check();
    this.#entries.push({ payload: record.slice(), seq });
  }

  flush(): void {
    this.#check();
    this.#written = this.#entries.length;
  }

  sync(): void {
    this.flush();
    this.#durable = this.#entries.length;
  }

  truncate(seq: SeqNum, base: readonly Uint8Array[]): void {
    this.#check();
    const slots = this.#entries.filter((entry) => entry.seq !== undefined && entry.seq > seq);
    this.#entries = [...base.map((payload) => ({ payload: payload.slice(), seq: undefined })), ...slots];
    this.sync();
  }

  async close(): Promise<void> {
    if (!this.#closed) this.sync();
    this.#closed = true;
  }

  reopen(after: "close" | "kill" | "power-cut"): MemoryVoteLog {
    const kept = { close: this.#entries.length, kill: this.#written, "power-cut": this.#durable }[after];
    this.#closed = true;
    return new Log(this.#entries.slice(0, kept));
  }

  #check(): void {
    if (this.#closed) throw new NarsesError("CLOSED", "the vote log was closed");
  }
}

export const memoryVoteLog = (): MemoryVoteLog => new Log([]);
