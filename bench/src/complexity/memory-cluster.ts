/**
 * A cluster in memory: real engines, real wire layouts, a lock-step network in which every message takes exactly one delay.
 * Signatures are counted and have the real size, but cost a hash: the protocol is measured here, not the cryptography.
 *
 * One delay = one round: everything sent in round t arrives in round t+1, in order of sender. A replica reads what arrived in one
 * turn, waits once for the disk if the turn has anything to persist, speaks, and counts its own votes at once, as production does.
 */
import {
  assert, digest, epoch, InvariantViolation, isStateMessage, mintVerified, NULL_DIGEST, quorums, rejection, replicaId, requestId, VOTES_PER_FRAME_MAX, DEFAULT_PARAMETERS,
  type Batch, type Bundle, type Digest, type Effect, type Input, type OrderingEngine, type OwnMessage, type Parameters, type PeerMessage, type Quorums,
  type ReplicaId, type SeqNum, type Signed, type SignedBody, type SigningKey, type Vote,
} from "@narses/core";
import { hasher } from "@narses/crypto";
import { createEngine } from "@narses/pbft";
import { createCodec, type Codec } from "@narses/wire";
import { envelopesOf, nameOf } from "./envelopes.ts";
import { executeBatch, type Executed } from "./executed.ts";
import { newTally, type Phase, type Tally } from "./tally.ts";

export interface MemoryOptions {
  readonly n: number;
  readonly parameters?: Partial<Parameters>;
  /** Votes of a turn share a frame, as in production; false: each travels alone, as in the textbook. */
  readonly mergeVotes: boolean;
}

interface Envelope {
  readonly from: ReplicaId;
  readonly to: ReplicaId | "all";
  readonly message: PeerMessage;
}

interface Node {
  readonly id: ReplicaId;
  readonly engine: OrderingEngine;
  readonly checked: Set<string>;
  readonly prepared: Set<SeqNum>;
  readonly committed: Set<SeqNum>;
  head: Digest;
}

/** Deterministic, unique, 64 bytes. */
function fakeSignature(message: Uint8Array): Uint8Array {
  const half = hasher.sha256(message);
  const signature = new Uint8Array(64);
  signature.set(half, 0);
  signature.set(half, 32);
  return signature;
}

const fakeClient = (index: number): SigningKey => ({ publicKey: hasher.sha256(Uint8Array.of(index >> 8, index & 255)), sign: fakeSignature });

/** How the engine names what `suspectPrimary` tells it. */
const SUSPICION = "frame";

/** Fixed, so that the same run gives the same bytes. */
const WALL_MS = 1_700_000_000_000;

export class MemoryCluster {
  readonly quorums: Quorums;
  readonly codec: Codec;
  readonly parameters: Parameters;
  tally: Tally = newTally();
  /** Messages it takes away on their way; they count as sent. */
  lose: (message: PeerMessage) => boolean = () => false;
  /** Rounds passed. */
  round = 0;
  /** Round in which the W-th replica's reply to a slot arrives at its clients. */
  readonly answered: Map<SeqNum, number> = new Map();
  readonly #mergeVotes: boolean;
  readonly #nodes: readonly Node[];
  readonly #executed = new Map<string, Executed>();
  readonly #replied = new Map<SeqNum, number>();
  #flying: Envelope[] = [];
  #arriving: Bundle[] = [];
  #nextRid = 1;

