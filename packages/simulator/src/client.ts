/** A client: keeps a few bundles outstanding, sends to the primary it believes in, then to all, until enough answers match. */
import type { Bundle, Operation, ReplicaId } from "@narses/core";
import { requestId } from "@narses/core";
import { SESSION_WINDOW, type Answer } from "./app.ts";
import type { ClientKey, Toolkit } from "./keyring.ts";
import type { Random } from "./random.ts";
import type { SignedAnswer } from "./shell.ts";

export interface ClientWorld {
  readonly toolkit: Toolkit;
  payload(client: number, variant: number, i: number): Uint8Array;
  sendBundle(client: SimClient, to: ReplicaId, bundle: Bundle): void;
  onSubmitted(client: SimClient, bundle: Bundle): void;
  onAccepted(client: SimClient, bundle: Bundle, answer: Answer): void;
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
  /** Two different bundles under the same request ids, to different replicas, now and then. */
  readonly equivocates: boolean;
}

interface Outstanding {
  readonly bundle: Bundle;
  /** Replicas by the answer they gave. */
  readonly answers: Map<string, Set<ReplicaId>>;
  /** Replicas that executed it without an answer to show (they fetched the state), by slot. */
  readonly notices: Map<number, Set<ReplicaId>>;
}

export class SimClient {
  readonly options: ClientOptions;
  accepted = 0;
  private readonly world: ClientWorld;
  private readonly random: Random;
  private readonly outstanding = new Map<string, Outstanding>();
  private nextRid = 1;
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
    const count = this.random.int(1, this.options.operationsMax);
    const rid = this.nextRid;
    if (rid + count - 1 > this.ackLow + SESSION_WINDOW) return;
    this.nextRid += count;
    const bundle = this.make(rid, count, 0);
    this.outstanding.set(bundle.digest, { bundle, answers: new Map(), notices: new Map() });
    this.world.onSubmitted(this, bundle);
    if (this.random.chance(0.2)) this.sendToAll(bundle);
    else this.world.sendBundle(this, (this.believedView % this.options.n) as ReplicaId, bundle);
    if (!this.options.equivocates || !this.random.chance(0.3)) return;
    const other = this.make(rid, count, 1);
    this.world.onSubmitted(this, other);
    this.world.sendBundle(this, this.random.int(0, this.options.n - 1) as ReplicaId, other);
  }

  /** Sends everything outstanding to every replica again. */
  retransmit(): void {
    for (const { bundle } of this.outstanding.values()) this.sendToAll(bundle);
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
  }

  /** A replica says that it executed the bundle, and holds no answer any more. The next answer of another one counts it. */
  onNotice(from: ReplicaId, bundle: string, seq: number): void {
    const notices = this.outstanding.get(bundle)?.notices;
    if (notices === undefined) return;
    const senders = notices.get(seq);
    if (senders === undefined) notices.set(seq, new Set([from]));
    else senders.add(from);
  }

  private sendToAll(bundle: Bundle): void {
    for (let id = 0; id < this.options.n; id++) this.world.sendBundle(this, id as ReplicaId, bundle);
  }

  private make(rid: number, count: number, variant: number): Bundle {
    const operations = Array.from({ length: count }, (_, i): Operation => ({ kind: "apply", payload: this.world.payload(this.options.index, variant, i) }));
    return this.options.key.makeBundle({ ridFirst: requestId(rid), ackLow: Math.min(this.ackLow, rid - 1), operations });
  }
}
