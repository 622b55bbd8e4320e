/**
 * One round of a scenario: engines in shells, some of them twice under one key, cut in two by a partition. No clock, no chance; the
 * leader is given, and everybody speaks until nothing is left to say.
 *
 * Between rounds every node is stopped and started again from its disk. A crash is a fault every replica must survive at any time, so
 * this takes nothing from the adversary's power over agreement; and it makes the state of the cluster the content of its disks,
 * which can be copied and compared.
 */
import type { Effect, EngineConfig, Parameters, PeerMessage, ReplicaId, Signer, StableCheckpoint } from "@narses/core";
import { DEFAULT_PARAMETERS, epoch, mintVerified, primaryOf, quorums, requestId, rejection, view } from "@narses/core";
import { GENESIS } from "../app.ts";
import type { Disk } from "../disk.ts";
import { agreementOracle } from "../oracles/agreement.ts";
import type { Oracle } from "../oracles/oracle.ts";
import { stateOracle } from "../oracles/state.ts";
import { Shell } from "../shell.ts";
import { Violation } from "../violation.ts";
import { type Crypto, cryptoOf } from "./crypto.ts";
import { type Disks, type Node, nodesOf, type TwinsShape } from "./nodes.ts";

/** One round of a scenario. */
export interface Round {
  /** Bit i: node i is on the second side. */
  readonly partition: number;
  /** Every node moves to the next view that this replica leads, if it is not in one, and as far as the protocol lets it (`elect`). */
  readonly leader: number;
}

/** A small log, so that checkpoints and truncation happen within a few rounds. */
export const CHECKPOINT_INTERVAL = 2;
/** Time is short: a round lasts for `ROUND_TICKS`, and nobody tries the next view within it. Every view waits equally long. */
const PARAMETERS: Parameters = {
  ...DEFAULT_PARAMETERS, checkpointInterval: CHECKPOINT_INTERVAL, logWindow: 4, pipelineDepth: 2, statusIntervalTicks: 2, viewChangeTimeoutTicks: 8, backoffExponentMax: 0,
};
/** Three STATUS of each node: what may only have been on its way at the second is sent again at the third (`isSettling`, `mayResend` in the engine's status.ts). */
const ROUND_TICKS = 3 * PARAMETERS.statusIntervalTicks;
/** Wall clocks differ, so that twins who propose the same requests propose different batches. */
const WALL_MS = 1_700_000_000_000;
/** Messages of a round, at most: more is a storm, and a failure. */
const MESSAGES_MAX = 20_000;
/** Views that a side goes through in one election, at most: nodes that are in different ones first join each other. */
const ELECTION_VIEWS_MAX = 16;

export interface RoundResult {
  readonly disks: Disks;
  readonly violation: Violation | undefined;
  /** Highest slot any correct node executed. */
  readonly executed: number;
}

interface Flight {
  readonly from: Node;
  readonly to: Node;
  readonly message: PeerMessage;
}

class Cluster {
  readonly disks: Disks;
  executed = 0;
  private messages = 0;
  private electing = false;
  private readonly shape: TwinsShape;
  private readonly nodes: readonly Node[];
  private readonly round: Round;
  private readonly crypto: Crypto;
  /** The view of each node, and whether it has begun there. */
  private readonly views: { view: number; active: boolean }[] = [];
  private readonly shells: Shell[] = [];
  private readonly inFlight: Flight[] = [];
  /** States asked for by replicas that are too far behind to replay. */
  private readonly wanted: { readonly node: Node; readonly target: StableCheckpoint }[] = [];
  private readonly oracles: readonly Oracle[] = [agreementOracle(), stateOracle()];

  constructor(shape: TwinsShape, disks: Disks, round: Round, nodes: readonly Node[]) {
    this.shape = shape;
    this.nodes = nodes;
    this.round = round;
    const own = [...disks];
    for (const { index } of nodes) own[index] = (disks[index] as Disk).copy();
    this.disks = own;
    this.crypto = cryptoOf(shape.n);
    this.remember();
    for (const node of nodes) {
      const { forgets } = shape.bug ?? {};
      const disk = this.disks[node.index] as Disk;
      if (forgets !== undefined) disk.withLog(disk.records.filter(({ type }) => !forgets.includes(type)));
      this.shells[node.index] = this.makeShell(node);
    }
  }

