/**
 * A scripted cluster: real engines in real shells, but no clock and no chance. Messages wait until the script passes or
 * drops them. For golden traces, paper tests and message counts; `simulate` is the place for time and faults.
 */
import type { Bundle, Digest, Effect, EngineConfig, Input, Memory, Parameters, PeerMessage, ReplicaId, Signed, SignedBody, Signer, StableCheckpoint } from "@narses/core";
import { DEFAULT_PARAMETERS, epoch, faultsTolerated, mintVerified, quorums, replicaId, requestId } from "@narses/core";
import { GENESIS, type State } from "./app.ts";
import { Disk } from "./disk.ts";
import { type ClientKey, createKeyring, type Keyring } from "./keyring.ts";
import { Shell, type SignedAnswer } from "./shell.ts";

export interface Envelope {
  readonly from: ReplicaId;
  readonly to: ReplicaId;
  readonly message: PeerMessage;
}

export interface StageOptions {
  readonly n: number;
  readonly f?: number;
  readonly parameters?: Partial<Parameters>;
  readonly mergeVotes?: boolean;
  /** Checkpoints become durable when the script says so (`checkpointDurable`), not at once. */
  readonly holdCheckpoints?: boolean;
  /** How far the log of a replica that starts can be trusted; by default beyond doubt. */
  readonly memory?: (id: ReplicaId) => Memory | undefined;
  readonly onInput?: (id: ReplicaId, input: Input) => void;
  readonly onEffect?: (id: ReplicaId, effect: Effect) => void;
  readonly onSigned?: (id: ReplicaId, signed: Signed<SignedBody>) => void;
  readonly onAnswer?: (id: ReplicaId, answer: SignedAnswer) => void;
  /** A batch was assembled: for naming digests. */
  readonly onBatch?: (digest: Digest, bundles: readonly Bundle[]) => void;
}

/** Wall clock of every replica: it stands still, scripts advance ticks only. */
export const STAGE_WALL_MS = 1_700_000_000_000;

export class Stage {
  readonly options: StageOptions;
  readonly keyring: Keyring;
  readonly disks: readonly Disk[];
  /** Messages on their way, oldest first. */
  inFlight: Envelope[] = [];
  private readonly shells: (Shell | undefined)[];
  private readonly frozen = new Map<ReplicaId, State[]>();
  /** By block: what a state transfer gives. It takes no time and no messages here. */
  private readonly states = new Map<Digest, State>();
  private readonly wanted = new Map<ReplicaId, StableCheckpoint>();
  private readonly client: ClientKey;
  private nextRid = 1;

  constructor(options: StageOptions) {
    this.options = options;
    this.keyring = createKeyring("stage", options.n);
    this.client = this.keyring.client(0);
    this.disks = Array.from({ length: options.n }, () => new Disk());
    this.shells = Array.from({ length: options.n }, () => undefined);
    for (const id of this.ids) this.start(id);
  }

  get ids(): readonly ReplicaId[] {
    return Array.from({ length: this.options.n }, (_, id) => replicaId(id));
  }

  /** @throws RangeError when the replica is down. */
  shell(id: number): Shell {
    const shell = this.shells[id];
    if (shell === undefined) throw new RangeError(`replica ${id} is down`);
    return shell;
  }

  isUp(id: number): boolean {
    return this.shells[id] !== undefined;
  }

  signer(id: number): Signer {
    return this.keyring.signer(replicaId(id));
  }

  config(id: number): EngineConfig {
    const { n, f = faultsTolerated(n), parameters } = this.options;
    return { self: replicaId(id), epoch: epoch(0), quorums: quorums(n, f), parameters: { ...DEFAULT_PARAMETERS, ...parameters }, genesisRoot: GENESIS.hash };
  }

