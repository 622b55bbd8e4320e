/**
 * One replica around its engine, as production runs it: inputs of a turn → effects → everything durable → sign and send →
 * own messages come back as inputs of the next turn; decided slots are executed one by one between turns. No clock in here: a host (the simulator, or a scripted stage) says when.
 */
import type {
  Bundle, ClientId, Effect, EngineConfig, EngineStatus, Input, Memory, OrderingEngine, Outcome, OwnMessage, PeerMessage, Recovered, ReplicaId, SeqNum, Signed, SignedBody,
  Signer, StableCheckpoint, View, Vote,
} from "@narses/core";
import { assert, mintVerified, replicaId, seqNum, VOTES_PER_FRAME_MAX } from "@narses/core";
import { createEngine } from "@narses/pbft";
import { type Answer, answerTo, execute, isObsolete, type SimBlock, type State } from "./app.ts";
import type { CrashKind, Disk } from "./disk.ts";
import type { Toolkit } from "./keyring.ts";
import type { Random } from "./random.ts";

export interface SignedAnswer {
  readonly answer: Answer;
  readonly outcome: Signed<Outcome>;
  /** The sender's view, a hint. */
  readonly view: View;
}

/** What the world does for a shell, and what it may watch. */
export interface ShellHost {
  send(to: ReplicaId, message: PeerMessage): void;
  answer(client: ClientId, answer: SignedAnswer): void;
  /** The state is frozen at a checkpoint: call `checkpointDurable` when it is on disk. */
  freeze(state: State): void;
  /** The state of a certified checkpoint is wanted: call `installed` when it is on disk. */
  fetch(target: StableCheckpoint): void;
  onInput(input: Input): void;
  /** Before the effect happens. */
  onEffect(effect: Effect): void;
  onSigned(signed: Signed<SignedBody>): void;
  onExecuted(block: SimBlock, state: State): void;
}

export interface ShellOptions {
  readonly config: EngineConfig;
  readonly toolkit: Toolkit;
  readonly signer: Signer;
  readonly disk: Disk;
  readonly host: ShellHost;
  /** One frame for all votes of a turn, or one frame per vote. */
  readonly mergeVotes: boolean;
  /** How far the log can be trusted; absent: beyond doubt, and nobody is asked. */
  readonly memory?: Memory;
}

/** Inputs one turn takes, at most. */
export const TURN_INPUTS_MAX = 64;

type Action = Exclude<Effect, { type: "vote" | "persist" }> | { readonly type: "votes"; readonly votes: readonly Vote[] };

export class Shell {
  readonly disk: Disk;
  private readonly options: ShellOptions;
  private readonly engine: OrderingEngine;
  private state: State;
  private readonly own: Input[] = [];
  private readonly inbox: Input[] = [];
  private staged: readonly Effect[] = [];
  /** Decided slots handed over and not executed yet, in order. */
  private readonly decided: Extract<Effect, { type: "execute" }>[] = [];
  private transferring = false;
  /** Bundles given to the engine and not executed: to tell it which became obsolete. */
  private readonly admitted = new Map<string, Bundle>();

  /** Makes the engine out of what the disk holds. @throws InvariantViolation when the log contradicts itself. */
  constructor(options: ShellOptions, wallMs: number) {
    this.options = options;
    this.disk = options.disk;
    this.state = options.disk.snapshot;
    const { records } = options.disk;
    const { seq, head } = this.state;
    const fresh = records.length === 0 && seq === 0;
    const { memory } = options;
    const recovered: Recovered = { records: [...records], executedSeq: seq, ...(memory !== undefined && { memory }) };
    this.engine = createEngine(options.config, options.toolkit.tools, fresh && memory === undefined ? undefined : recovered);
    this.own.push({ type: "start", wallMs });
    // The durable checkpoint is known again, so that the engine can vouch for it again.
    if (seq > 0) this.own.push({ type: "checkpointed", seq, root: head });
  }

  get busy(): boolean {
    return this.staged.length > 0;
  }

  /** The staged turn must reach the disk before it may act. */
  get needsSync(): boolean {
    return this.staged.some((effect) => effect.type === "persist" && !effect.lazy);
  }

  get hasInput(): boolean {
    return this.own.length > 0 || this.inbox.length > 0;
  }

  get stateNow(): State {
    return this.state;
  }

  status(): EngineStatus {
    return this.engine.status();
  }

  deliver(input: Input): void {
    this.inbox.push(input);
  }

