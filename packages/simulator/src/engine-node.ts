/** A node with an engine in a small shell: its disk, its clock, and the life it leads (up, paused, down). Fast, and not what ships. */
import type { ClientId, Effect, EngineStatus, Input, PeerMessage, ReplicaId, Signed, SignedBody, StableCheckpoint } from "@narses/core";
import { InvariantViolation, TICK_MS } from "@narses/core";
import type { Policy } from "./adversaries/policy.ts";
import type { SimBlock, State } from "./app.ts";
import { type CrashKind, Disk } from "./disk.ts";
import { hashText } from "./hash.ts";
import type { Toolkit } from "./keyring.ts";
import { EPOCH_MS, type Head, type NodeIdentity, type SimNode } from "./node.ts";
import type { Random } from "./random.ts";
import type { Scheduler } from "./scheduler.ts";
import { Shell, type SignedAnswer } from "./shell.ts";
import { Violation } from "./violation.ts";

/** What a node needs of the world. */
export interface EngineNodeWorld {
  readonly scheduler: Scheduler;
  readonly toolkit: Toolkit;
  route(from: EngineNode, to: ReplicaId, message: PeerMessage): void;
  routeAnswer(from: EngineNode, client: ClientId, answer: SignedAnswer): void;
  note(node: EngineNode, text: string): void;
  onInput(node: EngineNode, input: Input): void;
  onEffect(node: EngineNode, effect: Effect): void;
  onSigned(node: EngineNode, signed: Signed<SignedBody>): void;
  onExecuted(node: EngineNode, block: SimBlock, state: State): void;
  /** The state after a certified checkpoint: some correct replica has been there. */
  stateAt(checkpoint: StableCheckpoint): State | undefined;
  onStart(node: EngineNode): void;
  onTurn(node: EngineNode): void;
}

export interface EngineNodeOptions extends NodeIdentity {
  readonly mergeVotes: boolean;
  /** Wall clock minus true time. */
  readonly clockOffsetMs: number;
  /** Mean time of a sync, of executing a slot, and of making a checkpoint durable. */
  readonly syncMeanUs: number;
  readonly executionMeanUs: number;
  readonly checkpointMeanUs: number;
}

/** Fetching a state takes as long as making so many checkpoints durable, in the mean. */
const FETCH_CHECKPOINTS = 4;

export class EngineNode implements SimNode {
  readonly options: EngineNodeOptions;
  readonly disk: Disk = new Disk();
  readonly policies: Policy[] = [];
  /** Undefined while down. */
  shell: Shell | undefined;
  paused = false;
  /** Die in the middle of the next turn that does something. */
  armed: CrashKind | undefined;
  private wiped = false;
  private starts = 0;
  /** Counts lives: events of an earlier one are void. */
  private life = 0;
  private turnScheduled = false;
  private executing = false;
  private readonly world: EngineNodeWorld;
  private readonly random: Random;

  constructor(options: EngineNodeOptions, world: EngineNodeWorld, random: Random) {
    this.options = options;
    this.world = world;
    this.random = random;
  }

  get id(): ReplicaId {
    return this.options.id;
  }

  get name(): string {
    return this.options.name;
  }

  get byzantine(): boolean {
    return this.options.byzantine;
  }

  get machine(): undefined {
    return undefined;
  }

  get up(): boolean {
    return this.shell !== undefined;
  }

  get head(): Head | undefined {
    return this.shell?.stateNow;
  }

  status(): EngineStatus | undefined {
    return this.shell?.status();
  }

  wipe(): void {
    this.wiped = true;
    this.disk.wipe();
  }

  /** Its disk was lost, and the log does not say so yet. */
  private get forgot(): boolean {
    return this.wiped && !this.disk.records.some(({ type }) => type === "amnesia");
  }

  private get wallMs(): number {
    return EPOCH_MS + Math.floor(this.world.scheduler.now / 1000) + this.options.clockOffsetMs;
  }