  start(id: number): void {
    const { options } = this;
    const self = replicaId(id);
    const { toolkit } = this.keyring;
    const makeBatch: typeof toolkit.tools.makeBatch = (e, ms, bundles) => {
      const batch = toolkit.tools.makeBatch(e, ms, bundles);
      options.onBatch?.(batch.digest, bundles);
      return batch;
    };
    const memory = options.memory?.(self);
    this.shells[id] = new Shell({
      ...(memory !== undefined && { memory }),
      config: this.config(id), toolkit: { ...toolkit, tools: { makeBatch } }, signer: this.signer(id), disk: this.disks[id] as Disk, mergeVotes: options.mergeVotes ?? false,
      host: {
        send: (to, message) => void this.inFlight.push({ from: self, to, message }),
        answer: (_client, answer) => options.onAnswer?.(self, answer),
        freeze: (state) => this.freeze(self, state),
        fetch: (target) => void this.wanted.set(self, target),
        onInput: (input) => options.onInput?.(self, input),
        onEffect: (effect) => options.onEffect?.(self, effect),
        onSigned: (signed) => options.onSigned?.(self, signed),
        onExecuted: ({ hash }, state) => void this.states.set(hash, state),
      },
    }, STAGE_WALL_MS);
    this.settle(id);
  }

  /** Stops a replica between turns; what its log holds survives, what it sent is on its way. */
  crash(id: number): void {
    this.shells[id] = undefined;
    this.frozen.delete(replicaId(id));
    this.wanted.delete(replicaId(id));
  }

  /** A bundle of one operation, from the stage's only client. */
  makeBundle(): Bundle {
    const rid = this.nextRid++;
    return this.client.makeBundle({ ridFirst: requestId(rid), ackLow: 0, operations: [{ kind: "apply", payload: Uint8Array.of(rid & 255) }] });
  }

  request(id: number, bundle: Bundle): void {
    this.shell(id).request(bundle);
    this.settle(id);
  }

  input(id: number, input: Input): void {
    this.shell(id).deliver(input);
    this.settle(id);
  }

  tick(id: number, count = 1): void {
    for (let i = 0; i < count; i++) this.input(id, { type: "tick", wallMs: STAGE_WALL_MS });
  }

  /** Puts a message on its way as if `from` had sent it. It is verified on arrival like any other. */
  inject(from: number, to: number, message: PeerMessage): void {
    this.inFlight.push({ from: replicaId(from), to: replicaId(to), message });
  }

  /** Delivers, oldest first, everything that matches, and what follows from it, until nothing that matches is left. */
  pass(matches: (envelope: Envelope) => boolean = () => true): number {
    let delivered = 0;
    for (;;) {
      const index = this.inFlight.findIndex(matches);
      if (index < 0) return delivered;
      const [envelope] = this.inFlight.splice(index, 1) as [Envelope];
      delivered++;
      this.arrive(envelope);
    }
  }

  /** Loses everything on its way that matches. */
  drop(matches: (envelope: Envelope) => boolean = () => true): number {
    const before = this.inFlight.length;
    this.inFlight = this.inFlight.filter((envelope) => !matches(envelope));
    return before - this.inFlight.length;
  }

  /** With `holdCheckpoints`: the oldest frozen state of a replica is now on its disk. */
  checkpointDurable(id: number): void {
    const state = this.frozen.get(replicaId(id))?.shift();
    if (state === undefined) return;
    this.shell(id).checkpointDurable(state);
    this.settle(id);
  }

  private arrive({ from, to, message }: Envelope): void {
    if (!this.isUp(to)) return;
    const problem = this.keyring.toolkit.verifyPeer(message);
    if (problem !== undefined) return this.input(to, { type: "misbehaviour", replica: from, rejection: problem });
    this.input(to, { type: "message", from, message: mintVerified(message) });
  }

  private freeze(id: ReplicaId, state: State): void {
    if (this.options.holdCheckpoints !== true) return this.shell(id).checkpointDurable(state);
    const held = this.frozen.get(id);
    if (held === undefined) this.frozen.set(id, [state]);
    else held.push(state);
  }

  /** Turns, executions and transfers until the replica has nothing left to do. */
  private settle(id: number): void {
    const shell = this.shell(id);
    while (shell.hasInput || shell.hasDecided) {
      shell.step();
      shell.commit();
      while (shell.hasDecided) shell.executeNext();
      this.install(shell, replicaId(id));
    }
  }

  private install(shell: Shell, id: ReplicaId): void {
    const target = this.wanted.get(id);
    const state = target === undefined ? undefined : this.states.get(target.root);
    if (target === undefined || state === undefined) return;
    this.wanted.delete(id);
    shell.installed(state, target);
  }
}