  /** A client's bundle: answered from the session if it was executed, else given to the engine. */
  request(bundle: Bundle): void {
    if (!this.options.toolkit.verifyBundle(bundle)) return;
    const held = answerTo(this.state, bundle);
    if (held !== undefined) return this.answer(bundle.client, held);
    this.deliver({ type: "request", bundle: mintVerified(bundle) });
  }

  /** Steps the engine over the inputs of one turn. Nothing happens outside until `commit`. */
  step(): void {
    const effects: Effect[] = [];
    for (let taken = 0; taken < TURN_INPUTS_MAX; taken++) {
      const input = this.own.shift() ?? this.inbox.shift();
      if (input === undefined) break;
      if (!this.admit(input)) continue;
      this.options.host.onInput(input);
      effects.push(...this.engine.step(input));
    }
    this.staged = effects;
  }

  /** Everything durable with one sync, then everything else in order. */
  commit(): void {
    const effects = this.staged;
    this.staged = [];
    this.persist(effects);
    for (const effect of effects) this.options.host.onEffect(effect);
    for (const action of actionsOf(effects, this.options.mergeVotes)) this.perform(action);
  }

  /**
   * Dies somewhere within the staged turn: before its sync, between two sends after it, or (as a shell that syncs each
   * record alone would) between any two effects.
   */
  crash(kind: CrashKind, random: Random): void {
    const effects = this.staged;
    this.staged = [];
    const model = random.pick(["before-sync", "after-sync", "record-by-record"] as const);
    if (model === "after-sync") {
      this.persist(effects);
      const actions = actionsOf(effects, this.options.mergeVotes);
      for (const action of actions.slice(0, random.int(0, actions.length))) this.perform(action);
    } else if (model === "record-by-record") {
      for (const effect of effects.slice(0, random.int(0, effects.length))) {
        if (effect.type === "persist") this.disk.append(effect.record);
        else {
          this.disk.sync();
          this.perform(effect.type === "vote" ? { type: "votes", votes: [effect.vote] } : effect);
        }
      }
    } else {
      for (const effect of effects) if (effect.type === "persist") this.disk.append(effect.record);
    }
    this.disk.crash(kind, random);
  }

  get hasDecided(): boolean {
    return this.decided.length > 0;
  }

  /** Executes the next decided slot. */
  executeNext(): void {
    const next = this.decided.shift();
    if (next !== undefined) this.execute(next);
  }

  /** The state frozen by `ShellHost.freeze` is on disk. */
  checkpointDurable(state: State): void {
    this.disk.saveSnapshot(state);
    this.own.push({ type: "checkpointed", seq: state.seq, root: state.head });
  }

  /** The state of a certified checkpoint, from wherever it came, is on disk in the place of the own one. */
  installed(state: State, stable: StableCheckpoint): void {
    this.transferring = false;
    this.state = state;
    this.disk.saveSnapshot(state);
    this.own.push({ type: "transferred", stable, obsolete: this.takeObsolete(state) });
  }

  private takeObsolete(state: State): Bundle["digest"][] {
    const obsolete = [...this.admitted.values()].filter((bundle) => isObsolete(state, bundle));
    for (const bundle of obsolete) this.admitted.delete(bundle.digest);
    return obsolete.map(({ digest }) => digest);
  }

  private admit(input: Input): boolean {
    const bundle = input.type === "request" ? input.bundle : input.type === "message" && input.message.type === "forward" ? input.message.bundle : undefined;
    if (bundle === undefined) return true;
    if (isObsolete(this.state, bundle)) return false;
    this.admitted.set(bundle.digest, bundle);
    return true;
  }

  private persist(effects: readonly Effect[]): void {
    let eager = false;
    for (const effect of effects) {
      if (effect.type !== "persist") continue;
      this.disk.append(effect.record);
      eager ||= !effect.lazy;
    }
    if (eager) this.disk.sync();
    else this.disk.flush();
  }

