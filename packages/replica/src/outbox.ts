/**
 * Saying things: signs what the engine wants said, encodes it once, and sends the same bytes to every receiver. Runs after
 * the journal, so that everything said is durable. Own messages go back to the engine, which counts them from then on.
 */
import {
  NarsesError, replicaId, votesPerFrameMax,
  type Batch, type Bundle, type Effect, type EngineConfig, type Input, type Logger, type OwnMessage, type PeerMessage, type PrePrepare, type ReplicaId,
  type Signed, type Signer, type SignedBody, type StateMessage, type Transport, type Vote,
} from "@narses/core";
import type { Codec } from "@narses/wire";
import { count, type Counters } from "./counters.ts";
import { ANSWER_BURST_BYTES, ANSWER_BYTES_PER_TICK } from "./limits.ts";

/** The effects that say something. */
export type Utterance = Extract<Effect, { type: "pre-prepare" | "vote" | "checkpoint" | "view-change" | "new-view" | "send" }>;

export function isUtterance(effect: Effect): effect is Utterance {
  switch (effect.type) {
    case "pre-prepare":
    case "vote":
    case "checkpoint":
    case "view-change":
    case "new-view":
    case "send":
      return true;
    default:
      return false;
  }
}

export interface Outbox {
  /** Says everything, in order; votes are merged. Returns the own messages for the engine. */
  say(utterances: readonly Utterance[]): readonly Input[];
  /** Sends one message that needs no signature; false when the transport does not take it, or the receiver had its share. */
  send(to: ReplicaId, message: PeerMessage | StateMessage): boolean;
  tick(): void;
}

/** Sent to one peer because it asked, or claimed to lack it: bulky, and a peer may ask for ever. */
const ANSWERS: ReadonlySet<(PeerMessage | StateMessage)["type"]> =
  new Set(["pre-prepare", "votes", "checkpoint", "view-change", "new-view", "batch", "decision", "stable", "recalled"]);

export interface OutboxOptions {
  readonly config: Pick<EngineConfig, "self" | "epoch" | "quorums" | "parameters">;
  readonly signer: Signer;
  readonly codec: Pick<Codec, "encodePeer">;
  readonly transport: Pick<Transport, "send">;
  readonly counters: Counters;
  readonly logger: Logger;
}

export function createOutbox(options: OutboxOptions): Outbox {
  const speaker = new Speaker(options);
  const frameMax = votesPerFrameMax(options.config.quorums.n);
  return {
    say(utterances) {
      const own: Input[] = [];
      let votes: Vote[] = [];
      const castVotes = (): void => {
        for (let i = 0; i < votes.length; i += frameMax) own.push(...speaker.votes(votes.slice(i, i + frameMax)));
        votes = [];
      };
      // Answers to peers and relays can be bulky: nothing that carries a vote waits behind them.
      const sends = utterances.filter((effect) => effect.type === "send");
      for (const effect of utterances) {
        if (effect.type === "send") continue;
        if (effect.type === "vote") {
          votes.push(effect.vote);
          continue;
        }
        // Nothing of an old view may follow the message that leaves it.
        if (effect.type === "view-change" || effect.type === "new-view") castVotes();
        own.push(...speaker.say(effect));
      }
      castVotes();
      for (const effect of sends) speaker.say(effect);
      return own;
    },
    send: (to, message) => speaker.answer(to, message),
    tick: () => speaker.tick(),
  };
}

class Speaker {
  readonly #options: OutboxOptions;
  readonly #others: readonly ReplicaId[];
  /** Bytes each peer may still get as answers now; less than none after a large one. Missing: all. */
  readonly #answerBytes = new Map<ReplicaId, number>();

  constructor(options: OutboxOptions) {
    this.#options = options;
    const { self, quorums } = options.config;
    this.#others = Array.from({ length: quorums.n }, (_, id) => replicaId(id)).filter((id) => id !== self);
  }

