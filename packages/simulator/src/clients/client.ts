/** A client: keeps a few bundles outstanding, sends to the primary it believes in, then to all, until enough answers match. */
import type { Bundle, Operation, ReplicaId } from "@narses/core";
import { replicaId, requestId } from "@narses/core";
import { SESSION_WINDOW, type Answer } from "../app.ts";
import type { BundleContent, ClientKey, Toolkit } from "../keyring.ts";
import type { Random } from "../random.ts";
import type { SignedAnswer } from "../shell.ts";
import { type Habit, habitId } from "./habits.ts";

/** The way in that takes any bytes. */
export interface ClientBytes {
  send(client: SimClient, to: ReplicaId, frame: Uint8Array): void;
  call(client: SimClient, to: ReplicaId, method: string, params: Uint8Array): void;
}

export interface ClientWorld {
  readonly toolkit: Toolkit;
  /** Nothing breaks any more. */
  readonly healed: boolean;
  /** Undefined where messages are values. */
  readonly clientBytes: ClientBytes | undefined;
  payload(client: number, variant: number, i: number): Uint8Array;
  /** Another key of this client, that nobody has used yet. */
  newKey(owner: SimClient): ClientKey;
  sendBundle(client: SimClient, to: ReplicaId, bundle: Bundle): void;
  onSubmitted(client: SimClient, bundle: Bundle): void;
  onAccepted(client: SimClient, bundle: Bundle, answer: Answer): void;
  /** For the coverage: what it tried had an effect. */
  sometimes(id: string): void;
}

export interface ClientOptions {
  readonly index: number;
  readonly key: ClientKey;
  readonly n: number;
  /** Matching answers that it believes: W are proof, and fast reads need Q. */
  readonly needed: number;
  /** W: matching answers that are proof. */
  readonly weak: number;
  readonly operationsMax: number;
  /** Bundles of more bytes go to every replica, as a rule. */
  readonly largeBundleBytes: number;
  readonly habit: Habit | undefined;
}

interface Outstanding {
  readonly bundle: Bundle;
  /** Replicas by the answer they gave. */
  readonly answers: Map<string, Set<ReplicaId>>;
  /** Replicas that executed it without an answer to show (they fetched the state), by slot. */
  readonly notices: Map<number, Set<ReplicaId>>;
  /** Whom it was sent to; undefined: everybody. */
  told: readonly ReplicaId[] | undefined;
}

export class SimClient {
  readonly options: ClientOptions;
  accepted = 0;
  protected readonly world: ClientWorld;
  protected readonly random: Random;
  private readonly outstanding = new Map<string, Outstanding>();
  protected nextRid = 1;
  private believedView = 0;

  constructor(options: ClientOptions, world: ClientWorld, random: Random) {
    this.options = options;
    this.world = world;
    this.random = random;
  }

  get waitingCount(): number {
    return this.outstanding.size;
  }

  get waitingFor(): readonly string[] {
    return [...this.outstanding.keys()].map((digest) => digest.slice(0, 6));
  }

  /** Every answer up to this request id is held. */
  private get ackLow(): number {
    const first = this.outstanding.values().next();
    return (first.done === true ? this.nextRid : first.value.bundle.ridFirst) - 1;
  }

  /** Submits a new bundle, unless the session's window is used up. */
  submit(): void {
    const { habit, operationsMax, n } = this.options;
    const count = this.random.int(1, operationsMax);
    const rid = this.nextRid;
    if (rid + count - 1 > this.ackLow + SESSION_WINDOW) return;
    this.nextRid += count;
    const bundle = this.make(rid, count, 0);
    const told = habit === "partial" ? this.random.shuffle(this.everybody).slice(0, this.options.weak) : [this.believedPrimary];
    this.submitted(bundle, told);
    if (habit !== "partial" && this.random.chance(bundle.bytes.length > this.options.largeBundleBytes ? 0.7 : 0.2)) this.sendToAll(bundle);
    else for (const to of told) this.world.sendBundle(this, to, bundle);
    if (habit !== "two-bundles" || !this.random.chance(0.3)) return;
    const other = this.make(rid, count, 1);
    this.world.onSubmitted(this, other);
    this.world.sendBundle(this, this.random.int(0, n - 1) as ReplicaId, other);
  }