  private perform(action: Action): void {
    const { config } = this.options;
    const head = { epoch: config.epoch, sender: config.self };
    switch (action.type) {
      case "votes":
        return this.say({ type: "votes", ...head, votes: action.votes }, (signed) => ({ type: "votes", signed }));
      case "pre-prepare": {
        const { batch } = action;
        assert(batch !== undefined, "a proposal has a payload: only a new-view may re-propose the null batch");
        return this.say({ type: "pre-prepare", ...head, view: action.view, seq: action.seq, digest: action.digest }, (signed) => ({ type: "pre-prepare", signed, batch }));
      }
      case "checkpoint":
        return this.say({ type: "checkpoint", ...head, seq: action.seq, root: action.root }, (signed) => ({ type: "checkpoint", signed }));
      case "view-change":
        return this.say({ type: "view-change", ...head, view: action.view, stable: action.stable, prepared: action.prepared }, (signed) => ({ type: "view-change", signed }));
      case "new-view": {
        const prePrepares = action.proposals.map(({ seq, digest }) => this.sign({ type: "pre-prepare", ...head, view: action.view, seq, digest }));
        return this.say({ type: "new-view", ...head, view: action.view, viewChanges: action.viewChanges, prePrepares }, (signed) => ({ type: "new-view", signed }));
      }
      case "send":
        return this.broadcast(action.message, action.to);
      case "send-decisions":
        return this.sendDecisions(action.to, action.first, action.last);
      case "execute":
        return void this.decided.push(action);
      case "truncate":
        return this.disk.truncate(action.seq);
      case "transfer":
        // Said before the engine could know that the state is here: a replica, whose turns nothing comes between, would have heard it as a later target.
        if (this.own.some(({ type }) => type === "transferred")) return;
        this.decided.length = 0;
        // A later target while one is being fetched: that one will do.
        if (!this.transferring) this.options.host.fetch(action.target);
        this.transferring = true;
        return;
      case "diverged":
      case "memory":
      case "rejected":
      case "view-entered":
      case "view-left":
      case "clock-off":
        return; // observations: the host saw them
    }
  }

  private sign<B extends SignedBody>(body: B): Signed<B> {
    const signed = this.options.signer.sign(body);
    this.options.host.onSigned(signed);
    return signed;
  }

  private say<B extends OwnMessage["body"]>(body: B, wrap: (signed: Signed<B>) => PeerMessage): void {
    const signed = this.sign(body);
    this.broadcast(wrap(signed), "all");
    this.own.push({ type: "own", signed: signed as OwnMessage });
  }

  private broadcast(message: PeerMessage, to: ReplicaId | "all"): void {
    if (to !== "all") return this.options.host.send(to, message);
    const { self, quorums } = this.options.config;
    for (let id = 0; id < quorums.n; id++) if (id !== self) this.options.host.send(replicaId(id), message);
  }

  private sendDecisions(to: ReplicaId, first: SeqNum, last: SeqNum): void {
    for (let seq: number = first; seq <= last; seq++) {
      const block = this.disk.blocks[seq];
      if (block?.certificate === undefined) return;
      this.options.host.send(to, { type: "decision", certificate: block.certificate, batch: block.batch });
    }
  }

  private execute(effect: Extract<Effect, { type: "execute" }>): void {
    const { block, state } = execute(this.state, effect.seq, effect.batch, effect.certificate);
    this.state = state;
    this.disk.blocks[effect.seq] = block;
    this.options.host.onExecuted(block, state);
    this.own.push({ type: "executed", seq: seqNum(effect.seq), obsolete: this.takeObsolete(state) });
    for (const bundle of block.batch?.bundles ?? []) {
      const answer = answerTo(state, bundle);
      if (answer !== undefined) this.answer(bundle.client, answer);
    }
    if (effect.checkpoint) this.options.host.freeze(state);
  }

  private answer(client: ClientId, answer: Answer): void {
    const { epoch, self } = this.options.config;
    const outcome = this.sign({ type: "outcome", epoch, sender: self, seq: answer.seq, block: answer.block });
    this.options.host.answer(client, { answer, outcome, view: this.engine.status().view });
  }
}

/** Effects that act on the world, in order; the votes of the turn stand where the last of them stood. */
function actionsOf(effects: readonly Effect[], mergeVotes: boolean): readonly Action[] {
  const votes: Vote[] = [];
  let lastVote = -1;
  effects.forEach((effect, i) => {
    if (effect.type !== "vote") return;
    votes.push(effect.vote);
    lastVote = i;
  });
  const actions: Action[] = [];
  effects.forEach((effect, i) => {
    if (effect.type === "persist") return;
    if (effect.type !== "vote") return void actions.push(effect);
    if (!mergeVotes) return void actions.push({ type: "votes", votes: [effect.vote] });
    if (i !== lastVote) return;
    for (let first = 0; first < votes.length; first += VOTES_PER_FRAME_MAX) actions.push({ type: "votes", votes: votes.slice(first, first + VOTES_PER_FRAME_MAX) });
  });
  return actions;
}