  /** What correct nodes decided in earlier rounds binds this one. */
  private remember(): void {
    for (const node of this.nodes) {
      const disk = this.disks[node.index] as Disk;
      if (node.twin) continue;
      // Below a transferred state there are holes: `forEach` leaves them out.
      disk.blocks.slice(1).forEach((block) => {
        for (const oracle of this.oracles) oracle.onExecuted?.(node, block, disk.snapshot);
      });
      for (const record of disk.records) if (record.type === "committed") for (const oracle of this.oracles) oracle.onEffect?.(node, { type: "persist", record, lazy: true });
    }
  }

  private config(id: ReplicaId): EngineConfig {
    const { n, bug } = this.shape;
    const strong = bug?.quorum ?? quorums(n).strong;
    return { self: id, epoch: epoch(0), quorums: { ...quorums(n), strong }, parameters: PARAMETERS, genesisRoot: GENESIS.hash };
  }

  private makeShell(node: Node): Shell {
    const disk = this.disks[node.index] as Disk;
    const shell: Shell = new Shell({
      config: this.config(node.id), toolkit: this.crypto.keyring.toolkit, signer: this.crypto.signers[node.id] as Signer, disk, mergeVotes: true,
      host: {
        send: (to, message) => this.send(node, to, message),
        answer: () => undefined,
        fetch: (target) => void this.wanted.push({ node, target }),
        freeze: (state) => shell.checkpointDurable(state),
        onInput: () => undefined,
        onEffect: (effect) => this.onEffect(node, effect),
        onSigned: () => undefined,
        onExecuted: (block, state) => {
          if (node.twin) return;
          this.executed = Math.max(this.executed, state.seq);
          for (const oracle of this.oracles) oracle.onExecuted?.(node, block, state);
        },
      },
    }, WALL_MS + node.index);
    const { view: recovered, active } = shell.status();
    this.views[node.index] = { view: recovered, active };
    return shell;
  }

  private onEffect(node: Node, effect: Effect): void {
    if (effect.type === "view-left" || effect.type === "view-entered") this.views[node.index] = { view: effect.view, active: effect.type === "view-entered" };
    if (!node.twin) for (const oracle of this.oracles) oracle.onEffect?.(node, effect);
  }

  private side(node: Node): number {
    return (this.round.partition >> node.index) & 1;
  }

  /** Across the partition, and between twins, nothing arrives. */
  private send(from: Node, to: ReplicaId, message: PeerMessage): void {
    if (this.electing && this.isLostInElection(to, message)) return;
    for (const target of this.nodes) if (target.id === to && this.side(target) === this.side(from)) this.inFlight.push({ from, to: target, message });
  }

  private settle(node: Node): void {
    const shell = this.shells[node.index] as Shell;
    while (shell.hasInput || shell.hasDecided) {
      shell.step();
      shell.commit();
      while (shell.hasDecided) shell.executeNext();
    }
  }

  private pass(): void {
    const { keyring, genuine } = this.crypto;
    for (let i = 0; i < this.inFlight.length; i++) {
      const { from, to, message } = this.inFlight[i] as Flight;
      if (++this.messages > MESSAGES_MAX) throw new Violation("liveness", "twins", `more than ${MESSAGES_MAX} messages in one round`);
      const shell = this.shells[to.index] as Shell;
      const problem = genuine.has(message) ? undefined : keyring.toolkit.verifyPeer(message);
      if (problem !== undefined) shell.deliver({ type: "misbehaviour", replica: from.id, rejection: problem });
      else {
        genuine.add(message);
        shell.deliver({ type: "message", from: from.id, message: mintVerified(message) });
      }
      this.settle(to);
    }
    this.inFlight.length = 0;
  }