  constructor({ n, parameters, mergeVotes }: MemoryOptions) {
    this.quorums = quorums(n);
    // What is counted is a slot: each one is proposed at once, nothing is gathered.
    this.parameters = { ...DEFAULT_PARAMETERS, batchDelayTicks: 0, ...parameters };
    this.#mergeVotes = mergeVotes;
    this.codec = createCodec({ hasher, clusterId: digest("c".repeat(64)), epoch: epoch(0), replicas: n, parameters: this.parameters });
    this.#nodes = Array.from({ length: n }, (_, id) => ({
      id: replicaId(id), checked: new Set<string>(), prepared: new Set<SeqNum>(), committed: new Set<SeqNum>(), head: NULL_DIGEST,
      engine: createEngine(
        { self: replicaId(id), epoch: epoch(0), quorums: this.quorums, parameters: this.parameters, genesisRoot: NULL_DIGEST },
        { makeBatch: this.codec.makeBatch },
      ),
    }));
    for (const node of this.#nodes) this.#turn(node, [{ type: "start", wallMs: WALL_MS }]);
  }

  /** Bundles that reach the primary in the next round; each of another client, so that rids never collide. */
  submit(bundles: readonly number[], payloadBytes: number): void {
    const ridFirst = requestId(this.#nextRid);
    this.#nextRid += Math.max(...bundles);
    bundles.forEach((operations, client) => {
      const payload = new Uint8Array(payloadBytes);
      const bundle = this.codec.makeBundle({
        key: fakeClient(client), session: 0, ridFirst, ackLow: 0, operations: Array.from({ length: operations }, () => ({ kind: "apply" as const, payload })),
      });
      this.tally.requests.messages++;
      this.tally.requests.bytes += bundle.bytes.length;
      this.#arriving.push(bundle);
    });
  }

  /** Every replica learns at the same moment that the primary lies: nobody waits for a timer, so nothing but the view change is sent. */
  suspectPrimary(): void {
    const primary = this.status(0).primary;
    for (const node of this.#nodes) {
      this.#turn(node, [{ type: "misbehaviour", replica: primary, rejection: rejection("EQUIVOCATION", "the benchmark says so") }]);
    }
  }

  /** Nothing is under way. */
  get isSettled(): boolean {
    return this.#flying.length === 0 && this.#arriving.length === 0;
  }

  /** Rounds until nothing is under way. */
  settle(): void {
    while (!this.isSettled) this.step();
  }

  status(id: number): ReturnType<OrderingEngine["status"]> {
    return this.#node(id).engine.status();
  }

  everywhere(holds: (status: ReturnType<OrderingEngine["status"]>) => boolean): boolean {
    return this.#nodes.every(({ engine }) => holds(engine.status()));
  }

  #node(id: number): Node {
    const node = this.#nodes[id];
    assert(node !== undefined, `there is no replica ${id}`);
    return node;
  }

  /** One message delay. */
  step(): void {
    this.round++;
    const arriving = this.#arriving;
    const flying = this.#flying.filter(({ message }) => !this.lose(message));
    this.#arriving = [];
    this.#flying = [];
    const primary = this.status(0).primary;
    for (const node of this.#nodes) {
      const inputs: Input[] = [];
      for (const bundle of node.id === primary ? arriving : []) inputs.push({ type: "request", bundle: this.#checkBundle(node, bundle) });
      for (const { from, to, message } of flying) {
        if (from !== node.id && (to === "all" || to === node.id)) inputs.push({ type: "message", from, message: mintVerified(message) });
      }
      if (inputs.length > 0) this.#turn(node, inputs);
    }
  }

  /** Turns until the replica has nothing more to say to itself: own votes take no delay. */
  #turn(node: Node, first: readonly Input[]): void {
    for (let inputs = first; inputs.length > 0; ) {
      const effects: Effect[] = [];
      for (const input of inputs) {
        if (input.type === "message") this.#check(node, input.message);
        const now = node.engine.step(input);
        this.#observe(node, now);
        effects.push(...now);
      }
      if (effects.some((effect) => (effect.type === "persist" && !effect.lazy) || effect.type === "truncate")) {
        this.tally.fsyncs += (effects.some((e) => e.type === "persist" && !e.lazy) ? 1 : 0) + effects.filter((e) => e.type === "truncate").length;
      }
      inputs = this.#perform(node, effects);
    }
  }

  #observe(node: Node, effects: readonly Effect[]): void {
    for (const effect of effects) {
      if (effect.type === "rejected" && effect.message !== SUSPICION) throw new InvariantViolation(`replica ${node.id} rejected ${effect.message}: ${effect.rejection.detail}`);
      if (effect.type === "diverged") throw new InvariantViolation(`replica ${node.id} diverged at slot ${effect.seq}`);
      if (effect.type !== "persist") continue;
      const { record } = effect;
      if (record.type === "prepared") node.prepared.add(record.certificate.prePrepare.body.seq);
      if (record.type === "committed") node.committed.add(record.certificate.seq);
    }
  }

  // ── verifying ──

  #checkBundle(node: Node, bundle: Bundle): ReturnType<typeof mintVerified<Bundle>> {
    if (!node.checked.has(bundle.digest)) this.tally.requests.checked++;
    node.checked.add(bundle.digest);
    return mintVerified(bundle);
  }

  #check(node: Node, message: PeerMessage): void {
    const { phases } = this.tally;
    const count = phases[phaseOf(message)];
    const needed = isNeeded(node, message);
    for (const name of envelopesOf(message)) {
      if (node.checked.has(name)) continue;
      node.checked.add(name);
      count.checked++;
      if (needed) count.needed++;
    }
    if (message.type === "pre-prepare") for (const bundle of message.batch.bundles) this.#checkBundle(node, bundle);
  }

  // ── speaking ──

  #perform(node: Node, effects: readonly Effect[]): readonly Input[] {
    const own: Input[] = [];
    let votes: Vote[] = [];
    const castVotes = (): void => {
      const size = this.#mergeVotes ? VOTES_PER_FRAME_MAX : 1;
      for (let i = 0; i < votes.length; i += size) {
        own.push(this.#say(node, { type: "votes", epoch: epoch(0), sender: node.id, votes: votes.slice(i, i + size) }, (signed) => ({ type: "votes", signed })));
      }
      votes = [];
    };
    for (const effect of effects) {
      if (effect.type === "vote") votes.push(effect.vote);
      else {
        if (effect.type === "view-change" || effect.type === "new-view") castVotes();
        own.push(...this.#act(node, effect));
      }
    }
    castVotes();
    return own;
  }

  #act(node: Node, effect: Exclude<Effect, { type: "vote" }>): readonly Input[] {
    const author = { epoch: epoch(0), sender: node.id };
    switch (effect.type) {
      case "pre-prepare": {
        const { view, seq, digest: name, batch } = effect;
        assert(batch !== undefined, "a primary proposes no null batch here");
        return [this.#say(node, { type: "pre-prepare", ...author, view, seq, digest: name }, (signed) => ({ type: "pre-prepare", signed, batch }))];
      }
      case "checkpoint":
        return [this.#say(node, { type: "checkpoint", ...author, seq: effect.seq, root: effect.root }, (signed) => ({ type: "checkpoint", signed }))];
      case "view-change": {
        const { view, stable, prepared } = effect;
        return [this.#say(node, { type: "view-change", ...author, view, stable, prepared }, (signed) => ({ type: "view-change", signed }))];
      }
      case "new-view": {
        const { view, viewChanges } = effect;
        const prePrepares = effect.proposals.map(({ seq, digest: name }) =>
          this.#sign(node, { type: "pre-prepare" as const, ...author, view, seq, digest: name }, "new-view"));
        return [this.#say(node, { type: "new-view", ...author, view, viewChanges, prePrepares }, (signed) => ({ type: "new-view", signed }))];
      }
      case "send":
        this.#send(node, effect.to, effect.message);
        return [];
      case "execute":
        return this.#execute(node, effect.seq, effect.batch, effect.checkpoint);
      case "send-decisions":
        throw new InvariantViolation("no replica is behind in this harness");
      default:
        return [];
    }
  }

  #sign<B extends SignedBody>(node: Node, body: B, phase: Phase | "reply"): Signed<B> {
    const unsigned = this.codec.unsigned(body);
    const signed = this.codec.seal(body, unsigned, fakeSignature(this.codec.signingInput(unsigned)));
    node.checked.add(nameOf(signed));
    if (phase === "reply") this.tally.replies.made++;
    else this.tally.phases[phase].made++;
    return signed;
  }

  #say<B extends OwnMessage["body"]>(node: Node, body: B, wrap: (signed: Signed<B>) => PeerMessage): Input {
    const signed = this.#sign(node, body, bodyPhase(body));
    this.#send(node, "all", wrap(signed));
    return { type: "own", signed: signed as OwnMessage };
  }

  /** Encodes, counts, and hands on what a receiver decodes from the bytes. */
  #send(node: Node, to: ReplicaId | "all", message: PeerMessage): void {
    const receivers = to === "all" ? this.quorums.n - 1 : 1;
    if (receivers === 0) return;
    const frame = this.codec.encodePeer(message);
    const count = this.tally.phases[phaseOf(message)];
    count.messages += receivers;
    count.bytes += receivers * frame.length;
    const decoded = this.codec.decodePeer(frame);
    assert(decoded.ok && !isStateMessage(decoded.value), `an own ${message.type} does not decode`);
    this.#flying.push({ from: node.id, to, message: decoded.value });
  }

  #execute(node: Node, seq: SeqNum, batch: Batch | undefined, checkpoint: boolean): readonly Input[] {
    const key = `${node.head} ${seq} ${batch?.digest ?? ""}`;
    let executed = this.#executed.get(key);
    if (executed === undefined) this.#executed.set(key, (executed = executeBatch(seq, batch, node.head)));
    node.head = executed.hash;
    const outcome = this.#sign(node, { type: "outcome" as const, epoch: epoch(0), sender: node.id, seq, block: executed.hash }, "reply");
    for (const frame of executed.replies(this.codec, outcome, node.engine.status().view)) {
      this.tally.replies.messages++;
      this.tally.replies.bytes += frame.length;
    }
    const replied = (this.#replied.get(seq) ?? 0) + 1;
    this.#replied.set(seq, replied);
    if (replied === this.quorums.weak) this.answered.set(seq, this.round + 1);
    const inputs: Input[] = [{ type: "executed", seq, obsolete: [] }];
    if (checkpoint) inputs.push({ type: "checkpointed", seq, root: executed.hash });
    return inputs;
  }
}

export function phaseOf(message: PeerMessage): Phase {
  switch (message.type) {
    case "pre-prepare":
    case "checkpoint":
    case "view-change":
    case "new-view":
      return message.type;
    case "votes":
      return bodyPhase(message.signed.body);
    default:
      return "other";
  }
}

function bodyPhase(body: OwnMessage["body"]): Phase {
  if (body.type !== "votes") return body.type;
  const phase = body.votes[0]?.phase ?? "prepare";
  return body.votes.every((vote) => vote.phase === phase) ? phase : "mixed";
}

/** Whether a verifier that stops at the quorum would still look. */
function isNeeded(node: Node, message: PeerMessage): boolean {
  if (message.type !== "votes") return true;
  return message.signed.body.votes.some(({ phase, seq }) => !(phase === "prepare" ? node.prepared : node.committed).has(seq));
}
