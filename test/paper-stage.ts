/** A stage that remembers what each replica said and did: what the paper's claims are about. */
import {
  type Bundle, type Digest, type Effect, type PeerMessage, type PrePrepare, type Rejection, replicaId, type ReplicaId, seqNum, type Signed, type SignedBody, view, type ViewChange, type Votes,
} from "@narses/core";
import { Stage, STAGE_WALL_MS, type StageOptions } from "@narses/simulator";

/** K = 2, L = 4; timeouts 10 (request), 4 (disconnect), 8 (new-view) ticks; STATUS out of the way. */
const PARAMETERS = { checkpointInterval: 2, logWindow: 4, pipelineDepth: 2, requestTimeoutTicks: 10, disconnectTimeoutTicks: 4, viewChangeTimeoutTicks: 8, statusIntervalTicks: 1_000 };

export class Recorded extends Stage {
  readonly effects: ReadonlyMap<ReplicaId, Effect[]>;
  readonly signed: ReadonlyMap<ReplicaId, SignedBody[]>;
  readonly answered: (readonly [ReplicaId, Digest, string])[];

  constructor(n: number, options: Partial<StageOptions> = {}) {
    const ids = Array.from({ length: n }, (_, id) => replicaId(id));
    const effects = new Map(ids.map((id) => [id, [] as Effect[]]));
    const signed = new Map(ids.map((id) => [id, [] as SignedBody[]]));
    const answered: (readonly [ReplicaId, Digest, string])[] = [];
    super({
      n, ...options, parameters: { ...PARAMETERS, ...options.parameters },
      onEffect: (id, effect) => void effects.get(id)?.push(effect),
      onSigned: (id, { body }) => void signed.get(id)?.push(body),
      onAnswer: (id, { answer }) => void answered.push([id, answer.bundle, answer.result]),
    });
    this.effects = effects;
    this.signed = signed;
    this.answered = answered;
  }

  /** Effects of a replica, without observations and STATUS. */
  acts(id: number): readonly Effect[] {
    return (this.effects.get(replicaId(id)) ?? []).filter((e) =>
      e.type !== "rejected" && e.type !== "view-left" && e.type !== "view-entered" && !(e.type === "send" && e.message.type === "status"));
  }

  /** Forgets what was recorded so far. */
  forget(): void {
    for (const list of [...this.effects.values(), ...this.signed.values()]) list.length = 0;
    this.answered.length = 0;
  }

  rejections(id: number): readonly Rejection[] {
    return (this.effects.get(replicaId(id)) ?? []).flatMap((e) => (e.type === "rejected" ? [e.rejection] : []));
  }

  votes(id: number, phase: "prepare" | "commit"): readonly string[] {
    return this.acts(id).flatMap((e) => (e.type === "vote" && e.vote.phase === phase ? [`v${e.vote.view} n${e.vote.seq}`] : []));
  }

  executed(id: number): readonly number[] {
    return this.acts(id).flatMap((e) => (e.type === "execute" ? [e.seq] : []));
  }

  /** Replicas at, and the views they are in. */
  views(): readonly string[] {
    return this.ids.filter((id) => this.isUp(id)).map((id) => `${this.shell(id).status().view}${this.shell(id).status().active ? "" : " inactive"}`);
  }

  /** A request, delivered to the primary of the view r1 is in, ordered and executed everywhere. */
  order(bundle: Bundle = this.makeBundle()): Bundle {
    this.request(this.shell(1).status().view % this.options.n, bundle);
    this.pass();
    return bundle;
  }

  /** PRE-PREPARE signed by `from`, for these bundles, whatever `from` believes. */
  propose(from: number, to: number, v: number, n: number, bundles: readonly Bundle[]): Signed<PrePrepare> {
    const { epoch } = this.config(from);
    const batch = this.keyring.toolkit.tools.makeBatch(epoch, STAGE_WALL_MS, bundles);
    const signed = this.signer(from).sign<PrePrepare>({ type: "pre-prepare", epoch, sender: replicaId(from), view: view(v), seq: seqNum(n), digest: batch.digest });
    this.inject(from, to, { type: "pre-prepare", signed, batch });
    return signed;
  }

  vote(from: number, to: number, phase: "prepare" | "commit", v: number, n: number, digest: Digest): void {
    const { epoch } = this.config(from);
    this.inject(from, to, { type: "votes", signed: this.signer(from).sign<Votes>({ type: "votes", epoch, sender: replicaId(from), votes: [{ phase, view: view(v), seq: seqNum(n), digest }] }) });
  }

  viewChange(from: number, v: number): PeerMessage {
    const { epoch, genesisRoot } = this.config(from);
    const body: ViewChange = { type: "view-change", epoch, sender: replicaId(from), view: view(v), stable: { seq: seqNum(0), root: genesisRoot, proof: [] }, prepared: [] };
    return { type: "view-change", signed: this.signer(from).sign(body) };
  }

  /** Every replica but `except` gives up on the primary: its request timer runs out. */
  suspect(except: readonly number[] = []): void {
    const bundle = this.makeBundle();
    for (const id of this.ids) {
      if (except.includes(id) || !this.isUp(id)) continue;
      this.request(id, bundle);
      this.tick(id, 10);
    }
  }
}

/** Types of effects, `persist` and `send` with what they carry. */
export const words = (effects: readonly Effect[]): readonly string[] => effects.map((e) => {
  if (e.type === "persist") return `persist ${e.record.type}`;
  if (e.type === "vote") return `vote ${e.vote.phase}`;
  return e.type === "send" ? `send ${e.message.type}` : e.type;
});