  private tick(count: number): void {
    for (let i = 0; i < count; i++) {
      for (const node of this.nodes) {
        this.shells[node.index]?.deliver({ type: "tick", wallMs: WALL_MS + node.index });
        this.settle(node);
      }
      this.pass();
      this.transfer();
    }
  }

  /** State transfer as the engine sees it: whoever on this side holds the certified state gives it. */
  private transfer(): void {
    for (const { node, target } of this.wanted.splice(0)) {
      const donor = this.nodes.find((other) => this.side(other) === this.side(node) && this.disks[other.index]?.snapshot.head === target.root);
      const state = donor === undefined ? undefined : this.disks[donor.index]?.snapshot;
      if (state === undefined) continue;
      this.shells[node.index]?.installed(state, target);
      this.settle(node);
    }
    this.pass();
  }

  /** A primary that is to be passed over must not get the VIEW-CHANGEs to its view; and nobody is to be told of views while they change. */
  private isLostInElection(to: ReplicaId, message: PeerMessage): boolean {
    if (message.type === "status") return true;
    return message.type === "view-change" && to !== this.round.leader && to === primaryOf(message.signed.body.view, this.shape.n);
  }

  private viewOf(node: Node): { readonly view: number; readonly active: boolean } {
    return this.views[node.index] as { view: number; active: boolean };
  }

  private primaryOfNode(node: Node): ReplicaId {
    return primaryOf(view(this.viewOf(node).view), this.shape.n);
  }

  /**
   * Everyone suspects its primary, and then, as often as it takes, has waited in vain for the next one, until that is the leader of the
   * round. The rules of PBFT hold: who holds no Q VIEW-CHANGEs waits on. So a side without a quorum does not get further than the view after
   * the one it was in.
   */
  private elect(): void {
    this.electing = true;
    for (let tries = 0; tries < ELECTION_VIEWS_MAX; tries++) {
      const moved = this.nodes.filter((node) => this.primaryOfNode(node) !== this.round.leader && this.leaveView(node));
      if (moved.length === 0) break;
      this.pass();
    }
    this.electing = false;
  }

  private leaveView(node: Node): boolean {
    const shell = this.shells[node.index] as Shell;
    const before = this.viewOf(node);
    if (before.active) shell.deliver({ type: "misbehaviour", replica: this.primaryOfNode(node), rejection: rejection("EQUIVOCATION", "the round has another leader") });
    else for (let ticks = 0; ticks < PARAMETERS.viewChangeTimeoutTicks; ticks++) shell.deliver({ type: "tick", wallMs: WALL_MS + node.index });
    this.settle(node);
    return this.viewOf(node).view !== before.view;
  }

  /** @param ordinal request id of the round's request: one that no disk knows. */
  run(ordinal: number): void {
    for (const node of this.nodes) this.settle(node);
    this.pass();
    this.elect();
    this.pass();
    const bundle = this.crypto.keyring.client(0).makeBundle({ ridFirst: requestId(ordinal), ackLow: 0, operations: [{ kind: "apply", payload: Uint8Array.of(ordinal) }] });
    for (const node of this.nodes) {
      this.shells[node.index]?.request(bundle);
      this.settle(node);
    }
    this.pass();
    // Retransmission: whoever missed something on its side can ask for it.
    this.tick(ROUND_TICKS);
  }
}

/**
 * Runs one round from a copy of `disks`. An exception in any node is a violation like any other: a twin is a correct program.
 * @param nodes those that take part. Nothing crosses a partition, so its two sides may as well be run one after the other.
 */
export function runRound(shape: TwinsShape, disks: Disks, round: Round, ordinal: number, nodes: readonly Node[] = nodesOf(shape)): RoundResult {
  let cluster: Cluster | undefined;
  let violation: Violation | undefined;
  try {
    cluster = new Cluster(shape, disks, round, nodes);
    cluster.run(ordinal);
  } catch (error) {
    violation = error instanceof Violation ? error : new Violation("crash", "engine", error instanceof Error ? error.message : String(error), { cause: error });
  }
  return { disks: cluster?.disks ?? disks, violation, executed: cluster?.executed ?? 0 };
}