  /** Starts, or restarts from what the disk holds. */
  start(): void {
    if (this.shell !== undefined) return;
    const { world } = this;
    this.guard(() => {
      this.shell = new Shell({
        config: this.options.config, toolkit: world.toolkit, signer: this.options.signer, disk: this.disk, mergeVotes: this.options.mergeVotes,
        memory: { nonce: hashText(`${this.name} starts for the ${++this.starts}. time`), ...(this.forgot && { lost: { view: undefined } }) },
        host: {
          send: (to, message) => world.route(this, to, message),
          answer: (client, answer) => world.routeAnswer(this, client, answer),
          freeze: (state) => this.freeze(state),
          fetch: (target) => this.fetch(target),
          onInput: (input) => world.onInput(this, input),
          onEffect: (effect) => world.onEffect(this, effect),
          onSigned: (signed) => world.onSigned(this, signed),
          onExecuted: (block, state) => world.onExecuted(this, block, state),
        },
      }, this.wallMs);
    });
    if (this.shell === undefined) return;
    world.onStart(this);
    this.wake();
    this.scheduleTick();
  }

  deliver(input: Input): void {
    this.shell?.deliver(input);
    this.wake();
  }

  wake(): void {
    if (this.turnScheduled || this.paused || this.shell?.hasInput !== true) return;
    this.turnScheduled = true;
    this.later(this.random.int(1, 30), () => this.turn());
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
    this.wake();
  }

  /** Dies now; in the middle of the staged turn if there is one. */
  crash(kind: CrashKind): void {
    const { shell } = this;
    if (shell === undefined) return;
    this.guard(() => {
      shell.crash(kind, this.random);
    });
    this.down();
  }

  private down(): void {
    this.life++;
    this.shell = undefined;
    this.turnScheduled = false;
    this.executing = false;
    this.paused = false;
    this.armed = undefined;
  }

  /** Runs in this life only. */
  private later(delayUs: number, run: () => void): void {
    const { life } = this;
    this.world.scheduler.after(delayUs, () => {
      if (this.life === life) run();
    });
  }

  /** An exception in a correct replica ends the run; in a Byzantine one it only ends that replica. */
  private guard(run: () => void): void {
    try {
      run();
    } catch (error) {
      if (error instanceof Violation) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      if (this.byzantine) {
        this.world.note(this, `# stops: ${reason}`);
        return this.down();
      }
      const what = error instanceof InvariantViolation ? "broken invariant" : "exception";
      throw new Violation("crash", "engine", `${this.name}: ${what}: ${reason}`, { cause: error });
    }
  }

  private turn(): void {
    const { shell } = this;
    if (shell === undefined) return;
    if (this.paused) {
      this.turnScheduled = false;
      return;
    }
    this.guard(() => {
      shell.step();
    });
    if (this.shell === undefined) return;
    if (this.armed !== undefined && shell.busy) {
      this.world.note(this, `# dies within a turn (${this.armed})`);
      return this.crash(this.armed);
    }
    this.later(shell.needsSync ? this.random.exponential(this.options.syncMeanUs) : 0, () => this.finish());
  }

  private finish(): void {
    this.guard(() => {
      this.shell?.commit();
    });
    if (this.shell === undefined) return;
    this.turnScheduled = false;
    this.world.onTurn(this);
    this.wake();
    this.executeSoon();
  }

  private executeSoon(): void {
    if (this.executing || this.shell?.hasDecided !== true) return;
    this.executing = true;
    this.later(this.random.exponential(this.options.executionMeanUs), () => {
      this.executing = false;
      this.guard(() => {
        this.shell?.executeNext();
      });
      this.wake();
      this.executeSoon();
    });
  }

  private scheduleTick(): void {
    this.later(TICK_MS * 1000 + this.random.int(-50, 50), () => {
      this.scheduleTick();
      if (this.paused) return;
      for (const policy of this.policies) {
        for (const { to, message } of policy.tick?.() ?? []) this.world.route(this, to, message);
        policy.ticked?.();
      }
      this.deliver({ type: "tick", wallMs: this.wallMs });
    });
  }

  private freeze(state: State): void {
    this.later(this.random.exponential(this.options.checkpointMeanUs), () => {
      this.shell?.checkpointDurable(state);
      this.wake();
    });
  }

  /** State transfer as the engine sees it: some time later the certified state is here. How it travels is not simulated. */
  private fetch(target: StableCheckpoint): void {
    this.later(this.random.exponential(FETCH_CHECKPOINTS * this.options.checkpointMeanUs), () => {
      const state = this.world.stateAt(target);
      if (state !== undefined) this.shell?.installed(state, target);
      this.wake();
    });
  }
}
