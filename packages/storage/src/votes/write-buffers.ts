/** Gathers one positional write: headers and small payloads are copied into a stage, large payloads are referred to. */
import { RECORD_HEADER_BYTES, recordBytes } from "./record.ts";

/** Payloads up to here are copied beside their header: cheaper than one more buffer in the write (measured). */
const COPY_BYTES_MAX = 2_048;
const STAGE_BYTES = 64 << 10;

export class WriteBuffers {
  #stage: Uint8Array = new Uint8Array(STAGE_BYTES);
  #list: Uint8Array[] = [];
  /** [#from, #to) of the stage is not in the list yet. */
  #from = 0;
  #to = 0;

  header(put: (stage: Uint8Array, at: number) => void): void {
    put(this.#stage, this.#reserve(RECORD_HEADER_BYTES));
  }

  payload(payload: Uint8Array): void {
    const padding = recordBytes(payload.length) - RECORD_HEADER_BYTES - payload.length;
    if (payload.length <= COPY_BYTES_MAX) {
      const at = this.#reserve(payload.length + padding);
      this.#stage.set(payload, at);
      this.#stage.fill(0, at + payload.length, at + payload.length + padding);
      return;
    }
    this.#flushStage();
    this.#list.push(payload);
    const at = this.#reserve(padding);
    this.#stage.fill(0, at, at + padding);
  }

  /** Everything gathered, valid until the next call of `header` or `payload`. */
  take(): readonly Uint8Array[] {
    this.#flushStage();
    const list = this.#list;
    this.#list = [];
    this.#from = 0;
    this.#to = 0;
    return list;
  }

  #reserve(bytes: number): number {
    if (this.#to + bytes > this.#stage.length) {
      this.#flushStage();
      this.#stage = new Uint8Array(STAGE_BYTES);
      this.#from = 0;
      this.#to = 0;
    }
    const at = this.#to;
    this.#to += bytes;
    return at;
  }

  #flushStage(): void {
    if (this.#to > this.#from) this.#list.push(this.#stage.subarray(this.#from, this.#to));
    this.#from = this.#to;
  }
}
