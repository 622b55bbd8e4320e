/** The vote log, with a count of the records that are live. */
import { recordSeq, type LogRecord, type SeqNum, type VoteLog } from "@narses/core";
import type { WatchedLog } from "../node.ts";

export class LogWatch implements VoteLog, WatchedLog {
  readonly recovered: readonly Uint8Array[];
  private live: (number | undefined)[];
  private readonly log: VoteLog;

  constructor(log: VoteLog, records: readonly LogRecord[]) {
    this.log = log;
    this.recovered = log.recovered;
    this.live = records.map(recordSeq);
  }

  get records(): { readonly length: number } {
    return this.live;
  }

  append(record: Uint8Array, seq: SeqNum | undefined): void {
    this.log.append(record, seq);
    this.live.push(seq);
  }

  sync(): void {
    this.log.sync();
  }

  flush(): void {
    this.log.flush();
  }

  truncate(seq: SeqNum, base: readonly Uint8Array[]): void {
    this.log.truncate(seq, base);
    this.live = [...base.map(() => undefined), ...this.live.filter((slot) => slot !== undefined && slot > seq)];
  }

  close(): Promise<void> {
    return this.log.close();
  }
}
