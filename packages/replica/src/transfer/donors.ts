/**
 * The others as sources of state: who may be asked for more, and what each was asked. A donor that is slow waits longer
 * each time; one that sent wrong bytes is not asked again for this target; one that has dropped the checkpoint neither.
 */
import type { ReplicaId, StatePart } from "@narses/core";
import type { FetchPiece } from "@narses/storage";
import { FETCH_BACKOFF_TICKS_MAX, FETCH_PAGE_TICKS_MAX, FETCH_TIMEOUT_TICKS, FETCH_WINDOW } from "../limits.ts";

export interface FetchRequest {
  readonly part: StatePart;
  /** What goes back to the plan when nobody answers; undefined for the header. */
  readonly piece: FetchPiece | undefined;
  /** Parts of a page that is larger than a chunk, so far. */
  readonly chunks: readonly Uint8Array[];
  readonly sinceTick: number;
  /** Since when the first part of this page is asked for. */
  readonly pageSinceTick: number;
}

export interface DonorStatus {
  readonly replica: ReplicaId;
  readonly state: "ready" | "waiting" | "disconnected" | "lies" | "gone";
  readonly chunks: number;
  readonly timeouts: number;
}

export class Source {
  readonly replica: ReplicaId;
  connected = false;
  /** Of the target at hand. */
  lies = false;
  gone = false;
  /** Its last request waited too long, and nothing has come since. */
  stalled = false;
  chunks = 0;
  timeouts = 0;
  requests: FetchRequest[] = [];
  /** How long it may take; doubles with each time-out, so that a slow link is slow and not useless. */
  #patienceTicks = FETCH_TIMEOUT_TICKS;
  #untilTick = 0;

  constructor(replica: ReplicaId) {
    this.replica = replica;
  }

  get usable(): boolean {
    return this.connected && !this.lies && !this.gone;
  }

  mayAsk(tick: number): boolean {
    return this.usable && tick >= this.#untilTick && this.requests.length < FETCH_WINDOW;
  }

  answered(): void {
    this.stalled = false;
    this.chunks++;
  }

  /** True when a request has waited too long; then the donor is left alone for as long. */
  overdue(tick: number): boolean {
    const late = this.requests.some(({ sinceTick, pageSinceTick }) => tick - sinceTick >= this.#patienceTicks || tick - pageSinceTick >= FETCH_PAGE_TICKS_MAX);
    if (!late) return false;
    this.stalled = true;
    this.timeouts++;
    this.#leaveAlone(tick);
    return true;
  }

  /** It sent what no correct donor sends. The next target asks it again, but later each time: else each one waits for its next lie. */
  lied(tick: number): void {
    this.lies = true;
    this.#leaveAlone(tick);
  }

  #leaveAlone(tick: number): void {
    this.#untilTick = tick + this.#patienceTicks;
    this.#patienceTicks = Math.min(FETCH_BACKOFF_TICKS_MAX, 2 * this.#patienceTicks);
  }

  /** Another target: what was true of the last one need not be of this. One that was silent has still to answer: it would hold this one up as well. */
  renew(): void {
    this.lies = false;
    this.gone = false;
    this.requests = [];
  }

  status(tick: number): DonorStatus {
    const { replica, chunks, timeouts } = this;
    const waits = tick < this.#untilTick ? "waiting" : "ready";
    const out = this.lies ? "lies" : "gone";
    const state = this.lies || this.gone ? out : waits;
    return { replica, state: this.connected ? state : "disconnected", chunks, timeouts };
  }
}