  votes(votes: readonly Vote[]): readonly Input[] {
    return this.#signAndSend(() => {
      const signed = this.#sign({ type: "votes", ...this.#author(), votes });
      return { own: signed, message: { type: "votes", signed } };
    });
  }

  say(effect: Exclude<Utterance, { type: "vote" }>): readonly Input[] {
    switch (effect.type) {
      case "send":
        if (effect.to === "all") this.send(this.#others, effect.message);
        else this.answer(effect.to, effect.message);
        return [];
      case "pre-prepare": {
        const { view, seq, digest, batch } = effect;
        return this.#signAndSend(() => {
          const signed = this.#sign({ type: "pre-prepare", ...this.#author(), view, seq, digest });
          return { own: signed, message: batch === undefined ? undefined : this.#proposal(signed, batch) };
        });
      }
      case "checkpoint":
        return this.#signAndSend(() => {
          const signed = this.#sign({ type: "checkpoint", ...this.#author(), seq: effect.seq, root: effect.root });
          return { own: signed, message: { type: "checkpoint", signed } };
        });
      case "view-change":
        return this.#signAndSend(() => {
          const signed = this.#sign({ type: "view-change", ...this.#author(), view: effect.view, stable: effect.stable, prepared: effect.prepared });
          return { own: signed, message: { type: "view-change", signed } };
        });
      case "new-view":
        return this.#signAndSend(() => {
          const { view, viewChanges } = effect;
          const prePrepares = effect.proposals.map(({ seq, digest }) => this.#sign({ type: "pre-prepare", ...this.#author(), view, seq, digest }));
          const signed = this.#sign({ type: "new-view", ...this.#author(), view, viewChanges, prePrepares });
          return { own: signed, message: { type: "new-view", signed } };
        });
    }
  }

  /** Large bundles come to everybody from their clients: of those a fresh proposal has just the digests. What is sent again is whole. */
  #proposal(signed: Signed<PrePrepare>, batch: Batch): PeerMessage {
    const { largeBundleBytes } = this.#options.config.parameters;
    const { timestampMs, bundles } = batch;
    const isLarge = ({ bytes }: Bundle): boolean => bytes.length > largeBundleBytes;
    if (!bundles.some(isLarge)) return { type: "pre-prepare", signed, batch };
    return { type: "compact-pre-prepare", signed, timestampMs, bundles: bundles.map((bundle) => (isLarge(bundle) ? bundle.digest : bundle)) };
  }

  /** To one peer, within its share of answers: what it lacks now it asks for again. */
  answer(to: ReplicaId, message: PeerMessage | StateMessage): boolean {
    if (!ANSWERS.has(message.type)) return this.send([to], message);
    const left = this.#answerBytes.get(to) ?? ANSWER_BURST_BYTES;
    if (left <= 0) {
      this.#options.counters.answersDropped++;
      return false;
    }
    const before = this.#options.counters.bytesSent;
    const taken = this.send([to], message);
    this.#answerBytes.set(to, left - (this.#options.counters.bytesSent - before));
    return taken;
  }

  tick(): void {
    for (const [to, left] of this.#answerBytes) {
      if (left + ANSWER_BYTES_PER_TICK >= ANSWER_BURST_BYTES) this.#answerBytes.delete(to);
      else this.#answerBytes.set(to, left + ANSWER_BYTES_PER_TICK);
    }
  }

  /** Encodes once. False when a receiver's queue did not take it. */
  send(to: readonly ReplicaId[], message: PeerMessage | StateMessage): boolean {
    const { transport, codec, counters, config } = this.#options;
    const receivers = to.filter((replica) => replica !== config.self);
    if (receivers.length === 0) return true;
    const frame = codec.encodePeer(message);
    let taken = true;
    for (const replica of receivers) {
      if (transport.send(replica, frame)) {
        count(counters.sent, message.type);
        counters.bytesSent += frame.length;
      } else {
        counters.sendsDropped++;
        taken = false;
      }
    }
    return taken;
  }

  #author(): { readonly epoch: EngineConfig["epoch"]; readonly sender: ReplicaId } {
    const { epoch, self } = this.#options.config;
    return { epoch, sender: self };
  }

  #sign<B extends SignedBody>(body: B): Signed<B> {
    return this.#options.signer.sign(body);
  }

  /** A message that outgrew the largest frame is not said: it would be the same after a restart, and stopping helps nobody. */
  #signAndSend(make: () => { readonly own: OwnMessage; readonly message: PeerMessage | undefined }): readonly Input[] {
    try {
      const { own, message } = make();
      if (message !== undefined) this.send(this.#others, message);
      return [{ type: "own", signed: own }];
    } catch (error) {
      if (!(error instanceof NarsesError) || error.code !== "FRAME_INVALID") throw error;
      this.#options.logger.error({ code: error.code }, error.message);
      return [];
    }
  }
}
