/**
 * Proposals that name large bundles by their digests. Their clients send those to every replica: here such a proposal waits until this
 * replica holds all of them, and goes on as a whole one, whose client signatures are verified like any other's. The engine is told of it
 * when it comes (its timers run from then, and two for one slot are equivocation), and votes for whole ones only: a PREPARE still means
 * that the payload is here, verified and durable.
 *
 * What does not come is fetched by digest: from the primary, then from W others at a time. Nothing depends on it: a proposal that is
 * dropped here is sent again whole in answer to STATUS, a decided one is learnt with its batch, and a primary that names what nobody
 * has is left by the request timer, like one that is silent.
 */
import {
  BUNDLES_PER_FETCH_MAX, rejection, replicaId, verdict,
  type Batch, type Bundle, type CompactPrePrepare, type Digest, type EngineConfig, type PeerMessage, type Rejection, type ReplicaId,
} from "@narses/core";
import type { Codec } from "@narses/wire";
import type { Counters } from "./counters.ts";
import { BUNDLES_AWAITED_TICKS, FETCH_INTERVALS_MAX, PROPOSALS_AWAITED_BYTES_MAX, PROPOSALS_AWAITED_MAX } from "./limits.ts";

/** A proposal whose payload is complete, as if the primary had sent it whole. */
export interface Completed {
  readonly from: ReplicaId;
  readonly message: Extract<PeerMessage, { readonly type: "pre-prepare" }>;
}

/** A proposal that is not waited for (any more); with `guilty`, no correct primary sends it. */
export interface Refused {
  readonly from: ReplicaId;
  readonly rejection: Rejection;
  readonly guilty: boolean;
}

export interface AssemblyOptions {
  readonly config: Pick<EngineConfig, "self" | "quorums" | "parameters">;
  readonly codec: Pick<Codec, "makeBatch">;
  /** A bundle that was verified and waits to be executed. */
  readonly find: (digest: Digest) => Bundle | undefined;
  /** The engine's opinion: undefined while the proposal is worth waiting for. */
  readonly screen: (message: PeerMessage) => Rejection | undefined;
  readonly send: (to: ReplicaId, message: PeerMessage) => boolean;
  readonly counters: Counters;
}

export interface Assembly {
  /** A proposal whose signature is good. Undefined: it waits. */
  proposal(from: ReplicaId, message: CompactPrePrepare): Completed | Refused | undefined;
  /** A bundle came, verified or not: what that makes of the proposals that wait for it. `fetched`: from a replica. */
  bundle(bundle: Bundle, fetched: boolean): readonly (Completed | Refused)[];
  /** A proposal kept here waits for this bundle. */
  awaits(digest: Digest): boolean;
  /** Drops what is not worth waiting for, and asks for what is missing. */
  tick(): void;
  /** Proposals that wait, and how many of its bundles each lacks: the lowest slot first. */
  readonly waiting: readonly { readonly seq: number; readonly missing: number; readonly of: number }[];
  /** Of the bundles that they hold. */
  readonly bytes: number;
}

interface Awaited {
  readonly message: CompactPrePrepare;
  readonly bundles: (Bundle | Digest)[];
  readonly missing: Set<Digest>;
  /** Of the bundles at hand: most are also accounted for where they wait, but may leave there first. */
  bytes: number;
  /** Since when nothing was asked for. */
  waitedTick: number;
  /** Requests so far. */
  asked: number;
  /** Something has come since the last request: it is answered, only not at once. */
  progress: boolean;
}

const refused = (from: ReplicaId, problem: Rejection): Refused => ({ from, rejection: problem, guilty: verdict(problem) === "misbehaviour" });

export function createAssembly(options: AssemblyOptions): Assembly {
  return new Table(options);
}

class Table implements Assembly {
  readonly #options: AssemblyOptions;
  /** By sequence number: one primary at a time may propose. */
  readonly #awaited = new Map<number, Awaited>();
  /** Slots that wait for a bundle. */
  readonly #wanted = new Map<Digest, Set<number>>();
  #bytes = 0;
  #tick = 0;