  /** Sends everything outstanding to every replica again. One that never told them all does so only when all is well again. */
  retransmit(): void {
    for (const entry of this.outstanding.values()) {
      if (this.options.habit === "partial" && !this.world.healed) {
        for (const to of entry.told ?? []) this.world.sendBundle(this, to, entry.bundle);
        continue;
      }
      entry.told = undefined;
      this.sendToAll(entry.bundle);
    }
  }

  onAnswer(from: ReplicaId, { answer, outcome, view }: SignedAnswer): void {
    const entry = this.outstanding.get(answer.bundle);
    if (entry === undefined || outcome.body.sender !== from || !this.world.toolkit.verifySigned(outcome)) return;
    if (outcome.body.block !== answer.block || outcome.body.seq !== answer.seq) return;
    const key = `${answer.seq} ${answer.block} ${answer.result}`;
    let senders = entry.answers.get(key);
    if (senders === undefined) entry.answers.set(key, (senders = new Set()));
    senders.add(from);
    const noticed = [...(entry.notices.get(answer.seq) ?? [])].filter((replica) => !senders.has(replica)).length;
    if (senders.size < this.options.weak || senders.size + noticed < this.options.needed) return;
    this.outstanding.delete(answer.bundle);
    this.accepted++;
    this.believedView = view <= Number.MAX_SAFE_INTEGER ? view : 0;
    this.world.onAccepted(this, entry.bundle, answer);
    this.onCertain(answer, entry.told !== undefined && !entry.told.includes(this.believedPrimary));
  }

  /** A replica says that it executed the bundle, and holds no answer any more. The next answer of another one counts it. */
  onNotice(from: ReplicaId, bundle: string, seq: number): void {
    const notices = this.outstanding.get(bundle)?.notices;
    if (notices === undefined) return;
    const senders = notices.get(seq);
    if (senders === undefined) notices.set(seq, new Set([from]));
    else senders.add(from);
  }

  /** A correct replica does not take what it was sent. */
  onRefused(_code: string): void {
    // it is sent again, until it is taken
  }

  /** Enough replicas said so. `relayed`: none of those that had it from here was the primary. */
  protected onCertain({ ridLast }: Answer, relayed: boolean): void {
    const { habit } = this.options;
    if (habit === "partial" && relayed) this.world.sometimes(habitId("partial"));
    if (habit === "never-acks" && ridLast > SESSION_WINDOW) this.world.sometimes(habitId("never-acks"));
  }

  protected submitted(bundle: Bundle, told: readonly ReplicaId[] | undefined): void {
    this.outstanding.set(bundle.digest, { bundle, answers: new Map(), notices: new Map(), told });
    this.world.onSubmitted(this, bundle);
  }

  protected sendToAll(bundle: Bundle): void {
    for (const to of this.everybody) this.world.sendBundle(this, to, bundle);
  }

  protected get everybody(): readonly ReplicaId[] {
    return Array.from({ length: this.options.n }, (_, id) => replicaId(id));
  }

  private get believedPrimary(): ReplicaId {
    return replicaId(this.believedView % this.options.n);
  }

  protected operations(count: number, variant: number): readonly Operation[] {
    return Array.from({ length: count }, (_, i): Operation => ({ kind: "apply", payload: this.world.payload(this.options.index, variant, i) }));
  }

  private make(rid: number, count: number, variant: number): Bundle {
    const ackLow = this.options.habit === "never-acks" ? 0 : Math.min(this.ackLow, rid - 1);
    const content: BundleContent = { ridFirst: requestId(rid), ackLow, operations: this.operations(count, variant) };
    return this.options.key.makeBundle(content);
  }
}