  constructor(options: AssemblyOptions) {
    this.#options = options;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get waiting(): Assembly["waiting"] {
    return [...this.#awaited.values()]
      .map(({ message, bundles, missing }) => ({ seq: message.signed.body.seq, missing: missing.size, of: bundles.length }))
      .sort((a, b) => a.seq - b.seq);
  }

  awaits(digest: Digest): boolean {
    return this.#wanted.has(digest);
  }

  proposal(from: ReplicaId, message: CompactPrePrepare): Completed | Refused | undefined {
    const { sender, seq, view } = message.signed.body;
    const refuse = (code: Rejection["code"], detail: string): Refused => refused(from, rejection(code, detail));
    // Others pass on whole ones only.
    if (from !== sender) return refuse("SENDER_MISMATCH", `a compact pre-prepare of replica ${sender}, brought by ${from}`);
    const held = this.#awaited.get(seq);
    // Whether it is the same again or another one is for the engine to judge, which was told of both.
    if (held !== undefined && held.message.signed.body.view === view) return refuse("DUPLICATE", `a proposal for seq ${seq} waits for ${held.missing.size} bundles already`);
    if (held !== undefined) this.#drop(held);
    const bundles = message.bundles.map((bundle) => (typeof bundle === "string" ? this.#options.find(bundle) ?? bundle : bundle));
    const missing = new Set(bundles.filter((bundle) => typeof bundle === "string"));
    const bytes = bundles.reduce((sum, bundle) => sum + (typeof bundle === "string" ? 0 : bundle.bytes.length), 0);
    const fresh: Awaited = { message, bundles, missing, bytes, waitedTick: this.#tick, asked: 0, progress: false };
    if (missing.size === 0 || this.#isTooLarge(fresh)) return this.#settle(fresh);
    this.#awaited.set(seq, fresh);
    this.#bytes += bytes;
    for (const digest of missing) this.#want(digest, seq);
    this.#makeRoom();
    return this.#awaited.get(seq) === fresh ? undefined : refuse("QUEUE_FULL", `${this.#awaited.size} proposals for lower slots wait for bundles already`);
  }

  bundle(bundle: Bundle, fetched: boolean): readonly (Completed | Refused)[] {
    const settled: (Completed | Refused)[] = [];
    for (const seq of [...(this.#wanted.get(bundle.digest) ?? [])]) {
      const held = this.#awaited.get(seq);
      if (held === undefined) continue;
      if (fetched) this.#options.counters.bundlesFetched++;
      held.progress = true;
      held.missing.delete(bundle.digest);
      this.#unwant(bundle.digest, seq);
      for (const [i, one] of held.bundles.entries()) {
        if (one !== bundle.digest) continue;
        held.bundles[i] = bundle;
        held.bytes += bundle.bytes.length;
        this.#bytes += bundle.bytes.length;
      }
      if (held.missing.size > 0 && !this.#isTooLarge(held)) continue;
      this.#drop(held);
      settled.push(this.#settle(held));
    }
    this.#makeRoom();
    return settled;
  }

  /** What is at hand is more than a batch may have: the rest is not worth waiting for. */
  #isTooLarge({ bytes }: Awaited): boolean {
    return bytes > this.#options.config.parameters.batchBytesMax;
  }

  tick(): void {
    this.#tick++;
    for (const held of [...this.#awaited.values()].sort((a, b) => a.message.signed.body.seq - b.message.signed.body.seq)) {
      // The view was left, the slot is settled, or the proposal came whole.
      if (this.#options.screen(held.message) !== undefined) this.#drop(held);
      else this.#ask(held);
    }
  }

  /** Its client's own copy may be on the way: the first request waits a little; further ones as long as answers come, and longer each time. */
  #ask(held: Awaited): void {
    const { statusIntervalTicks } = this.#options.config.parameters;
    const wait = held.asked === 0 ? BUNDLES_AWAITED_TICKS : statusIntervalTicks * Math.min(held.asked, FETCH_INTERVALS_MAX);
    if (this.#tick - held.waitedTick < wait) return;
    held.waitedTick = this.#tick;
    const answered = held.progress && held.asked > 0;
    held.progress = false;
    if (answered) return;
    const { seq, digest } = held.message.signed.body;
    const bundles = [...held.missing].slice(0, BUNDLES_PER_FETCH_MAX);
    for (const to of this.#donors(held)) this.#options.send(to, { type: "fetch-bundles", seq, digest, bundles });
    held.asked++;
  }

  /** The primary, then W at a time, others each time: once any correct replica has them all, one of n in turn has. */
  #donors({ asked, message }: Awaited): readonly ReplicaId[] {
    const { self, quorums: { n, weak } } = this.#options.config;
    if (asked === 0) return [message.signed.body.sender];
    return Array.from({ length: Math.min(weak, n - 1) }, (_, i) => replicaId((self + 1 + (((asked - 1) * weak + i) % (n - 1))) % n));
  }

  #settle(held: Awaited): Completed | Refused {
    const { message: { signed, timestampMs }, bundles, bytes } = held;
    const { epoch, sender, seq } = signed.body;
    if (this.#isTooLarge(held)) {
      const { batchBytesMax } = this.#options.config.parameters;
      return refused(sender, rejection("BATCH_INVALID", `the batch for seq ${seq} has ${bytes} bytes or more, at most batchBytesMax ${batchBytesMax}`));
    }
    const batch: Batch = this.#options.codec.makeBatch(epoch, timestampMs, bundles.filter((bundle) => typeof bundle !== "string"));
    return { from: sender, message: { type: "pre-prepare", signed, batch } };
  }

  /** The highest slots give way: those below must be executed first. */
  #makeRoom(): void {
    while (this.#awaited.size > PROPOSALS_AWAITED_MAX || (this.#awaited.size > 1 && this.#bytes > PROPOSALS_AWAITED_BYTES_MAX)) {
      const highest = this.#awaited.get(Math.max(...this.#awaited.keys()));
      if (highest === undefined) return;
      this.#drop(highest);
    }
  }

  #drop(held: Awaited): void {
    const { seq } = held.message.signed.body;
    if (!this.#awaited.delete(seq)) return;
    this.#bytes -= held.bytes;
    for (const digest of held.missing) this.#unwant(digest, seq);
  }

  #want(digest: Digest, seq: number): void {
    const slots = this.#wanted.get(digest);
    if (slots === undefined) this.#wanted.set(digest, new Set([seq]));
    else slots.add(seq);
  }

  #unwant(digest: Digest, seq: number): void {
    const slots = this.#wanted.get(digest);
    slots?.delete(seq);
    if (slots?.size === 0) this.#wanted.delete(digest);
  }
}
